import datetime as dt
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fraud.training.data import mapping
from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.errors import TrainingError
from tests.fraud.training.data.examples import FILES, MAPPINGS

FIELDS = """
[fields]
event_time = "time"
type = { constant = "SALE" }
amount = "amount"
origin = "from"
is_fraud = "fraud"
"""
HEADER = "time,amount,from,fraud"


def ms(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp() * 1_000)


@pytest.fixture
def read(tmp_path):
    """Reads rows through a mapping; gives the clean rows and the reasons of the others."""
    def read(toml: str, *rows: str, header: str = HEADER):
        (tmp_path / "rows.csv").write_text("\n".join([header, *rows, ""]))
        (tmp_path / "mapping.toml").write_text(toml)
        result = prepare(str(tmp_path / "rows.csv"), tmp_path, Reading(
            mapping=mapping.load(tmp_path / "mapping.toml"), max_bad_share=0.9))
        return pq.read_table(result.transactions).to_pylist(), list(result.reasons), result

    return read


# The five public data sets.

@pytest.mark.parametrize(("name", "first", "second"), [
    ("sparkov", ("PAYMENT", ms(2019, 1, 1, 0, 0, 18), 4_97, "2703186189652095",
                 "fraud_Rippin, Kub and Mann"), ("PAYMENT", ms(2019, 1, 1, 0, 0, 44), 107_23,
                                                 "630423337322", "fraud_Heller")),
    ("ibm", ("SWIPE", ms(2012, 9, 1, 10, 21), 134_09, "0-0", "3527213246127876953"),
     ("REFUND", ms(2012, 9, 1, 10, 42), 99_00, "0-1", "-727612092139916043")),
    ("amlsim", ("TRANSFER", ms(2017, 1, 1), 581_45, "17", "20"),
     ("TRANSFER", ms(2017, 1, 1), 12_50, "17", "20")),
    ("banksim", ("PAYMENT", ms(2024, 1, 1), 4_55, "C1093826151", "M348934600"),
     ("PAYMENT", ms(2024, 1, 2), 39_68, "C352968107", "M348934600")),
    ("handbook", ("PAYMENT", ms(2018, 4, 1, 0, 0, 31), 57_16, "C596", "T3156"),
     ("PAYMENT", ms(2018, 4, 1, 0, 2, 10), 61_70, "C4961", "T596"))])
def test_a_public_data_set_is_read_through_its_mapping(tmp_path, name, first, second):
    (tmp_path / "rows.csv").write_text(FILES[name])
    given_mapping = mapping.load(MAPPINGS / f"{name}.toml")
    result = prepare(str(tmp_path / "rows.csv"), tmp_path, Reading(mapping=given_mapping))
    clean = pq.read_table(result.transactions).to_pylist()
    assert [tuple(row[field] for field in ("type", "event_time", "amount_cents", "origin",
                                           "destination")) for row in clean] == [first, second]
    assert [row["is_fraud"] for row in clean] == [0, 1]
    assert [row["label_time"] - row["event_time"] for row in clean] == [168 * 3_600_000] * 2
    assert (result.bad, result.ignored, result.mapping_digest) == (0, [], given_mapping.digest)


# Times.

@pytest.mark.parametrize(("time", "value", "expected"), [
    ("", "1704067200000", ms(2024, 1, 1)), ('unit = "seconds"', "1704067200", ms(2024, 1, 1)),
    ('unit = "seconds"', "1704067200.25", ms(2024, 1, 1) + 250),
    ('unit = "hours"\nstart = "2024-01-01"', "25", ms(2024, 1, 2, 1)),
    ('unit = "days"\nstart = "2024-01-01T00:00:00+02:00"', "0", ms(2023, 12, 31, 22)),
    ('pattern = "%d.%m.%Y %H:%M"\nzone = "Europe/Berlin"', "01.07.2024 00:30",
     ms(2024, 6, 30, 22, 30)),
    ('pattern = "%Y-%m-%d %z"', "2024-01-01 +0100", ms(2023, 12, 31, 23)),
    ('zone = "UTC"', "2024-01-01 10:00:00", ms(2024, 1, 1, 10)),
    ('zone = "UTC"\nunit = "seconds"', "1704067200", ms(2024, 1, 1)),
    ("", "2024-01-01T00:00:00+01:00", ms(2023, 12, 31, 23))])
