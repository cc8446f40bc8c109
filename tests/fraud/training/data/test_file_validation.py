"""No row is lost in silence, however a file is written or damaged."""

import csv
import io

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.errors import TrainingError

NAMES = ("transaction_id", "event_time", "type", "amount", "origin", "destination",
         "origin_balance", "destination_balance", "is_fraud", "label_time")
START = 1_767_225_600_000


def row(number: int, amount: int, **changes: str) -> list[str]:
    payment = {
        "transaction_id": f"t{number}", "event_time": str(START + number), "type": "TRANSFER",
        "amount": f"{amount / 100}", "origin": f"C{number % 3}", "destination": "C2",
        "origin_balance": "", "destination_balance": "0", "is_fraud": str(number % 2),
        "label_time": str(START + number), **changes}
    return [payment[name] for name in NAMES]


rows = st.lists(st.builds(row, st.integers(0, 10**6), st.integers(0, 10**9)),
                min_size=3, max_size=12, unique_by=lambda cells: cells[0])
damages = st.sampled_from(["none", "cut", "quote", "nul", "wide", "narrow", "blank", "bad"])


def written(table, separator: str, quoting: int) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n", quoting=quoting).writerows(
        [NAMES, *table])
    return text.getvalue()


def damaged(text: str, damage: str, place: float, separator: str) -> str:
    lines = text.splitlines(keepends=True)
    number = 1 + int(place * (len(lines) - 1)) if place < 1 else len(lines) - 1
    body = sum(map(len, lines[:1]))
    at = body + int(place * (len(text) - body - 1))
    match damage:
        case "cut":
            return text[:at]
        case "quote":
            return text[:at] + '"' + text[at:]
        case "nul":
            return text[:at] + "\0" + text[at:]
        case "wide":
            lines[number] = lines[number].rstrip("\n") + f"{separator}more\n"
        case "narrow":
            lines[number] = lines[number].split(separator, 1)[1]
        case "blank":
            lines.insert(number, separator * (len(NAMES) - 1) + "\n")
        case "bad":
            lines[number] = lines[number].replace("TRANSFER", "WIRE")
    return "".join(lines)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(table=rows, damage=damages, place=st.floats(0, 1), separator=st.sampled_from(",;\t|"),
       quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example(table=[row(0, 0), row(1, 0), row(2, 0)], damage="quote", place=1.0, separator=",",
         quoting=csv.QUOTE_ALL)
def test_every_line_is_a_payment_an_invalid_line_or_blank(
        tmp_path_factory, table, damage, place, separator, quoting):
    directory = tmp_path_factory.mktemp("loss")
    text = damaged(written(table, separator, quoting), damage, place, separator)
    (directory / "rows.csv").write_bytes(text.encode())
    lines = [line for line in text.splitlines()[1:] if line]
    try:
        result = prepare(str(directory / "rows.csv"), directory, Reading(max_bad_share=1))
    except TrainingError:
        return              # said aloud
    assert result.rows + result.bad + result.blank == len(lines)
    clean = pq.read_table(result.transactions).to_pylist()
    amounts = {cells[0]: round(float(cells[3]) * 100) for cells in table}
    known = [payment for payment in clean if payment["transaction_id"] in amounts]
    assert len(clean) - len(known) <= (damage in ("quote", "nul"))      # a name that was damaged
    changed = sum(payment["amount_cents"] != amounts[payment["transaction_id"]]
                  for payment in known)
    assert changed == 0 or damage == "quote" and changed == 1


def test_the_rows_and_the_money_are_those_that_an_independent_reader_sees(tmp_path):
    table = [row(number, number * 7 + 1) for number in range(5_000)]
    table[7], table[8] = row(7, 50, type="WIRE"), [""] * len(NAMES)
    (tmp_path / "rows.csv").write_text(written(table, ",", csv.QUOTE_MINIMAL))
    result = prepare(str(tmp_path / "rows.csv"), tmp_path)
    seen = pacsv.read_csv(tmp_path / "rows.csv", convert_options=pacsv.ConvertOptions(
        strings_can_be_null=True))
    assert result.rows + result.bad + result.blank == seen.num_rows == 5_000
    good = sum(pq.read_table(result.transactions)["amount_cents"].to_pylist())
    lost = sum(loss.amount for loss in result.reasons.values())
    assert good + round(lost * 100) == sum(
        round(amount * 100) for amount in seen["amount"].to_pylist() if amount is not None)


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_a_file_that_was_cut_off_in_its_last_line_is_refused(tmp_path, cut):
    text = written([row(number, 100) for number in range(300)], ",", csv.QUOTE_MINIMAL)
    (tmp_path / "rows.csv").write_text(text[:-cut - 1])
    with pytest.raises(TrainingError, match="is cut off: its last line is no payment"):
        prepare(str(tmp_path / "rows.csv"), tmp_path)
