"""Formats of files, recognised by their content rather than by their name."""

from __future__ import annotations

import codecs
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa

from fraud.training.errors import TrainingError
from fraud.training.files import BLOCK, reason

PARQUET, CSV = "Parquet", "CSV"
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
ZIP = b"PK\x03\x04"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
AS_CSV = "save it as CSV (UTF-8) or Parquet"
EXCEL = (f"is an Excel workbook: {AS_CSV}; Excel rounds numbers beyond 15 digits, so make account "
         "numbers text first")
REFUSED = {         # the first bytes of files that hold no table, or one that is not read
    b"\xd0\xcf\x11\xe0": EXCEL,
    b"ARROW1": f"is an Arrow file: {AS_CSV}",
    b"Obj\x01": f"is an Avro file: {AS_CSV}",
    b"SQLite format 3": f"is an SQLite database: {AS_CSV}",
    b"\x89HDF": f"is an HDF5 file: {AS_CSV}",
    b"\x80": f"is a pickle of Python: {AS_CSV}",
    b"%PDF": f"is a PDF document: {AS_CSV}",
    b"7z\xbc\xaf": "is a 7z archive: extract it and name the file",
    b"Rar!": "is a RAR archive: extract it and name the file",
    b"version https://git-lfs": "is a pointer of Git LFS: fetch the file with git lfs pull",
    b"<": "is a web page or XML: download the file itself, or " + AS_CSV,
    b"{": f"is JSON: {AS_CSV}",
    b"[": f"is JSON: {AS_CSV}",
}
HEAD_BYTES = 64


class Format(NamedTuple):
    """The format of one file."""

    kind: str                   # `PARQUET` or `CSV`
    compression: str | None     # of CSV, as Arrow names it
    description: str            # for people


class OpenedFile(NamedTuple):
    """A file in a format that the readers read."""

    name: str                   # for messages
    path: Path
    format: Format


@contextmanager
def opened(name: str, path: Path) -> Iterator[OpenedFile]:
    """Give a file in a format that the readers read; archives and UTF-16 are copied for the block.

    Args:
        name: for messages.

    Raises:
        TrainingError: the file is of another format, or cannot be read.
    """
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    with TemporaryDirectory() as directory:
        if head.startswith(ZIP):
            member, extracted = _extracted(name, path, Path(directory))
            with opened(f"{name}/{member}", extracted) as inner:
                description = f"zip of {inner.format.description}"
                yield inner._replace(format=inner.format._replace(description=description))
        elif head.startswith(UTF_16):
            copy = Path(directory, "utf-8")
            _to_utf8(name, path, copy)
            yield OpenedFile(name, copy, Format(CSV, None, "CSV in UTF-16"))
        else:
            yield OpenedFile(name, path, _format(name, path, head))


def _format(name: str, path: Path, head: bytes) -> Format:
    if head.startswith(b"PAR1"):
        return Format(PARQUET, None, PARQUET)
    for magic, compression in COMPRESSIONS.items():
        if head.startswith(magic):
            _refuse(name, _first_bytes(name, path, compression))
            return Format(CSV, compression, f"CSV compressed with {compression}")
    _refuse(name, head)
    return Format(CSV, None, CSV)


def _first_bytes(name: str, path: Path, compression: str) -> bytes:
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            head: bytes = stream.read(HEAD_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{name}: cannot be decompressed ({reason(error)}); it may be cut off: "
                            "copy it again") from error
    if head.startswith((b"PAR1", *UTF_16, ZIP)):
        raise TrainingError(f"{name}: is compressed with {compression} and holds no CSV in UTF-8: "
                            "decompress it and name the result")
    return head


def _refuse(name: str, head: bytes) -> None:
    content = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, problem in REFUSED.items():
        if content.startswith(magic):
            raise TrainingError(f"{name}: {problem}")
    if b"\0" in head:
        raise TrainingError(f"{name}: begins with NUL bytes, so it is not CSV in UTF-8 (perhaps "
                            f"UTF-16 without its mark): {AS_CSV}")


def _extracted(name: str, path: Path, directory: Path) -> tuple[str, Path]:
    """Extract the only file of a zip archive, and return its name and path."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()
                       and not member.filename.startswith("__MACOSX/")]
            names = [member.filename for member in members]
            if "[Content_Types].xml" in names:
                raise TrainingError(f"{name}: {EXCEL}")
            if len(members) != 1:
                raise TrainingError(f"{name}: is a zip archive of {len(members)} files "
                                    f"({', '.join(names)}); extract it and name one file")
            target = directory / "member"
            with archive.open(members[0]) as member, open(target, "wb") as copy:
                shutil.copyfileobj(member, copy, BLOCK)
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError) as error:
        raise TrainingError(f"{name}: cannot be extracted ({reason(error)}); it may be cut off or "
                            "encrypted: extract it, and name the file") from error
    return names[0], target


def _to_utf8(name: str, path: Path, copy: Path) -> None:
    try:
        with open(path, encoding="utf-16", newline="") as text, \
                open(copy, "w", encoding="utf-8", newline="") as out:
            shutil.copyfileobj(text, out, BLOCK)
    except UnicodeError as error:
        raise TrainingError(f"{name}: begins as UTF-16 and does not go on so ({error}); {AS_CSV}"
                            ) from error
