"""The dialect of a CSV file: encoding, separator and quote, from its content."""

from __future__ import annotations

import codecs
import csv
import re
from typing import NamedTuple

import pyarrow as pa

from fraud.training.data.formats import OpenedFile
from fraud.training.files import BLOCK

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_BYTES = 1 << 16
SAMPLE_LINES = 50
UTF_8_SEQUENCE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")      # of cp1252 hardly ever
EXCEL_SEPARATOR = re.compile(r'^"?sep=(.)"?$')      # Excel's first line


class Dialect(NamedTuple):
    """The form of a CSV file."""

    encoding: str           # utf-8, cp1252, or latin-1 where cells are decoded one by one
    separator: str
    quote: str
    skipped: int            # lines before the header
    ends_with_line: bool    # the last line is complete

    @property
    def description(self) -> str:
        """The form in words."""
        encoding = "UTF-8 with damaged cells" if self.encoding == "latin-1" else self.encoding
        quote = ", quotes '" if self.quote == "'" else ""
        return f"{encoding}, separated by {SEPARATORS[self.separator]}{quote}"


def stream(file: OpenedFile) -> pa.NativeFile:
    """Open a CSV file, decompressed, after its byte order mark."""
    opened = pa.input_stream(str(file.path), compression=file.format.compression)
    if opened.read(3) == codecs.BOM_UTF8:
        return opened
    return pa.input_stream(str(file.path), compression=file.format.compression)


def sniff(file: OpenedFile) -> Dialect:
    """Return the dialect of a file, which is read once for its encoding."""
    encoding, last_byte = _encoding(file)
    with stream(file) as opened:
        sample = opened.read(SAMPLE_BYTES)
    lines = sample.decode(encoding, "replace").splitlines()[:SAMPLE_LINES]
    named = EXCEL_SEPARATOR.match(lines[0]) if lines else None
    if named and named.group(1) in SEPARATORS:
        return Dialect(encoding, named.group(1), _quote(lines[1:], named.group(1)), 1,
                       last_byte in b"\r\n")
    separator = _separator(lines)
    return Dialect(encoding, separator, _quote(lines[1:], separator), 0, last_byte in b"\r\n")


def _separator(lines: list[str]) -> str:
    """Return the separator that cuts the most lines into as many cells as the header."""
    def score(separator: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
        if not widths or widths[0] == 1:
            return 0, 0
        return widths.count(widths[0]), widths[0]

    return max(SEPARATORS, key=score)


def _quote(lines: list[str], separator: str) -> str:
    """Return ' if it encloses cells in each line and " occurs in none."""
    def has_quoted_cell(line: str) -> bool:
        return any(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in line.split(separator))

    lines = [line for line in lines if line.strip()]
    is_single = lines and all(has_quoted_cell(line) and '"' not in line for line in lines)
    return "'" if is_single else '"'


def _encoding(file: OpenedFile) -> tuple[str, bytes]:
    """Return the encoding of a file, and its last byte.

    A file that is not UTF-8 is UTF-8 with damaged cells if it holds a character of UTF-8 beyond
    ASCII, or a byte that cp1252 does not have, and otherwise cp1252.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, last = True, b"\n"
    with stream(file) as opened:
        while block := opened.read(BLOCK):
            last = block[-1:]
            if is_utf8:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    is_utf8 = False
    if is_utf8:
        try:
            decoder.decode(b"", final=True)
            return "utf-8", last
        except UnicodeDecodeError:
            pass
    return _of_bytes(file), last


def _of_bytes(file: OpenedFile) -> str:
    with stream(file) as opened:
        while block := opened.read(BLOCK):
            if any(_decodes(sequence, "utf-8") for sequence in UTF_8_SEQUENCE.findall(block)):
                return "latin-1"
            if not _decodes(block, "cp1252"):
                return "latin-1"
    return "cp1252"


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
