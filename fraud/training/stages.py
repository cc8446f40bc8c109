"""The stages of dvc.yaml, each from files to files: acquire, validate, features.

    python -m fraud.training.stages acquire data/transactions.parquet
    python -m fraud.training.stages validate data/transactions.parquet data/validated
    python -m fraud.training.stages features data/validated data/features

`make data` runs those whose input has changed. A training run does the same to the file that it is
given; stages leave each result as a version of its own, for notebooks and for comparison. The same
input gives the same bytes, on any number of cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path

import msgspec

from fraud.training import acquire, dataset, settings, splits
from fraud.training.errors import TrainingError
from fraud.training.files import reason, write_parquet

PREPARED_FILE = "prepared.json"         # `dataset.Prepared`
FEATURES_FILE = "features.parquet"      # in the folder of each split


def validate(source: str, directory: Path, data: settings.Data) -> dataset.Prepared:
    """Write the good and the bad rows of a file of payments, and what became of it.

    Raises:
        TrainingError: see `dataset.prepare`.
    """
    prepared = dataset.prepare(source, directory, max_bad_share=data.max_bad_share,
                               label_delay_hours=data.label_delay_hours)
    (directory / PREPARED_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(prepared)))
    return prepared


def features(validated: Path, directory: Path, split: settings.Split) -> int:
    """Write the features of all payments, one folder a split, each in event order.

    Args:
        validated: what `validate` wrote.

    Returns:
        the number of payments.

    Raises:
        TrainingError: nothing was validated there.
    """
    import pyarrow.parquet as pq

    from fraud.training import feature_job

    prepared = _prepared(validated / PREPARED_FILE)
    with tempfile.TemporaryDirectory(dir=validated.parent) as parts:
        with feature_job.session() as spark:
            feature_job.write_features(
                spark, str(validated / dataset.TRANSACTIONS_FILE), parts,
                splits.borders(prepared.first_time, prepared.last_time, split))
        for name in splits.NAMES:      # Spark names and orders its files anew each time
            folder = splits.FOLDER.format(name)
            part = pq.read_table(Path(parts, folder), partitioning=None)
            (directory / folder).mkdir(parents=True, exist_ok=True)
            write_parquet(part.sort_by("position"), directory / folder / FEATURES_FILE)
    return prepared.sampled_rows


def _prepared(file: Path) -> dataset.Prepared:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dataset.Prepared)
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError(f"{file}: {reason(error)}; run the stage validate first") from None


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        print(_run(options, settings.parse(tomllib.loads(options.settings.read_text()))))
    except (TrainingError, OSError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"error: {error}")


def _run(options: argparse.Namespace, chosen: settings.Settings) -> str:
    match options.stage:
        case "acquire":
            acquire.place(options.transactions, options.rows, options.out, chosen.seed)
            return f"the payments are in {options.out}"
        case "validate":
            prepared = validate(options.transactions, options.out, chosen.data)
            return f"{prepared.rows:,} payments and {prepared.bad:,} bad rows are in {options.out}"
        case _:
            rows = features(options.validated, options.out, chosen.split)
            return f"the features of {rows:,} payments are in {options.out}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.stages", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, default=Path("flows/train_flow.toml"),
                        help="seed, [data] and [split] (default %(default)s)")
    stages = parser.add_subparsers(dest="stage", required=True)
    first = stages.add_parser("acquire", help="copy, download or simulate a file of payments")
    first.add_argument("--transactions", default="", help="a path, or s3://BUCKET/KEY, "
                       "kaggle://OWNER/NAME/FILE, hf://OWNER/NAME/FILE (default: simulated)")
    first.add_argument("--rows", type=int, help="of the simulation (default 1000000)")
    second = stages.add_parser("validate", help="tell payments from rows that are none")
    second.add_argument("transactions")
    third = stages.add_parser("features", help="compute features of what was validated, in Spark")
    third.add_argument("validated", type=Path)
    for stage, result in ((first, "the file to write"), (second, "the folder to write"),
                          (third, "the folder to write")):
        stage.add_argument("out", type=Path, help=result)
    return parser


if __name__ == "__main__":
    main()