def test_times_have_many_forms(read, time, value, expected):
    [row], reasons, _ = read(f"{FIELDS}[time]\n{time}\n", f"{value},1,A,0")
    assert (row["event_time"], reasons) == (expected, [])


def test_steps_from_a_date_of_the_mapping_are_no_calendar(read):
    steps = read(f'{FIELDS}[time]\nunit = "hours"\nstart = "2024-01-01"', "1,1,A,0")[2]
    dates = read(f'{FIELDS}[time]\nunit = "seconds"', "1704067200,1,A,0")[2]
    assert (steps.time_base, dates.time_base) == ("step", "event_time")


def test_a_time_that_does_not_fit_its_form_is_quarantined(read):
    rows, reasons, _ = read(f'{FIELDS}[time]\npattern = "%Y-%m-%d"\nzone = "UTC"',
                            "2024-01-01,1,A,0", "2024-13-01,1,A,0", ",1,A,0")
    assert (len(rows), reasons) == (1, ["impossible-time"])


# Numbers, words, accounts.

@pytest.mark.parametrize(("numbers", "value", "cents"), [
    ('decimal = ","', '"12,50"', 12_50), ('decimal = ","\nthousands = "."', '"1.234,5"', 1_234_50),
    ('thousands = ","', '"1,234.50"', 1_234_50), ('currency = ["$", "USD"]', "USD $5", 5_00),
    ("", "+7.5", 7_50)])
def test_numbers_have_many_forms(read, numbers, value, cents):
    [row], reasons, _ = read(f"{FIELDS}[numbers]\n{numbers}\n", f"1704067200000,{value},A,0")
    assert (row["amount_cents"], reasons) == (cents, [])


def test_a_point_where_a_comma_is_expected_is_no_number(read):
    rows, reasons, _ = read(f'{FIELDS}[numbers]\ndecimal = ","\n', '1704067200000,"1,5",A,0',
                            "1704067200001,1.5,A,0")
    assert (len(rows), reasons) == (1, ["bad-amount"])


def test_a_negative_amount_is_a_refund_where_the_mapping_says_so_and_refused_elsewhere(read):
    lines = "1704067200000,-5.5,A,0", "1704067200001,5,A,1"
    assert read(FIELDS, *lines)[1] == ["negative-amount"]
    rows, reasons, result = read(f'{FIELDS}[numbers]\nnegative = "REFUND"\n', *lines)
    assert [(row["type"], row["amount_cents"]) for row in rows] == [("REFUND", 550), ("SALE", 500)]
    assert (reasons, result.types) == ([], ("REFUND", "SALE"))


def test_words_for_types_and_labels_are_replaced_and_others_refused(read):
    toml = """
[fields]
event_time = "time"
type = "kind"
amount = "amount"
origin = "from"
is_fraud = "fraud"
[types]
"card sale" = "SALE"
[labels]
fraud = ["bad"]
legitimate = ["fine"]
"""
    rows, reasons, _ = read(
        toml, "1704067200000,1,A,bad,card sale", "1704067200001,1,A,fine,card sale",
        "1704067200002,1,A,yes,card sale", "1704067200003,1,A,odd,card sale",
        "1704067200004,1,A,bad,atm", header=HEADER + ",kind")
    assert [row["is_fraud"] for row in rows] == [1, 0, 1]
    assert reasons == ["unknown-type", "bad-label"]


def test_an_account_of_several_columns_needs_all_of_them(read):
    toml = FIELDS.replace('"from"', '{ columns = ["from", "card"], separator = "/" }')
    rows, reasons, _ = read(toml, "1704067200000,1,A,0,7", "1704067200001,1,A,0,",
                            header=HEADER + ",card")
    assert ([row["origin"] for row in rows], reasons) == (["A/7"], ["missing-account"])


def test_an_expression_is_sql_over_the_columns(read):
    toml = FIELDS.replace('"amount"\n', '{ expression = "CAST(amount AS DOUBLE) + fee::DOUBLE" }\n')
    [row], _, result = read(toml, "1704067200000,1.5,A,0,0.25", header=HEADER + ",fee")
    assert (row["amount_cents"], result.ignored) == (175, [])


