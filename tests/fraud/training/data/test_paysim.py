from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fraud.clock import HOUR_MS
from fraud.training.data import paysim
from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.transaction import EVENT_TIME_LIMIT, TYPE_CODES

REAL = Path(__file__).resolve().parents[4] / "shared/data/paysim-head.csv"
HEADER = ("step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,"
          "nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud")
HEADER_2 = ("action,amount,nameOrig,oldBalanceOrig,newBalanceOrig,nameDest,oldBalanceDest,"
            "newBalanceDest,isFraud,isFlaggedFraud,isUnauthorizedOverdraft,step")


def row(step=1, kind="PAYMENT", amount="10.5", origin="C1", fraud=0) -> str:
    return f"{step},{kind},{amount},{origin},100.0,89.5,M1,0.0,0.0,{fraud},0"


def prepared(tmp_path, *rows: str, header: str = HEADER, **options):
    """Prepare a CSV of these rows; gives the result, and the clean rows as dictionaries."""
    path = tmp_path / "paysim.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    result = prepare(str(path), tmp_path / "out", **options)
    return result, pq.read_table(result.transactions).to_pylist()


# Times.

@given(st.lists(st.integers(1, 50), max_size=60))
def test_rows_of_a_step_are_spread_evenly_over_its_hour_in_file_order(steps):
    times = paysim.event_times(np.array(steps, np.int64))
    seen: Counter = Counter()
    for step, time in zip(steps, times, strict=True):
        offset = seen[step] * 3_600_000 // steps.count(step)
        assert time == 1_704_067_200_000 + (step - 1) * 3_600_000 + offset
        seen[step] += 1


@given(st.lists(st.integers(1, 50), max_size=60).map(sorted))
def test_times_of_a_file_in_order_strictly_increase(steps):
    assert (np.diff(paysim.event_times(np.array(steps, np.int64))) > 0).all()


def test_an_hour_can_hold_a_row_a_millisecond():
    times = paysim.event_times(np.ones(3_600_000, np.int64))
    assert np.array_equal(times, paysim.PAYSIM_START + np.arange(3_600_000))


def test_the_last_step_ends_at_the_limit_of_times():
    assert paysim.PAYSIM_START + paysim.LAST_STEP * HOUR_MS == EVENT_TIME_LIMIT


# Incidents.

def paired_one_by_one(frauds):
    """The rule, read aloud: the k-th TRANSFER of a step and amount and its k-th CASH_OUT."""
    legs = defaultdict(lambda: ([], []))
    first = list(range(len(frauds)))
    for index, (step, amount, kind) in enumerate(frauds):
        if kind in ("TRANSFER", "CASH_OUT"):
            legs[step, amount][kind == "CASH_OUT"].append(index)
    for transfers, cash_outs in legs.values():
        for pair in zip(transfers, cash_outs, strict=False):
            first[pair[0]] = first[pair[1]] = min(pair)
    return first


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from(list(TYPE_CODES))),
                max_size=25))
def test_frauds_are_paired_by_step_and_amount(frauds):
    step, amount = (np.array([fraud[place] for fraud in frauds], np.int64) for place in (0, 1))
    kind = np.array([fraud[2] for fraud in frauds], object)
    assert paysim.incidents(step, amount, kind).tolist() == paired_one_by_one(frauds)


def test_an_incident_is_named_after_the_file_and_its_first_row(tmp_path):
    result, clean = prepared(
        tmp_path, row(), row(2, "TRANSFER", "7", fraud=1), row(2, "TRANSFER", "8", fraud=1),
        row(2, "CASH_OUT", "7.00", fraud=1), row(2, "CASH_OUT", "7"), row(3, "CASH_OUT", "8"))
    name = f"{result.digest[:8]}-incident-"
    assert [payment["incident_id"] for payment in clean] == [
        None, name + "1", name + "2", name + "1", None, None]
    assert (result.frauds, result.incidents) == (3, 2)
    assert {payment["fraud_type"] for payment in clean} == {None}


# Files.

def test_a_row_becomes_a_payment(tmp_path):
    result, clean = prepared(tmp_path, row(3, "CASH_OUT", "0.29", "C7", 1),
                             reading=Reading(label_delay_hours=1.5))
    assert clean == [{
        "position": 0, "transaction_id": f"{result.digest[:8]}-0",
        "event_time": 1_704_074_400_000, "type": "CASH_OUT", "amount_cents": 29,
        "origin": "C7", "destination": "M1", "origin_balance_cents": 10_000,
        "destination_balance_cents": 0, "is_fraud": 1, "label_time": 1_704_079_800_000,
        "incident_id": f"{result.digest[:8]}-incident-0", "fraud_type": None}]


