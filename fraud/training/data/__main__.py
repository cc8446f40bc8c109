"""Check a file of payments before training, and show the rows that training refused.

    python -m fraud.training.data check payments.csv
    python -m fraud.training.data check payments.csv --columns mapping.toml
    python -m fraud.training.data quarantine data/runs/1/quarantine.parquet

`check` says what the file is, what would become of its rows, and where the periods of training lie.
Where the columns are not those of a payment, it drafts a mapping.

Exit codes of check: 0 the file can be used, 2 it cannot.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from fraud.command_line import Arguments, command, parser
from fraud.training import settings
from fraud.training.data import check, mapping_draft, options, quarantine
from fraud.training.data.readers import open_source
from fraud.training.errors import TrainingError
from fraud.training.files import fetched, not_writable

SHOWN = 50


@command
def main(arguments: Arguments) -> int:
    chosen = _parser().parse_args(arguments)
    if chosen.command == "quarantine":
        _show(chosen)
        return 0
    return _check(chosen)


def _check(chosen: argparse.Namespace) -> int:
    training = settings.load(chosen.settings)
    try:
        checked = check.check(chosen.file, options.from_flags(chosen), training.split)
    except TrainingError:
        if not chosen.columns:
            _draft(chosen.file, chosen.draft)
        raise
    print("\n".join(checked.lines))
    return 0 if checked.usable else TrainingError.exit_code


def _draft(file: str, target: Path) -> None:
    """Write a draft of a mapping, if the file can be read and the target does not exist."""
    with tempfile.TemporaryDirectory() as directory, fetched(file, Path(directory)) as found, \
            open_source(found) as source:
        print("\n".join([f"{file}: {source.description}", *check.columns(source)]))
        if target.exists():
            print(f"{target} exists and is not overwritten; remove it to get a draft")
            return
        try:
            target.write_text(mapping_draft.draft(source))
        except OSError as error:
            raise not_writable(target.parent, error) from error
    print(f"A draft of a mapping is in {target}: check each line, and then run\n"
          f"    python -m fraud.training.data check {file} --columns {target}")


def _show(chosen: argparse.Namespace) -> None:
    table = quarantine.read(chosen.file)
    for row in table.slice(0, chosen.limit).to_pylist():
        print(f"row {row['row'] + 1}: {row['reason']}: {row['line']}")
    if table.num_rows > chosen.limit:
        print(f"and {table.num_rows - chosen.limit:,} more; --limit {table.num_rows} shows all")


def _parser() -> argparse.ArgumentParser:
    root = parser("python -m fraud.training.data", __doc__)
    commands = root.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="say what would become of a file")
    checking.add_argument("file", metavar="FILE",
                          help="payments: a file, folder or glob, or s3://BUCKET/KEY")
    options.add_flags(checking)
    checking.add_argument("--draft", type=Path, default=Path("mapping.toml"),
                          help="receives a draft of a mapping, where one is needed (default "
                               "%(default)s)")
    showing = commands.add_parser("quarantine", help="print the rows that are no payments")
    showing.add_argument("file", type=Path, metavar="FILE", help="quarantine.parquet of a run")
    showing.add_argument("--limit", type=int, default=SHOWN,
                         help="rows to print, at most (default %(default)s)")
    return root


if __name__ == "__main__":
    main()
