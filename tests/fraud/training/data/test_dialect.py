import csv
import io

import pytest
from hypothesis import given, strategies as st

from fraud.training.data import formats
from fraud.training.data.dialect import SEPARATORS, sniff
from fraud.training.data.readers import open_source
from fraud.training.files import fetched


def sniffed(tmp_path, content: bytes):
    (tmp_path / "rows.csv").write_bytes(content)
    with formats.opened("rows.csv", tmp_path / "rows.csv") as file:
        return sniff(file)


@pytest.mark.parametrize(("content", "separator"), [
    (b"a,b\n1,2\n", ","), (b"a;b\n1,5;2\n", ";"), (b"a\tb\n1\t2,3\n", "\t"),
    (b"a|b|c\n1|2|3\n", "|"),
    (b'a;b\n"1;2,3";4\n', ";"), (b"sep=;\na;b\n", ";"), (b"alone\n1\n", ",")])
def test_the_separator_that_cuts_the_lines_alike_is_found(tmp_path, content, separator):
    assert sniffed(tmp_path, content).separator == separator


@pytest.mark.parametrize(("content", "quote"), [
    (b"a,b\n'x','y'\n1,'z'\n", "'"), (b"a,b\n'x',\"y\"\n", '"'), (b"a,b\nO'Hara,'y'\nq,z\n", '"')])
def test_a_single_quote_is_a_quote_only_if_each_line_has_one(tmp_path, content, quote):
    assert sniffed(tmp_path, content).quote == quote


@pytest.mark.parametrize(("content", "encoding"), [
    ("a,b\n\u00e9,1\n".encode(), "utf-8"), ("a,b\n\u00e9,1\n".encode("cp1252"), "cp1252"),
    ("a,b\n\u00e9,1\n".encode() + b"\xe9,2\n", "latin-1"), (b"a,b\n\x81,2\n", "latin-1")])
def test_the_encoding_is_found(tmp_path, content, encoding):
    assert sniffed(tmp_path, content).encoding == encoding


def test_a_last_line_without_a_line_break_is_noted(tmp_path):
    assert sniffed(tmp_path, b"a,b\n1,2\n").ends_with_line
    assert not sniffed(tmp_path, b"a,b\n1,2").ends_with_line


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r'"), max_size=8)
tables = st.integers(2, 5).flatmap(lambda width: st.lists(
    st.lists(cells, min_size=width, max_size=width).filter(any), min_size=1, max_size=8))


@given(table=tables, separator=st.sampled_from(list(SEPARATORS)),
       end=st.sampled_from(["\n", "\r\n"]), encoding=st.sampled_from(["utf-8", "utf-8-sig"]))
def test_any_table_written_in_any_dialect_reads_back_equal(
        tmp_path_factory, table, separator, end, encoding):
    path = tmp_path_factory.mktemp("dialect") / "rows.csv"
    header = [f"column{number}" for number in range(len(table[0]))]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [header, *table])
    path.write_bytes(text.getvalue().encode(encoding))
    with fetched(str(path), path.parent) as file, open_source(file) as source:
        malformed = []
        rows = [[cell.decode() for cell in row.values()]
                for batch in source.batches(header, malformed) for row in batch.to_pylist()]
    assert list(source.columns) == header
    assert (rows, malformed) == (table, [])