def test_bad_rows_change_neither_ids_nor_times_of_the_good(tmp_path):
    rows = [row(1, origin=f"C{number}") for number in range(4)]
    result, good = prepared(tmp_path, *rows)
    broken, rest = prepared(tmp_path, rows[0], row(1, amount="-1"), *rows[2:],
                            reading=Reading(max_bad_share=1))
    assert result.digest != broken.digest

    def identity(payment):
        return payment["transaction_id"].split("-")[1], payment["event_time"]
    assert [identity(payment) for payment in rest] == [
        identity(payment) for payment in good if payment["origin"] != "C1"]


def test_a_malformed_line_keeps_its_position(tmp_path):
    result, clean = prepared(tmp_path, row(), "1,PAYMENT", row(origin="C2"),
                             reading=Reading(max_bad_share=1))
    assert [payment["transaction_id"][9:] for payment in clean] == ["0", "2"]


def test_steps_out_of_order_are_sorted_and_counted(tmp_path):
    result, clean = prepared(tmp_path, row(5), row(2), row(9), row(1), row(9, origin="C2"))
    assert [payment["transaction_id"][9:] for payment in clean] == ["3", "1", "0", "2", "4"]
    assert result.out_of_order == 2


@pytest.mark.parametrize("step", ["-1", "1.0", "", "x", str(paysim.LAST_STEP + 1), "9" * 30])
def test_an_impossible_step_is_an_impossible_time(tmp_path, step):
    result, _ = prepared(tmp_path, row(), row(step), reading=Reading(max_bad_share=1))
    assert {reason: loss.lines for reason, loss in result.reasons.items()} == {"impossible-time": 1}


def test_paysim_2_counts_steps_from_0(tmp_path):
    _, clean = prepared(tmp_path, row(0), row(1))
    assert [payment["event_time"] for payment in clean] == [
        paysim.PAYSIM_START - HOUR_MS, paysim.PAYSIM_START]


def test_a_row_that_repeats_an_earlier_one_in_every_field_counts_once(tmp_path):
    result, clean = prepared(tmp_path, row(), row(origin="C2"), row(), row(2), row(),
                             reading=Reading(max_bad_share=1))
    assert {reason: loss.lines for reason, loss in result.reasons.items()} == {"repeated-row": 2}
    assert [payment["transaction_id"][9:] for payment in clean] == ["0", "1", "3"]


def test_the_last_step_is_possible(tmp_path):
    _, clean = prepared(tmp_path, row(paysim.LAST_STEP))
    assert clean[0]["event_time"] == EVENT_TIME_LIMIT - HOUR_MS


def test_the_spellings_of_paysim_2_mean_the_same(tmp_path):
    _, clean = prepared(tmp_path, "TRANSFER,1.5,C1,2.5,1.0,C2,3.5,5.0,1,0,junk,4", header=HEADER_2)
    [payment] = clean
    assert payment["type"] == "TRANSFER"
    assert [payment[name] for name in (
        "amount_cents", "origin_balance_cents", "destination_balance_cents")] == [150, 250, 350]


def test_what_is_known_only_afterwards_is_not_read(tmp_path):
    result, _ = prepared(tmp_path, "1,DEBIT,1,C1,1,junk,C2,1,\x00,0,none")
    assert (result.rows, result.bad) == (1, 0)


def test_csv_and_parquet_of_the_same_rows_are_the_same_payments(tmp_path):
    path = tmp_path / "paysim.csv"
    path.write_text("\n".join([HEADER, *(row(step, amount=f"{step / 100}", fraud=step % 2)
                                         for step in range(1, 200))]) + "\n")
    pq.write_table(pacsv.read_csv(path), tmp_path / "paysim.parquet")
    tables = []
    for name in ("paysim.csv", "paysim.parquet"):
        result = prepare(str(tmp_path / name), tmp_path / "out")
        tables.append(pq.read_table(result.transactions).drop_columns(
            ["transaction_id", "incident_id"]))
    assert tables[0].equals(tables[1])


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_the_real_rows_are_all_good_and_keep_their_amounts(tmp_path):
    result = prepare(str(REAL), tmp_path)
    assert (result.rows, result.bad, result.frauds, result.out_of_order) == (39_056, 0, 472, 0)
    clean = pq.read_table(result.transactions)
    written = pacsv.read_csv(REAL, convert_options=pacsv.ConvertOptions(
        column_types={name: pa.decimal128(18, 2) for name in (
            "amount", "oldbalanceOrg", "oldbalanceDest")}))
    for cents, units in (("amount_cents", "amount"), ("origin_balance_cents", "oldbalanceOrg"),
                         ("destination_balance_cents", "oldbalanceDest")):
        assert clean[cents].to_pylist() == [int(unit * 100) for unit in written[units].to_pylist()]
    assert clean["origin"].equals(written["nameOrig"])
    assert (np.diff(clean["event_time"].to_numpy()) > 0).all()
