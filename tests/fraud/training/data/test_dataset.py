import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fraud.training.data import dataset, quarantine
from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.data.quarantine import Loss
from fraud.training.data.validation import REASONS
from fraud.training.errors import TrainingError
from fraud.transaction import MISSING_NAMES, ROUNDED_NAME, TYPES

START = 1_767_225_600_000       # 2026-01-01


def payment(name="t", time=0, **changes) -> dict:
    """A payment; the time counts from the start."""
    time += START
    return {"transaction_id": name, "event_time": time, "type": "TRANSFER", "amount": 1.0,
            "origin": "C1", "destination": "C2", "origin_balance": 1.0, "destination_balance": 0.0,
            "is_fraud": 0, "label_time": time + 1, "incident_id": None, "fraud_type": None,
            **changes}


def saved(directory: Path, payments: list[dict]) -> str:
    path = directory / "payments.parquet"
    pq.write_table(pa.Table.from_pylist(payments), path)
    return str(path)


def clean_rows(result) -> list[dict]:
    return pq.read_table(result.transactions).to_pylist()


def refusal(source: str, directory: Path, sample: float = 1.0, **options) -> str:
    with pytest.raises(TrainingError) as caught:
        prepare(source, directory, Reading(**options), sample)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is written.

def test_the_clean_file_has_the_schema_and_the_values(tmp_path):
    source = saved(tmp_path, [payment(amount=0.29, origin_balance=-1.1, is_fraud=1, time=5,
                                      incident_id="i", fraud_type="mule")])
    result = prepare(source, tmp_path / "deep/out")
    assert pq.read_schema(result.transactions).equals(dataset.SCHEMA)
    assert clean_rows(result) == [{
        "position": 0, "transaction_id": "t", "event_time": START + 5,
        "type": "TRANSFER", "amount_cents": 29, "origin": "C1",
        "destination": "C2", "origin_balance_cents": -110, "destination_balance_cents": 0,
        "is_fraud": 1, "label_time": START + 6, "incident_id": "i", "fraud_type": "mule"}]


def test_the_quarantine_is_written_also_when_empty(tmp_path):
    result = prepare(saved(tmp_path, [payment()]), tmp_path)
    table = pq.read_table(result.quarantine)
    assert table.schema.equals(quarantine.SCHEMA) and table.num_rows == 0


def test_what_was_prepared_is_told_in_plain_values(tmp_path):
    source = saved(tmp_path, [
        payment("a", 9, is_fraud=1, incident_id="i"), payment("b", 7, is_fraud=1, incident_id="i"),
        payment("c", 8, is_fraud=1), payment("d", 9), payment("e", amount=-1.0),
        payment("a"), payment("a"), payment("f", 9, type="WIRE")])
    result = prepare(source, tmp_path / "out", Reading(max_bad_share=0.5))
    values = asdict(result)
    assert json.loads(json.dumps(values)) == values | {"types": list(TYPES)}
    assert list(result.reasons.items()) == [
        ("unknown-type", Loss(1, 0, 1.0)), ("negative-amount", Loss(1, 0, -1.0)),
        ("duplicate-transaction-id", Loss(2, 0, 2.0))]
    assert {name: values[name] for name in (
        "source", "rows", "bad", "out_of_order", "sampled_rows", "frauds", "incidents",
        "first_time", "last_time")} == {
        "source": source, "rows": 4, "bad": 4, "out_of_order": 2, "sampled_rows": 4, "frauds": 3,
        "incidents": 2, "first_time": START + 7, "last_time": START + 9}


