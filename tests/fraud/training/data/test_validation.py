import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.data.validation import NOT_KNOWN, REASONS
from fraud.transaction import (
    EVENT_TIME_LIMIT, EVENT_TIME_START, MISSING_NAMES, TYPES, InvalidTransaction, parse)

GOOD = {"transaction_id": "t", "event_time": "1767225600000", "type": "TRANSFER",
        "amount": "181.05", "origin": "C1", "destination": "C2", "origin_balance": "-3.5",
        "destination_balance": "0", "is_fraud": "1", "label_time": "1767225600000",
        "incident_id": "", "fraud_type": ""}
LIMIT = 64 * "x"


def judged(path, rows: list[dict[str, str]]) -> list[str]:
    """The reason against each row of a CSV of these texts; "" where there is none."""
    with open(path / "rows.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, GOOD, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows([*rows, GOOD])
    return reasons(path / "rows.csv", len(rows))


def reasons(path, rows: int) -> list[str]:
    result = prepare(str(path), path.parent / "out", Reading(max_bad_share=1))
    bad = {line["row"]: line["reason"] for line in pq.read_table(result.quarantine).to_pylist()}
    assert set(bad.values()) == set(result.reasons) and rows not in bad
    return [bad.get(row, "") for row in range(rows)]


@pytest.mark.parametrize(("field", "value", "reason"), [
    *(("type", value, "unknown-type") for value in ("", "transfer", "WIRE")),
    *(("amount", value, "bad-amount") for value in (
        "", "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "null", "abc", "0x10", "1,5", "1_0",
        "+1", "01", ".5", "5.", "1 1", "1e", "--1", "\u0661", "1.0.0", "\x00")),
    ("amount", "-0.01", "negative-amount"),
    ("amount", "-1e13", "negative-amount"),
    ("amount", "1000000000000.01", "amount-too-large"),
    ("amount", "0.001", "over-precise-amount"),
    ("amount", "0.3000001", "over-precise-amount"),
    *((side, value, "bad-balance") for side in ("origin_balance", "destination_balance")
      for value in ("-Infinity", "x", "1,5")),
    ("origin_balance", "10000000000000.01", "balance-too-large"),
    ("destination_balance", "-10000000000000.01", "balance-too-large"),
    ("destination_balance", "-0.005", "over-precise-balance"),
    *(("origin", value, "missing-account") for value in ("", " ", "nan", "NULL", "#N/A")),
    *((side, "2.29E+15", "rounded-account") for side in ("origin", "destination")),
    ("transaction_id", "1.5E+17", "bad-transaction-id"),
    ("transaction_id", "null", "bad-transaction-id"),
    ("origin", LIMIT + "x", "long-account"),
    ("destination", 65 * "\U0001f600", "long-account"),
    ("transaction_id", "", "bad-transaction-id"),
    ("transaction_id", LIMIT + "x", "bad-transaction-id"),
    *(("event_time", value, "impossible-time") for value in (
        "", "-1", "0", "1.5", "1767225600000.0", "1e12", "0x10", "007", "2026-01-01",
        "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", str(EVENT_TIME_LIMIT), "1767225600",
        "20260101", "9" * 19, "9" * 400)),
    *(("is_fraud", value, "bad-label") for value in ("", "2", "-1", "maybe", "01")),
    *(("label_time", value, "bad-label") for value in ("", "1767225599999", "x", "1.8e12")),
])
def test_a_bad_row_is_quarantined_with_its_reason(tmp_path, field, value, reason):
    assert judged(tmp_path, [{**GOOD, "transaction_id": "u", field: value}]) == [reason]
    assert reason in REASONS


@pytest.mark.parametrize(("field", "value"), [
    ("amount", "0"), ("amount", "-0.0"), ("amount", "1e12"), ("amount", "1E+2"),
    ("amount", "0.29"), ("origin_balance", "-10000000000000"), ("destination_balance", "1e13"),
    ("origin", LIMIT), ("destination", 64 * "\U0001f600"), ("transaction_id", LIMIT),
    ("origin", 'a,"b"\nc'), ("event_time", str(EVENT_TIME_LIMIT - 1)), ("amount", " 1\t"),
    ("amount", "0.30000000000000004"), ("event_time", str(EVENT_TIME_START)),
    ("event_time", "2026-01-01T00:00:00Z"), ("event_time", "2026-01-01 01:00:00.250+02:00"),
    ("destination", ""), ("destination", "NULL"), ("origin_balance", ""),
    ("destination_balance", "NaN"), ("is_fraud", "0.0"), ("is_fraud", "FALSE"),
    ("is_fraud", "Yes"), ("label_time", "1767225600000.0"), ("type", " TRANSFER"),
    ("label_time", "9" * 18), ("is_fraud", "0"), ("incident_id", "i"), ("fraud_type", "f"),
])
def test_a_row_at_the_limits_is_good(tmp_path, field, value):
    row = {**GOOD, "transaction_id": "u", "label_time": "9" * 18, field: value}
    assert judged(tmp_path, [row]) == [""]


def test_of_several_reasons_the_first_of_the_table_counts(tmp_path):
    wrong = {"type": "x", "amount": "nan", "origin_balance": "0.001", "origin": "",
             "transaction_id": "", "event_time": "-1", "is_fraud": "7"}
    found = []
    for _ in range(len(wrong)):
        found += judged(tmp_path, [{**GOOD, **wrong}])
        wrong.pop(next(iter(wrong)))
    assert found == sorted(found, key=list(REASONS).index)
    assert found == ["unknown-type", "bad-amount", "over-precise-balance", "missing-account",
                     "bad-transaction-id", "impossible-time", "bad-label"]


def test_a_payment_of_which_nobody_knows_is_good(tmp_path):
    assert judged(tmp_path, [{**GOOD, "transaction_id": "u", "is_fraud": "", "label_time": ""}]
                  ) == [""]
    kept = pq.read_table(tmp_path / "out/transactions.parquet").to_pylist()
    [unknown] = [row for row in kept if row["transaction_id"] == "u"]
    assert (unknown["is_fraud"], unknown["label_time"]) == (0, NOT_KNOWN)
    assert unknown["incident_id"] is None


def test_the_first_good_row_of_an_id_is_kept(tmp_path):
    rows = [{**GOOD, "transaction_id": name, "amount": amount} for name, amount in (
        ("a", "-1"), ("a", "1"), ("b", "2"), ("a", "3"), ("b", "-4"), ("b", "5"))]
    assert judged(tmp_path, rows) == [
        "negative-amount", "", "", "duplicate-transaction-id", "negative-amount",
        "duplicate-transaction-id"]


# A file and the API agree on what a payment is.

def accepted(body: str) -> bool:
    try:
        return parse(body).type in TYPES
    except InvalidTransaction:
        return False


names = (st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
         | st.integers(62, 66).map(lambda length: length * "\u00e9")
         | st.sampled_from([*MISSING_NAMES, "NULL", " a ", "2.29E+15", "1E5"]))
two_decimals = st.integers(-10**15, 10**15).map(lambda cents: cents / 100)
money = st.floats() | two_decimals | st.sampled_from([1e12, 1e13, -1e13, 1e12 + 0.01, -0.0])
times = st.integers(-2**63, 2**63 - 1) | st.builds(
    int.__add__, st.integers(-2, 2), st.sampled_from([0, EVENT_TIME_START, EVENT_TIME_LIMIT]))
number_texts = (
    money.map(repr) | times.map(str) | st.integers(-10**20, 10**20).map(str)
    | st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
    | st.text("0123456789+-.eExnaif_", max_size=6))
types = st.sampled_from([*TYPES, "cash_in", ""])


sound_names = names.filter(lambda name: 0 < len(name.strip()) <= len(name) <= 64
                           and name.strip().lower() not in MISSING_NAMES and "E+" not in name)


def rows_of(amounts, event_times):
    """Rows of payments, each good but for one field, of distinct ids."""
    sound = st.fixed_dictionaries({
        "transaction_id": sound_names, "event_time": st.just(str(EVENT_TIME_START)),
        "type": st.sampled_from(TYPES), "amount": two_decimals.map(abs).map(repr),
        "origin": sound_names, "destination": sound_names,
        "origin_balance": two_decimals.map(repr), "destination_balance": st.just("0")})
    doubtful = {"transaction_id": names, "event_time": event_times, "type": types,
                "amount": amounts, "origin": names, "destination": names,
                "origin_balance": amounts, "destination_balance": amounts}
    row = st.builds(
        lambda good, change: {**good, **change}, sound,
        st.one_of(*(st.fixed_dictionaries({name: values}) for name, values in doubtful.items())))
    return st.lists(row.filter(lambda row: row["transaction_id"].strip() != GOOD["transaction_id"]),
                    max_size=8, unique_by=lambda row: row["transaction_id"].strip())


TEXT = ("transaction_id", "type", "origin", "destination")


def body_of(row: dict) -> str:
    """The row as JSON: numbers as the row writes them, null for what a file leaves empty."""
    return "{" + ",".join(f'"{name}":{value_of(name, value)}' for name, value in row.items()) + "}"


def value_of(name: str, value: str) -> str:
    is_missing = value.strip().lower() in ("", *MISSING_NAMES)
    if is_missing and (name == "destination" or name.endswith("_balance")):
        return "null"
    return json.dumps(value.strip() if name == "type" else value) if name in TEXT else value


@given(rows=rows_of(number_texts, number_texts))
def test_a_csv_row_is_good_exactly_when_the_payment_parses(tmp_path_factory, rows):
    labelled = [{**row, "is_fraud": "0", "label_time": "9" * 18} for row in rows]
    found = judged(tmp_path_factory.mktemp("law"), labelled)
    assert [reason == "" for reason in found] == [accepted(body_of(row)) for row in rows]


@given(rows=rows_of(money.map(repr), times.map(str)))
def test_a_parquet_row_is_good_exactly_when_the_payment_parses(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("law") / "rows.parquet"
    labelled = [{**row, "is_fraud": 0, "label_time": 2**63 - 1} for row in [*rows, GOOD]]
    columns = {name: [row[name] for row in labelled] for name in GOOD if name in labelled[0]}
    for name in ("amount", "origin_balance", "destination_balance"):
        columns[name] = [float(value) for value in columns[name]]
    columns["event_time"] = pa.array([int(value) for value in columns["event_time"]], pa.int64())
    pq.write_table(pa.table(columns), path)
    assert [reason == "" for reason in reasons(path, len(rows))] == [
        accepted(body_of(row)) for row in rows]
