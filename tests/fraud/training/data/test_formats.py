import bz2
import gzip
import zipfile

import pyarrow.parquet as pq
import pytest

from fraud.training.data import formats
from fraud.training.data.dataset import prepare
from fraud.training.errors import TrainingError

TEXT = ("transaction_id,event_time,type,amount,origin,destination,origin_balance,"
        "destination_balance,is_fraud,label_time\n"
        "t\u00e9,1767225600000,TRANSFER,181.05,C1,C2,181.05,0,1,1767225600000\n")


def zipped(path, **files: str):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)


def write(path, kind: str) -> None:
    raw = TEXT.encode()
    match kind:
        case "gzip":
            path.write_bytes(gzip.compress(raw))
        case "bz2":
            path.write_bytes(bz2.compress(raw))
        case "zstd":
            import pyarrow as pa
            with pa.CompressedOutputStream(str(path), "zstd") as stream:
                stream.write(raw)
        case "zip":
            zipped(path, rows_csv=TEXT)
        case "utf-16":
            path.write_bytes(TEXT.encode("utf-16"))
        case "cp1252":
            path.write_bytes(TEXT.encode("cp1252"))
        case _:
            path.write_bytes(TEXT.replace(",", kind).encode())


@pytest.mark.parametrize("kind", ["gzip", "bz2", "zstd", "zip", "utf-16", "cp1252", ";", "\t", "|"])
def test_a_file_is_read_by_its_content_whatever_its_name(tmp_path, kind):
    write(tmp_path / "rows", kind)
    result = prepare(str(tmp_path / "rows"), tmp_path / "out")
    [row] = pq.read_table(result.transactions).to_pylist()
    assert (row["transaction_id"], row["amount_cents"], result.bad) == ("t\u00e9", 181_05, 0)


@pytest.mark.parametrize(("content", "message"), [
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook: save it as CSV"), (b"ARROW1\0\0", "an Arrow file"),
    (b"Obj\x01", "an Avro file"), (b"SQLite format 3\0", "an SQLite database"),
    (b'{"a": 1}', "is JSON"), (b"\xef\xbb\xbf [1]", "is JSON"), (b"<html>", "a web page"),
    (b"\x80\x04", "a pickle of Python"), (b"%PDF-1.5", "a PDF"),
    (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    (b"a\0b\0,\0", "begins with NUL bytes"), (gzip.compress(b'{"a": 1}'), "is JSON"),
    (gzip.compress(b"PAR1"), "is compressed with gzip and holds no CSV"),
    (gzip.compress(b"x" * 100)[:12], "cannot be decompressed"),
    (b"PK\x03\x04x", "cannot be extracted")])
def test_a_file_of_another_format_is_refused_as_what_it_is(tmp_path, content, message):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        with formats.opened("rows.csv", tmp_path / "rows.csv"):
            pass


def test_archives_of_several_files_and_workbooks_are_refused(tmp_path):
    zipped(tmp_path / "two.zip", a_csv="x", b_csv="y")
    with pytest.raises(TrainingError, match=r"is a zip archive of 2 files \(a.csv, b.csv\)"):
        prepare(str(tmp_path / "two.zip"), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(TrainingError, match="is an Excel workbook"):
        prepare(str(tmp_path / "book.xlsx"), tmp_path / "out")


def test_folders_and_globs_are_read_as_one_table(tmp_path):
    (tmp_path / "parts").mkdir()
    header, row = TEXT.splitlines()
    for number in range(3):
        (tmp_path / "parts" / f"part-{number}.csv").write_text(
            f"{header}\n{row.replace('t', f't{number}', 1)}\nbad\n")
    (tmp_path / "parts" / "_SUCCESS").write_text("")
    from fraud.training.data.options import Reading
    for source in ("parts", "parts/*.csv"):
        result = prepare(str(tmp_path / source), tmp_path / "out", Reading(max_bad_share=1))
        assert (result.rows, result.bad) == (3, 3)
        assert pq.read_table(result.quarantine)["row"].to_pylist() == [1, 3, 5]
    (tmp_path / "parts" / "part-1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TrainingError, match="has the columns a, b, and the first part of"):
        prepare(str(tmp_path / "parts"), tmp_path / "out")
