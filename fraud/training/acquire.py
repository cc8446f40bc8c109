"""Acquisition of payments: a named file, a download, or else a simulation."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path

from fraud.training.data import hubs
from fraud.training.errors import TrainingError
from fraud.training.files import fetched, not_writable
from fraud.training.simulate import simulator

DEFAULT_FILE = "transactions.parquet"


def acquire(transactions: str | None, rows: int | None, directory: Path, seed: int) -> str:
    """Return the path or URI of the payments; missing files are downloaded or simulated.

    Args:
        transactions: a path or s3:// URI, returned unchanged, or a URI of `hubs.SCHEMES`, whose
            file is downloaded into the directory unless it exists.
        rows: size of a simulation, which becomes part of its name; by default
            `transactions.parquet` is used, and simulated at the default size if absent.
        directory: of downloaded and simulated files, made if absent.

    Raises:
        TrainingError: both are given, or the file cannot be downloaded, simulated or written.
    """
    if transactions and rows:
        raise TrainingError(f"--rows {rows} sizes a simulation and --transactions "
                            f"{transactions} names a file: give one of them")
    if transactions and not transactions.startswith(hubs.SCHEMES):
        return transactions
    if transactions:
        path = directory.joinpath(*transactions.split("/")[2:])
    else:
        path = directory / (f"simulated-{rows}.parquet" if rows else DEFAULT_FILE)
    if not path.exists():
        print(f"{path} is absent: {'downloading' if transactions else 'simulating'} it")
        store(transactions, rows, path, seed)
    return str(path)


def store(transactions: str | None, rows: int | None, path: Path, seed: int) -> None:
    """Write the bytes of a named file, or a simulation, to a path.

    Args:
        transactions: a path, or a URI on S3 or of `hubs.SCHEMES`; empty: simulate.
        rows: size of the simulation (default `simulate.DEFAULT_ROWS`).

    Raises:
        TrainingError: the file cannot be read, has another extension than the path, or cannot be
            written; or the path holds other payments, which are kept.
    """
    if transactions and Path(transactions).suffix != path.suffix:
        raise TrainingError(f"{transactions}: cannot become {path}, which ends in {path.suffix}: "
                            "give both the same extension")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            arrived = Path(directory, path.name)
            _fetch(transactions, rows, arrived, seed)
            if path.exists() and not filecmp.cmp(arrived, path, shallow=False):
                raise TrainingError(f"{path}: holds other payments, and is not overwritten; "
                                    "move it away, or name another file")
            arrived.replace(path)
    except OSError as error:
        raise not_writable(path.parent, error) from error


def _fetch(transactions: str | None, rows: int | None, path: Path, seed: int) -> None:
    if not transactions:
        simulator.create(rows or simulator.DEFAULT_ROWS, seed, path)
    elif transactions.startswith(hubs.SCHEMES):
        hubs.download(transactions, path)
    else:
        with fetched(transactions, path.parent) as file:
            if len(file.paths) > 1:
                raise TrainingError(f"{transactions}: names {len(file.paths)} files, and {path} is "
                                    "one; name one of them, or join them")
            shutil.copyfile(file.paths[0], path)