def test_labels_may_be_in_a_second_file(read, tmp_path):
    (tmp_path / "labels.csv").write_text("id,outcome\nb,fraud\nc,ok\n")
    toml = FIELDS.replace('is_fraud = "fraud"', 'transaction_id = "fraud"') + """
[labels]
file = "labels.csv"
id = "id"
label = "outcome"
fraud = ["fraud"]
legitimate = ["ok"]
others = "unlabelled"
"""
    lines = [f"170406720000{number},1,A,{name}" for number, name in enumerate("abc")]
    rows, reasons, _ = read(toml, *lines)
    assert [row["is_fraud"] for row in rows] == [0, 1, 0] and reasons == []
    assert [row["label_time"] == row["event_time"] for row in rows] == [False, True, True]
    rows, _, _ = read(toml.replace('"unlabelled"', '"legitimate"'), *lines)
    assert [row["label_time"] == row["event_time"] for row in rows] == [True] * 3
    (tmp_path / "labels.csv").write_text("id,outcome\nb,fraud\nb,ok\n")
    with pytest.raises(TrainingError, match="has a transaction id twice in 'id'"):
        read(toml, *lines)


def test_the_digest_of_a_mapping_is_that_of_its_bytes_and_those_of_its_labels(tmp_path):
    path, labels = tmp_path / "mapping.toml", tmp_path / "labels.csv"
    path.write_text(FIELDS)
    assert mapping.load(path).digest == hashlib.sha256(FIELDS.encode()).hexdigest()
    toml = FIELDS.replace('is_fraud = "fraud"', 'transaction_id = "fraud"') + (
        '[labels]\nfile = "labels.csv"\nid = "id"\n')
    path.write_text(toml)
    labels.write_text("id\nb\n")
    assert mapping.load(path).digest == hashlib.sha256(f"{toml}id\nb\n".encode()).hexdigest()


def test_rows_without_ids_are_named_after_the_file_and_repeats_count_once(read):
    rows, reasons, result = read(FIELDS, "1704067200000,1,A,0", "1704067200000,2,A,0",
                                 "1704067200000,1,A,0")
    assert [row["transaction_id"] for row in rows] == [
        f"{result.digest[:8]}-{number:012}" for number in range(2)]
    assert reasons == ["repeated-row"]


def test_a_cell_that_cannot_be_decoded_is_quarantined(tmp_path, read):
    read(FIELDS, "1704067200000,1,A,0")
    (tmp_path / "rows.csv").write_bytes(
        f"{HEADER}\n1704067200000,1,\u00e9,0\n1704067200001,1,".encode() + b"\xff,0\n")
    result = prepare(str(tmp_path / "rows.csv"), tmp_path, Reading(
        mapping=mapping.load(tmp_path / "mapping.toml"), max_bad_share=1))
    assert list(result.reasons) == ["undecodable-bytes"]


def test_parquet_columns_keep_their_types(tmp_path):
    (tmp_path / "mapping.toml").write_text(FIELDS + '[time]\nzone = "UTC"\n')
    pq.write_table(pa.table({
        "time": pa.array([dt.datetime(2024, 1, 1)], pa.timestamp("ns")), "amount": [0.1 + 0.2],
        "from": [7], "fraud": [True]}), tmp_path / "rows.parquet")
    result = prepare(str(tmp_path / "rows.parquet"), tmp_path, Reading(
        mapping=mapping.load(tmp_path / "mapping.toml")))
    [row] = pq.read_table(result.transactions).to_pylist()
    assert (row["event_time"], row["amount_cents"], row["origin"], row["is_fraud"]) == (
        ms(2024, 1, 1), 30, "7", 1)
    assert result.rounded == 1


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9), st.text(
    "abc;'\" .", min_size=1, max_size=5).filter(lambda name: name.strip())),
    min_size=1, max_size=5))
