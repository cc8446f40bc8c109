import decimal
import gzip
import hashlib
import os
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from fraud.training.data.dataset import Prepared, prepare
from fraud.training.data.options import Reading
from fraud.training.data.quarantine import Loss
from fraud.training.errors import TrainingError

HEADER = ("transaction_id,event_time,type,amount,origin,destination,origin_balance,"
          "destination_balance,is_fraud,label_time")
ROW = "t1,1767225600000,TRANSFER,181.05,C1,C2,181.05,0,1,1767225600000"
PAYSIM_HEADER = "step,type,amount,nameOrig,oldbalanceOrg,nameDest,oldbalanceDest,isFraud"


START = 1_767_225_600_000       # 2026-01-01


def saved(tmp_path: Path, content: bytes | str, name: str = "rows.csv") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def parquet(tmp_path: Path, **changes) -> str:
    """A Parquet file of 1,000 good payments, some of its columns replaced."""
    rows = 1000
    columns = {
        "transaction_id": [f"t{row}" for row in range(rows)], "event_time": START + np.arange(rows),
        "type": ["DEBIT"] * rows, "amount": np.arange(rows) / 100, "origin": ["C1"] * rows,
        "destination": ["C2"] * rows, "origin_balance": np.zeros(rows),
        "destination_balance": np.zeros(rows), "is_fraud": np.zeros(rows, np.int8),
        "label_time": START + np.arange(rows), **changes}
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path, compression="gzip")
    return str(path)


def ready(tmp_path: Path, source: str, **options) -> tuple[Prepared, list[dict], list[dict]]:
    """Prepare a file; gives the result, the clean rows and the quarantined ones."""
    result = prepare(source, tmp_path / "out", Reading(**options))
    return (result, pq.read_table(result.transactions).to_pylist(),
            pq.read_table(result.quarantine).to_pylist())


def refusal(source: str, directory: Path) -> str:
    """The message of the error, which is one line that begins with the source."""
    with pytest.raises(TrainingError) as caught:
        prepare(source, directory)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(source)
    return message[len(source):]


# Files that cannot be used at all.

