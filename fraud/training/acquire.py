"""Where a run's payments come from: a file that is named, or else a simulation."""

from __future__ import annotations

from pathlib import Path

from fraud.training import simulate
from fraud.training.errors import TrainingError

DEFAULT_FILE = "transactions.parquet"


def acquire(transactions: str | None, rows: int | None, directory: Path, seed: int) -> str:
    """The path or URI of the payments; what does not exist yet is simulated.

    Args:
        transactions: a path or s3:// URI, used as it is.
        rows: size of a simulation, kept under a name that tells it; by default
            `transactions.parquet` is used, and simulated at the default size where it is absent.
        directory: holds simulated files, made if absent.

    Raises:
        TrainingError: both are given, or the simulation cannot be made or written.
    """
    if transactions:
        if rows:
            raise TrainingError(f"--rows {rows} sizes a simulation and --transactions "
                                f"{transactions} names a file: give one of them")
        return transactions
    path = directory / (f"simulated-{rows}.parquet" if rows else DEFAULT_FILE)
    if not path.exists():
        print(f"{path} is absent: simulating it")
        simulate.create(rows or simulate.DEFAULT_ROWS, seed, path)
    return str(path)