def test_the_same_file_gives_the_same_bytes_and_nothing_partial_stays(tmp_path):
    source = saved(tmp_path, [payment(f"t{time}", time) for time in range(9, 0, -1)])
    for name in ("one", "two"):
        prepare(source, tmp_path / name)
    for name in (dataset.TRANSACTIONS_FILE, dataset.QUARANTINE_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(list((tmp_path / "one").iterdir())) == 2


def test_only_frauds_have_incidents_and_every_fraud_has_one(tmp_path):
    rows = [payment("a", is_fraud=1, incident_id="i"), payment("b", is_fraud=1),
            payment("c", incident_id="i"), payment("d"), payment("e", is_fraud=1, incident_id="")]
    clean = clean_rows(prepare(saved(tmp_path, rows), tmp_path))
    assert [row["incident_id"] for row in clean] == ["i", "b", None, None, "e"]


# Order.

def is_name(text: str) -> bool:
    return text == text.strip() and text.lower() not in MISSING_NAMES and not re.match(
        ROUNDED_NAME, text, re.IGNORECASE)


identities = st.lists(
    st.tuples(st.integers(0, 5), st.text(
        st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64).filter(is_name)),
    min_size=1, max_size=12, unique_by=lambda identity: identity[1])


@given(identities)
def test_rows_are_in_event_order_and_numbered_and_the_late_are_counted(tmp_path_factory, rows):
    directory = tmp_path_factory.mktemp("order")
    result = prepare(saved(directory, [payment(name, time) for time, name in rows]), directory)
    clean = clean_rows(result)
    assert [(row["event_time"] - START, row["transaction_id"]) for row in clean] == sorted(
        rows, key=lambda identity: (identity[0], identity[1].encode()))
    assert [row["position"] for row in clean] == list(range(len(rows)))
    times = [time for time, _ in rows]
    assert result.out_of_order == sum(
        time < max(times[:place + 1]) for place, time in enumerate(times))


# Samples.

SOURCE_ORIGINS = [f"C{number % 40}" for number in range(200)]


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> str:
    return saved(tmp_path_factory.mktemp("many"), [
        payment(f"t{place}", place, origin=origin) for place, origin in enumerate(SOURCE_ORIGINS)])


@given(one=st.floats(0.2, 1), other=st.floats(0.2, 1))
def test_a_sample_keeps_accounts_whole_and_larger_ones_hold_smaller(tmp_path_factory, many,
                                                                    one, other):
    directory = tmp_path_factory.mktemp("sample")
    kept = []
    for share in sorted((one, other)):
        result = prepare(many, directory, sample=share)
        clean = clean_rows(result)
        sent = Counter(row["origin"] for row in clean)
        assert set(sent.values()) == {5}
        assert [row["position"] for row in clean] == list(range(len(clean)))
        assert (result.rows, result.sampled_rows) == (200, len(clean))
        kept.append(set(sent))
    assert kept[0] <= kept[1]


def test_a_sample_keeps_about_its_share_and_always_the_same(tmp_path):
    rows = [payment(f"t{place}", origin=f"C{place}") for place in range(2000)]
    clean = clean_rows(prepare(saved(tmp_path, rows), tmp_path, sample=0.25))
    assert abs(len(clean) - 500) < 80
    assert [row["origin"] for row in clean[:5]] == ["C1000", "C1007", "C1008", "C1011", "C1017"]


def test_samples_are_drawn_from_validated_rows(tmp_path):
    rows = [payment(f"t{place}", origin=f"C{place}", amount=place - 5.0) for place in range(40)]
    result = prepare(saved(tmp_path, rows), tmp_path, Reading(max_bad_share=0.5), sample=0.5)
    assert (result.rows, result.bad) == (35, 5)


def test_a_sample_that_leaves_nothing_is_refused(tmp_path):
    message = refusal(saved(tmp_path, [payment()]), tmp_path, sample=1e-12)
    assert "sample is 1e-12: no origin is left" in message


@pytest.mark.parametrize(("option", "value"), [
    *(("sample", value) for value in (0, -0.1, 1.1, float("nan"))),
    *(("max_bad_share", value) for value in (-0.1, 1.1, float("nan"))),
    *(("label_delay_hours", value) for value in (-1, float("inf"), float("nan"), 1e300)),
])
def test_an_option_out_of_its_range_is_refused(tmp_path, option, value):
    message = refusal(saved(tmp_path, [payment()]), tmp_path, **{option: value})
    assert message.startswith(f"{option} is {value}: give ")


# Too many bad rows, and nowhere to write.

def test_more_bad_rows_than_allowed_are_refused_with_counts_and_the_quarantine(tmp_path):
    rows = [payment(f"t{place}", amount=-1.0 if place < 3 else 1.0) for place in range(100)]
    rows[50]["type"] = "WIRE"
    source, path = saved(tmp_path, rows), tmp_path / "out" / dataset.QUARANTINE_FILE
    line = f"t0,{START},TRANSFER,-1.0,C1,C2,1.0,0.0,0,{START + 1},,"
    assert refusal(source, tmp_path / "out", max_bad_share=0.039) == (
        f"{source}: 4 of 100 rows are invalid (unknown-type 1, negative-amount 3), 0 of 0 frauds "
        f"among them; more than the allowed share of 0.039 of the rows. The first: row 1 ({line}): "
        f"the amount is below 0. They are in {path}: fix the file or raise max_bad_share")
    assert pq.read_table(path).column("row").to_pylist() == [0, 1, 2, 50]
    assert not (tmp_path / "out" / dataset.TRANSACTIONS_FILE).exists()
    assert prepare(source, tmp_path / "out", Reading(max_bad_share=0.04)).bad == 4


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_file_of_bad_rows_alone_is_refused(tmp_path, name):
    if name.endswith("csv"):
        source = str(tmp_path / name)
        Path(source).write_text(",".join(payment()) + "\nmalformed\n")
    else:
        source = saved(tmp_path, [payment(amount=-1.0)])
    message = refusal(source, tmp_path, max_bad_share=1)
    assert "1 of 1 rows are invalid" in message and "none is left" in message
    assert "raise max_bad_share" not in message
    assert pq.read_table(tmp_path / dataset.QUARANTINE_FILE).num_rows == 1


def test_more_frauds_in_quarantine_than_allowed_are_refused_however_few_rows_they_are(tmp_path):
    rows = [payment(f"t{place}", is_fraud=int(place < 10)) for place in range(2_000)]
    rows[3]["amount"] = 0.001
    message = refusal(saved(tmp_path, rows), tmp_path)
    assert "1 of 2,000 rows are invalid (over-precise-amount 1), 1 of 10 frauds" in message
    assert "more than the allowed share of 0.01 of the frauds" in message
    rows[3]["amount"] = 61.699999999999996
    result = prepare(saved(tmp_path, rows), tmp_path)
    assert (result.bad, result.frauds, result.rounded) == (0, 10, 1)


def test_a_file_in_another_unit_of_time_is_refused_with_that_unit(tmp_path):
    rows = [payment(f"t{place}", event_time=1_704_067_200 + place) for place in range(10)]
    assert ("event_time 1704067200 is before the year 2000 as milliseconds since 1970-01-01, UTC; "
            "it looks like seconds: convert it" in refusal(saved(tmp_path, rows), tmp_path))


def test_a_payment_ten_years_from_the_others_is_refused(tmp_path):
    rows = [payment(f"t{place}", place) for place in range(200)]
    rows[7] |= {"event_time": 946_684_800_000, "label_time": 946_684_800_000}
    result = prepare(saved(tmp_path, rows), tmp_path)
    assert list(result.reasons) == ["distant-time"]
    assert result.first_time == START


def test_amounts_of_several_currencies_are_refused(tmp_path):
    rows = [payment(f"t{place}") | {"Currency": "EUR" if place else "USD"} for place in range(9)]
    assert "column 'Currency' holds several currencies (EUR, USD)" in refusal(
        saved(tmp_path, rows), tmp_path)
    result = prepare(saved(tmp_path, [row | {"Currency": "EUR", "note": 1} for row in rows]),
                     tmp_path)
    assert result.ignored == ["Currency", "note"]


def test_features_that_no_payment_allows_to_compute_are_left_out(tmp_path):
    unknown = {"origin_balance": None, "destination_balance": None, "destination": None}
    result = prepare(saved(tmp_path, [payment("a", **unknown), payment("b", **unknown)]), tmp_path)
    names = result.feature_table.names
    assert result.left_out and not any("balance" in name or "destination" in name for name in names)
    mixed = prepare(saved(tmp_path, [payment("a", **unknown), payment("b")]), tmp_path)
    assert mixed.left_out == []
    assert [row["destination"] for row in clean_rows(mixed)] == [None, "C2"]


def test_types_of_ones_own_are_valid(tmp_path):
    source = saved(tmp_path, [payment("a", type="SALE"), payment("b", type="REFUND")])
    result = prepare(source, tmp_path, Reading(types=("REFUND", "SALE")))
    assert (result.bad, result.types) == (0, ("REFUND", "SALE"))


def test_label_times_may_follow_from_a_delay(tmp_path):
    rows = [{name: value for name, value in payment("a").items() if name != "label_time"}]
    result = prepare(saved(tmp_path, rows), tmp_path, Reading(label_delay_hours=2))
    assert clean_rows(result)[0]["label_time"] == START + 2 * 3_600_000


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    source = saved(tmp_path, [payment()])
    assert f"{source}: cannot be written to" in refusal(source, Path(source))
    assert "out: cannot be written to (Not a directory)" in refusal(source, Path(source) / "out")


def test_a_directory_that_takes_no_files_is_refused(tmp_path):
    (tmp_path / "out" / (dataset.TRANSACTIONS_FILE + ".partial")).mkdir(parents=True)
    message = refusal(saved(tmp_path, [payment()]), tmp_path / "out")
    assert message.startswith(f"{tmp_path / 'out'}: cannot be written to")


def test_every_reason_says_what_it_means():
    assert all(code == code.lower() and " " not in code and text for code, text in REASONS.items())