@pytest.mark.parametrize(("content", "message"), [
    ("", "is empty (0 bytes)"),
    ("\n\n", "holds no rows"),
    (HEADER, "holds no rows"),
    (HEADER + "\n", "holds no rows"),
    (HEADER + "\n\n\n", "holds no rows"),
    (HEADER.replace("event_time", "time") + "\n" + ROW, "lacks the columns event_time"),
    (HEADER + ",amount\n" + ROW + ",1\n", "has the column 'amount' twice"),
    (PAYSIM_HEADER.replace("nameOrig", "name").replace("isFraud", "fraud") + "\n1,DEBIT\n",
     "lacks the columns nameOrig (perhaps name), isFraud (perhaps fraud) of the PaySim form; it "
     "has step, type, amount, name, oldbalanceOrg, nameDest, oldbalanceDest, fraud"),
    (f"{HEADER}\n{ROW}\n{ROW[:20]}", "is cut off: its last line is no payment"),
    (f"{HEADER}\n{ROW}\n{ROW.replace('t1', 't2')[:-3]}", "is cut off: its last line is no"),
    (b"PAR1\x00\xff\x00", "cannot be read as Parquet"),
    (HEADER + "\n" + ROW.replace("t1", '"t1') + 20_000_000 * "x" + "\n" + ROW,
     "a quote that is never closed"),
])
def test_a_csv_without_payments_is_refused(tmp_path, content, message):
    assert message in refusal(saved(tmp_path, content), tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    assert "no such file" in refusal(str(tmp_path / "none.csv"), tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    assert "is a folder without files" in refusal(str(tmp_path / "rows.csv"), tmp_path)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(str(tmp_path / "pipe"), tmp_path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "rows.csv").symlink_to("/proc/self/mem")      # opens, but its start cannot be read
    assert "cannot be read (Input/output error)" in refusal(str(tmp_path / "rows.csv"), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_refused(tmp_path):
    source = saved(tmp_path, HEADER)
    os.chmod(source, 0)
    assert "cannot be read (Permission denied)" in refusal(source, tmp_path)


def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path):
    source = saved(tmp_path, HEADER + "\n" + ROW, "rows.parquet")
    assert prepare(source, tmp_path / "out").rows == 1


def test_a_truncated_parquet_is_refused(tmp_path):
    source = parquet(tmp_path)
    whole = Path(source).read_bytes()
    for size in (8, len(whole) // 2, len(whole) - 1):
        Path(source).write_bytes(whole[:size])
        assert "cannot be read as Parquet" in refusal(source, tmp_path)


def test_a_parquet_damaged_inside_is_refused(tmp_path):
    source = parquet(tmp_path)
    content = bytearray(Path(source).read_bytes())
    content[100:2000] = bytes(1900)
    Path(source).write_bytes(content)
    assert "cannot be read as Parquet" in refusal(source, tmp_path)


def test_a_parquet_without_rows_is_refused(tmp_path):
    source = parquet(tmp_path)
    pq.write_table(pq.read_table(source).slice(0, 0), source)
    assert "holds no rows" in refusal(source, tmp_path)


@pytest.mark.parametrize(("column", "values", "message"), [
    ("amount", [True], "'amount' holds bool; write it as float64"),
    ("amount", [[1.0]], "'amount' holds list<"),
    ("event_time", [True], "'event_time' holds bool; write it as int64"),
    ("is_fraud", [[1]], "'is_fraud' holds list<"),
    ("origin", [7.5], "'origin' holds double; write it as string"),
    ("label_time", pa.array([1], pa.timestamp("ms")), "holds timestamp[ms] without a time zone"),
])
def test_a_parquet_column_of_a_wrong_type_is_refused(tmp_path, column, values, message):
    kind = values.type if isinstance(values, pa.Array) else None
    column_of_it = pa.array(list(values) * 1000 if kind is None else [1] * 1000, kind)
    assert message in refusal(parquet(tmp_path, **{column: column_of_it}), tmp_path)


def test_a_truncated_gzip_is_refused(tmp_path):
    packed = gzip.compress("\n".join([HEADER, *(f"{row}{ROW}" for row in range(5000))]).encode())
    assert "cannot be read as CSV" in refusal(
        saved(tmp_path, packed[:len(packed) // 2], "rows.csv.gz"), tmp_path)


# Files that can.

@pytest.mark.parametrize(("name", "content"), [
    ("rows.csv", f"{HEADER}\n{ROW}"),
    ("rows.csv", f"{HEADER}\r\n{ROW}\r\n"),
    ("rows.csv", f"\ufeff{HEADER}\n\n{ROW}\n\n"),
    ("rows.csv", "\ufeff" + "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in (HEADER, ROW))),
    ("ROWS.CSV", f"{HEADER},extra,extra\n{ROW},1,2\n"),
    ("rows.csv.gz", gzip.compress(f"{HEADER}\n{ROW}\n".encode())),
    ("rows.csv", f"{HEADER},incident_id,fraud_type\n{ROW},,\n"),
])
def test_a_csv_is_read(tmp_path, name, content):
    source = saved(tmp_path, content, name)
    result, clean, bad = ready(tmp_path, source)
    assert bad == [] and result.digest == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert clean == [{
        "position": 0, "transaction_id": "t1", "event_time": 1767225600000, "type": "TRANSFER",
        "amount_cents": 18105, "origin": "C1", "destination": "C2", "origin_balance_cents": 18105,
        "destination_balance_cents": 0, "is_fraud": 1, "label_time": 1767225600000,
        "incident_id": "t1", "fraud_type": None}]


@pytest.mark.parametrize(("column", "values"), [
    ("amount", pa.array([decimal.Decimal(row) / 100 for row in range(1000)], pa.decimal128(18, 2))),
    ("amount", [f"{row / 100}" for row in range(1000)]),
    ("event_time", [str(START + row) for row in range(1000)]),
    ("event_time", pa.array(range(START, START + 1000), pa.uint64())),
    ("event_time", pa.array(range(START, START + 1000), pa.timestamp("ms", "UTC"))),
    ("event_time", pa.array([float(START + row) for row in range(1000)])),
    ("is_fraud", [False] * 1000),
    ("is_fraud", ["no"] * 1000),
    ("is_fraud", [0.0] * 1000),
    ("type", pa.array(["DEBIT"] * 1000).dictionary_encode()),
    ("origin", pa.array(["C1"] * 1000, pa.large_string())),
    ("origin", pa.array([b"C1"] * 1000)),
    ("incident_id", pa.nulls(1000)),
    ("fraud_type", [None] * 1000),
])
def test_a_parquet_is_read_whatever_type_holds_its_values(tmp_path, column, values):
    expected = ready(tmp_path, parquet(tmp_path))[1]
    assert ready(tmp_path, parquet(tmp_path, **{column: values}))[1] == expected


def test_nulls_and_what_is_no_number_are_reasons_in_parquet(tmp_path):
    source = parquet(tmp_path, amount=[None, float("nan"), float("inf"), 0.001] + [1.0] * 996,
                     origin=["C1"] * 4 + [None, b"\xff"] + ["C1"] * 994,
                     event_time=pa.array([START] * 6 + [None, 2**63 + 5] + [START] * 992,
                                         pa.uint64()))
    _, _, bad = ready(tmp_path, source)
    assert [line["row"] for line in bad] == list(range(8))
    assert [line["reason"] for line in bad] == [
        "bad-amount"] * 3 + ["over-precise-amount", "missing-account", "undecodable-bytes"] + [
        "impossible-time"] * 2
    assert bad[5]["line"] == f"t5,{START},DEBIT,1.0,\ufffd,C2,0.0,0.0,0,{START + 5}"


# Lines that break the format.

MALFORMED = {"reason": "wrong-column-count", "is_fraud": None, "amount": None, "event_time": None}


def test_lines_with_a_wrong_number_of_cells_are_quarantined_as_they_stand(tmp_path):
    lines = [ROW, "short,line", "", ROW.replace("t1", "t2"), ROW + ",more", "x", ""]
    _, clean, bad = ready(tmp_path, saved(tmp_path, "\n".join([HEADER, *lines])), max_bad_share=1)
    assert [payment["transaction_id"] for payment in clean] == ["t1", "t2"]
    assert bad == [MALFORMED | {"row": row, "line": line} for row, line in (
        (1, "short,line"), (3, ROW + ",more"), (4, "x"))]


def test_rows_that_a_stray_quote_swallows_are_all_counted(tmp_path):
    rows = [ROW.replace("t1", f"t{row}") for row in range(100)]
    rows[40] = rows[40].replace("C1", '"C1')
    result, clean, bad = ready(
        tmp_path, saved(tmp_path, "\n".join([HEADER, *rows, ""])), max_bad_share=0.6)
    assert len(clean) == 40 and result.reasons == {"wrong-column-count": Loss(60, 0, 0.0)}
    assert bad == [MALFORMED | {"row": 40, "line": "\n".join(rows[40:])}]


def test_rows_that_a_quote_joins_into_one_of_the_right_width_are_all_counted(tmp_path):
    rows = [ROW.replace("t1", f"t{row}") for row in range(100)]
    rows[40] = rows[40].replace("C1", '"C1')
    rows[42] = rows[42].replace("C1", 'C1"')
    result, clean, [bad] = ready(
        tmp_path, saved(tmp_path, "\n".join([HEADER, *rows, ""])), max_bad_share=0.6)
    assert len(clean) == 97
    assert result.reasons["joined-lines"].lines == 3
    assert bad["row"] == 40 and "t41" in bad["line"]


def test_a_cell_of_several_lines_is_no_stray_quote(tmp_path):
    content = f'{HEADER},note\n{ROW},"one, two\nand three"\n'
    result, clean, bad = ready(tmp_path, saved(tmp_path, content))
    assert (len(clean), bad) == (1, [])


def test_blank_rows_are_skipped_and_counted(tmp_path):
    blank = "," * HEADER.count(",")
    lines = [HEADER, blank, ROW, blank, " " + blank, ROW.replace("t1", "t2"), ""]
    result, clean, bad = ready(tmp_path, saved(tmp_path, "\n".join(lines)))
    assert (result.blank, len(clean), bad) == (3, 2, [])


def test_bytes_that_are_not_utf_8_are_reasons_and_the_rest_is_kept(tmp_path):
    first, other = ROW.encode(), ROW.replace("t1", "t\u00e9").encode()
    lines = [first.replace(b"C1", b"C\xff"), other, b"\xfe,1", first.replace(b"181", b"1\x80", 1)]
    content = b"\xef\xbb\xbf" + b"\n".join([HEADER.encode() + b",n\xe9", *(
        line + b",\xe9" if line.count(b",") > 1 else line for line in lines), b""])
    _, clean, bad = ready(tmp_path, saved(tmp_path, content), max_bad_share=1)
    assert [payment["transaction_id"] for payment in clean] == ["t\u00e9"]
    assert [(line["row"], line["reason"]) for line in bad] == [
        (0, "undecodable-bytes"), (2, "wrong-column-count"), (3, "undecodable-bytes")]
    assert bad[0]["line"] == ROW.replace("C1", "C\ufffd") + ",\ufffd"
    assert bad[1]["line"] == "\ufffd,1"


def test_positions_hold_beyond_the_first_block(tmp_path):
    rows = [f"{row:06d}{'x' * 50},{START + row},DEBIT,1,C1,C2,0,0,0,{START + row}"
            for row in range(120_000)]
    rows[100_000] = "malformed"
    rows[110_000] = rows[110_000].replace("DEBIT", "CREDIT")
    result, clean, bad = ready(tmp_path, saved(tmp_path, "\n".join([HEADER, *rows])))
    assert [(line["row"], line["line"]) for line in bad] == [
        (100_000, "malformed"), (110_000, rows[110_000])]
    assert result.rows == len(clean) == 119_998


def test_a_quarantined_line_can_be_read_as_csv_again(tmp_path):
    line = ROW.replace("C1", '"a ""b"", c\nd"').replace("181.05", "x", 1)
    _, _, [bad] = ready(tmp_path, saved(tmp_path, f"{HEADER}\n{ROW}\n{line}\n"), max_bad_share=1)
    assert bad["line"] == line
    assert pacsv.read_csv(pa.py_buffer(f"{HEADER}\n{bad['line']}\n".encode()),
                          parse_options=pacsv.ParseOptions(newlines_in_values=True)).num_rows == 1


# S3. Moto's server stands in for it: no real S3 can be reached from a test machine.

@pytest.fixture(scope="module")
def bucket():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    environment = pytest.MonkeyPatch()
    address, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{address}:{port}")
    environment.setenv("AWS_ACCESS_KEY_ID", "test")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="payments")
    yield client
    environment.undo()
    server.stop()


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_an_object_is_read_and_no_copy_of_it_stays(tmp_path, bucket, scheme):
    content = f"{HEADER}\n{ROW}\nmalformed\n".encode()
    bucket.put_object(Bucket="payments", Key="day/rows.csv", Body=content)
    result, clean, bad = ready(tmp_path, f"{scheme}://payments/day/rows.csv", max_bad_share=1)
    assert (result.source, len(clean), len(bad)) == (f"{scheme}://payments/day/rows.csv", 1, 1)
    assert result.digest == hashlib.sha256(content).hexdigest()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "quarantine.parquet", "transactions.parquet"]


def test_an_object_that_cannot_be_had_is_refused(tmp_path, bucket):
    bucket.put_object(Bucket="payments", Key="folder.csv/rows.csv", Body=b"x")
    bucket.put_object(Bucket="payments", Key="empty.csv", Body=b"")
    assert "no such object" in refusal("s3://payments/none.csv", tmp_path)
    assert "no such object" in refusal("s3://nobody/rows.csv", tmp_path)
    assert "is a directory" in refusal("s3://payments/folder.csv", tmp_path)
    assert "is empty" in refusal("s3://payments/empty.csv", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_refused(tmp_path):
    assert "use a local path or one of s3://" in refusal("https://host/rows.csv", tmp_path)


def test_an_endpoint_that_does_not_answer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert "cannot be fetched" in refusal("s3://payments/rows.csv", tmp_path)
