import datetime as dt

import pyarrow.parquet as pq
import pytest

from fraud.training.data import mapping, mapping_draft
from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.data.readers import open_source
from fraud.training.files import fetched
from tests.fraud.training.data.examples import FILES


def drafted(path) -> str:
    with fetched(str(path), path.parent) as file, open_source(file) as source:
        return mapping_draft.draft(source)


@pytest.fixture(params=FILES)
def example(request, tmp_path):
    (tmp_path / f"{request.param}.csv").write_text(FILES[request.param])
    return tmp_path / f"{request.param}.csv"


def ms(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp() * 1_000)


FIRST = {       # event_time, amount in cents, origin, destination of the first payment of a draft
    "sparkov": (ms(2019, 1, 1, 0, 0, 18), 4_97, "2703186189652095", "fraud_Rippin, Kub and Mann"),
    "ibm": (ms(2012, 9, 1, 6, 21), 134_09, "0", "3527213246127876953"),
    "amlsim": (ms(2017, 1, 1), 581_45, "17", "20"),
    "banksim": (ms(2024, 1, 1), 4_55, "C1093826151", "M348934600"),
    "handbook": (ms(2018, 4, 1, 0, 0, 31), 57_16, "O596", "D3156"),
}


def test_a_draft_of_a_public_file_reads_all_of_its_rows(example, tmp_path):
    (tmp_path / "mapping.toml").write_text(drafted(example))
    prepared = prepare(str(example), tmp_path, Reading(mapping=mapping.load(
        tmp_path / "mapping.toml")))
    assert (prepared.rows, prepared.bad, prepared.frauds, prepared.ignored) == (2, 0, 1, [])
    first = pq.read_table(prepared.transactions).to_pylist()[0]
    assert (first["event_time"], first["amount_cents"], first["origin"],
            first["destination"]) == FIRST[example.stem]
    assert first["origin_balance_cents"] is first["destination_balance_cents"] is None


def test_a_draft_says_what_it_does_not_know(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("when,units,remark\n2024-02-30,1.5,x\n")
    draft = drafted(path)
    for line in ('amount = "?"', 'origin = "?"', 'is_fraud = "?"', 'event_time = "?"',
                 "# no transaction_id: rows get numbers", 'ignore = ["when", "units", "remark"]'):
        assert line in draft


@pytest.mark.parametrize(("value", "lines"), [
    ("1704067200", ['unit = "seconds"']), ("1704067200000", ['unit = "milliseconds"']),
    ("20240131", ['pattern = "%Y%m%d"', 'zone = "UTC"']), ("3", ['unit = "hours"', 'start = ']),
    ("31.01.2024 13:00", ['pattern = "%d.%m.%Y %H:%M"']),
    ("01/31/2024", ['pattern = "%m/%d/%Y"'])])
def test_the_form_of_times_is_guessed_from_the_values(tmp_path, value, lines):
    (tmp_path / "a.csv").write_text(f"date,amount\n{value},1\n")
    draft = drafted(tmp_path / "a.csv")
    assert all(line in draft for line in lines), draft


@pytest.mark.parametrize(("amount", "lines"), [
    ("1.234,50", ['decimal = ","', 'thousands = "."']), ('"1,234.50"', ['thousands = ","']),
    ("$5", ['currency = ["$"]']), ("-5", ['negative = "REFUND"'])])
def test_the_form_of_numbers_is_guessed_from_the_values(tmp_path, amount, lines):
    (tmp_path / "a.csv").write_text(f"amount;date\n{amount};1704067200\n")
    draft = drafted(tmp_path / "a.csv")
    assert all(line in draft for line in lines), draft


def test_words_for_types_and_labels_are_listed(tmp_path):
    (tmp_path / "a.csv").write_text(
        "time,amount,type,fraud\n1704067200,1,card sale,Fraud\n1704067201,1,atm,legit\n")
    draft = drafted(tmp_path / "a.csv")
    for line in ('"card sale" = "CARD_SALE"', '"atm" = "ATM"', 'fraud = ["Fraud"]',
                 'legitimate = ["legit"]'):
        assert line in draft
