"""The stages of dvc.yaml, each from files to files: acquire, validate, features.

    python -m fraud.training.stages acquire --out data/transactions.parquet
    python -m fraud.training.stages validate --transactions data/transactions.parquet \\
        --out data/validated
    python -m fraud.training.stages features --validated data/validated --out data/features

`make data` runs the stages whose input has changed. A training run does the same with its file;
stages keep each result as a version, for notebooks and comparisons. The same input gives the same
bytes, on any number of cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from fraud.command_line import Arguments, command, parser
from fraud.errors import JSON_ERRORS
from fraud.training import acquire, settings
from fraud.training.data import dataset, options, periods
from fraud.training.errors import TrainingError
from fraud.training.features.partitions import FOLDER
from fraud.training.files import reason, write_parquet

PREPARED_FILE = "prepared.json"         # `dataset.Prepared`
FEATURES_FILE = "features.parquet"      # in the folder of each split


def validate(source: str, directory: Path, data: settings.Data,
             columns: str | None = None) -> dataset.Prepared:
    """Write the valid and the invalid rows of a file of payments, and a summary.

    Args:
        columns: the path of a mapping, if the file needs one.

    Raises:
        TrainingError: see `dataset.prepare`.
    """
    prepared = dataset.prepare(source, directory, options.reading(data, columns))
    (directory / PREPARED_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(prepared)))
    return prepared


def features(validated: Path, directory: Path, split: settings.Split) -> int:
    """Write the features of all payments, one folder for each split, in event order.

    Args:
        validated: the output of `validate`.

    Returns:
        the number of payments.

    Raises:
        TrainingError: it is not the output of `validate`.
    """
    import pyarrow.parquet as pq

    from fraud.training.features import spark_job

    prepared = _prepared(validated / PREPARED_FILE)
    with tempfile.TemporaryDirectory(dir=validated.parent) as parts:
        with spark_job.explained_failures(), spark_job.session() as spark:
            spark_job.write_features(
                spark, prepared.feature_table, str(validated / dataset.TRANSACTIONS_FILE), parts,
                periods.borders(prepared.first_time, prepared.last_time, split),
                prepared.recording_since)
        for name in periods.NAMES:      # Spark names and orders its files differently each time
            folder = FOLDER.format(name)
            part = pq.read_table(Path(parts, folder), partitioning=None)
            (directory / folder).mkdir(parents=True, exist_ok=True)
            write_parquet(part.sort_by("position"), directory / folder / FEATURES_FILE)
    return prepared.sampled_rows


def _prepared(file: Path) -> dataset.Prepared:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dataset.Prepared)
    except (OSError, *JSON_ERRORS) as error:
        raise TrainingError(f"{file}: {reason(error)}; run the stage validate first") from error


@command
def main(arguments: Arguments) -> None:
    chosen = _parser().parse_args(arguments)
    print(_run(chosen, settings.load(chosen.settings)))


def _run(arguments: argparse.Namespace, chosen: settings.TrainingSettings) -> str:
    match arguments.stage:
        case "acquire":
            acquire.store(arguments.transactions, arguments.rows, arguments.out, chosen.seed)
            return f"the payments are in {arguments.out}"
        case "validate":
            prepared = validate(arguments.transactions, arguments.out, chosen.data,
                                arguments.columns)
            return (f"{prepared.rows:,} payments and {prepared.bad:,} invalid rows are in "
                    f"{arguments.out}")
        case _:
            rows = features(arguments.validated, arguments.out, chosen.split)
            return f"the features of {rows:,} payments are in {arguments.out}"


def _parser() -> argparse.ArgumentParser:
    root = parser("python -m fraud.training.stages", __doc__)
    root.add_argument("--settings", type=Path, default=Path("flows/train_flow.toml"),
                      help="seed, [data] and [split] (default %(default)s)")
    stages = root.add_subparsers(dest="stage", required=True)
    first = stages.add_parser("acquire", help="copy, download or simulate a file of payments")
    first.add_argument("--transactions", default="", help="a path, or s3://BUCKET/KEY, "
                       "kaggle://OWNER/NAME/FILE, hf://OWNER/NAME/FILE (default: a simulation)")
    first.add_argument("--rows", type=int, help="of the simulation (default 1000000)")
    second = stages.add_parser("validate", help="separate payments from invalid rows")
    second.add_argument("--transactions", required=True, metavar="PATH",
                        help="payments: Parquet or CSV, local or s3://")
    second.add_argument("--columns", metavar="MAPPING",
                        help="a mapping of the file's columns, see docs/your-data.md")
    third = stages.add_parser("features", help="compute features of validated payments in Spark")
    third.add_argument("--validated", type=Path, required=True, metavar="DIRECTORY",
                       help="the output of the stage validate")
    for stage, result in ((first, "the file to write"), (second, "the folder to write"),
                          (third, "the folder to write")):
        stage.add_argument("--out", type=Path, required=True, help=result)
    return root


if __name__ == "__main__":
    main()