def test_a_mapping_of_plain_names_gives_what_the_names_themselves_give(tmp_path_factory, rows):
    directory = tmp_path_factory.mktemp("identity")
    names = ("transaction_id", "event_time", "type", "amount", "origin", "is_fraud")
    table = pa.table({
        "transaction_id": [f"t{number}" for number in range(len(rows))],
        "event_time": [ms(2024, 1, 1) + time for time, _, _ in rows],
        "type": ["DEBIT"] * len(rows), "amount": [cents / 100 for _, cents, _ in rows],
        "origin": [name for _, _, name in rows], "is_fraud": [0] * len(rows)})
    pq.write_table(table, directory / "rows.parquet")
    (directory / "mapping.toml").write_text(
        "[fields]\n" + "\n".join(f'{name} = "{name}"' for name in names))
    results = [prepare(str(directory / "rows.parquet"), directory / kind, reading)
               for kind, reading in (("plain", Reading()), ("mapped", Reading(
                   mapping=mapping.load(directory / "mapping.toml"))))]
    assert pq.read_table(results[0].transactions).equals(pq.read_table(results[1].transactions))


# Mappings that are wrong.

LABELS_NEED = "labels in a file need id under [labels], and transaction_id under [fields])"
WITHOUT_LABEL = FIELDS.replace('is_fraud = "fraud"', "")


@pytest.mark.parametrize(("toml", "message"), [
    ("[fields", "Expected ']'"),
    ("[fields]\n", "Object missing required field `event_time` - at `$.fields`"),
    (FIELDS + "[nonsense]\n", "Object contains unknown field `nonsense`"),
    (FIELDS.replace('"from"', '{ column = "from", constant = "x" }'),
     "give exactly one of column, columns, constant and expression - at `$.fields.origin`"),
    (WITHOUT_LABEL, "give either is_fraud under [fields] or file under [labels])"),
    (FIELDS + '[time]\nzone = "Berlin"\n',
     "zone 'Berlin' is not known; such as UTC, Europe/Berlin - at `$.time`"),
    (FIELDS + '[time]\npattern = "%Y"\n', "pattern needs a zone, such as UTC - at `$.time`"),
    (FIELDS + '[time]\nunit = "weeks"\n', "Invalid enum value 'weeks' - at `$.time.unit`"),
    (FIELDS + '[time]\nstart = "soon"\n', "Invalid isoformat string: 'soon' - at `$.time`"),
    (FIELDS + '[numbers]\nnegative = "refund"\n', "Expected `str` matching regex"),
    (WITHOUT_LABEL + '[labels]\nfile = "l.csv"\n', LABELS_NEED),
    (WITHOUT_LABEL + '[labels]\nfile = "l.csv"\nid = "id"\n', LABELS_NEED),
    (WITHOUT_LABEL + 'transaction_id = "fraud"\n[labels]\nfile = "l.csv"\n', LABELS_NEED),
])
def test_a_mapping_that_is_wrong_is_refused_with_its_key(tmp_path, toml, message):
    path = tmp_path / "mapping.toml"
    path.write_text(toml)
    with pytest.raises(TrainingError) as caught:
        mapping.load(path)
    assert str(caught.value).startswith(f"{path}: is not a mapping ({message}")
    assert str(caught.value).endswith("); docs/your-data.md explains its keys")


@pytest.mark.parametrize(("change", "message"), [
    (('"amount"\n', '"units"\n'), "names the column units, and .* has time, amount, from, fraud"),
    (('"amount"\n', '{ expression = "amount +" }\n'), "field amount cannot be evaluated"),
    (('"amount"\n', '{ expression = "read_text(\'/etc/passwd\')" }\n'), "cannot be evaluated")])
def test_what_does_not_fit_the_file_is_refused(read, change, message):
    with pytest.raises(TrainingError, match=message):
        read(FIELDS.replace(*change), "1704067200000,1,A,0")


def test_times_without_a_zone_are_refused(tmp_path):
    (tmp_path / "mapping.toml").write_text(FIELDS)
    pq.write_table(pa.table({"time": pa.array([0], pa.timestamp("ms")), "amount": [1.0],
                             "from": ["A"], "fraud": [0]}), tmp_path / "rows.parquet")
    with pytest.raises(TrainingError, match="the times of event_time have no zone; give one as"):
        prepare(str(tmp_path / "rows.parquet"), tmp_path, Reading(
            mapping=mapping.load(tmp_path / "mapping.toml")))
