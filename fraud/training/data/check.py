"""The check of a file before training: what it is, and what would become of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud import clock
from fraud.training.data import dataset, parsing, periods, quarantine
from fraud.training.data.dataset import OpenedData
from fraud.training.data.file_validation import ValidatedFile, validate_file
from fraud.training.data.options import Reading
from fraud.training.data.periods import TrainingPeriod
from fraud.training.data.quarantine import Loss
from fraud.training.data.readers import Source
from fraud.training.errors import TrainingError
from fraud.training.settings import Split

EXAMPLES = 3                # values shown of each column
FEW_INCIDENTS = 30          # in the test period: F1 has a wide interval below
ONE_ACCOUNT_SHARE = 0.5     # of the payments: an account that many share is no account
FEW_ROWS = 100              # up to which one account may have most of them
SAMPLE = 20_000             # payments from which the largest account is estimated
SHOWN = 60                  # characters of a value


class CheckResult(NamedTuple):
    """The result of a check: lines for people, and whether the file can be used."""

    lines: list[str]
    usable: bool


def check(source: str, reading: Reading, split: Split) -> CheckResult:
    """Check a file of payments.

    Args:
        source: see `dataset.prepare`.

    Raises:
        TrainingError: the file cannot be read, or lacks columns.
    """
    with tempfile.TemporaryDirectory() as directory, \
            dataset.open_data(source, reading, Path(directory)) as data:
        lines = [f"{source}: {data.source.description}", *columns(data.source)]
        validated = validate_file(data.source, data.columns, reading.payment_types,
                                  reading.label_delay_ms)
        bad_rows = Path(directory, dataset.QUARANTINE_FILE)
        reasons = quarantine.write(data.source, data.columns.names, validated, bad_rows)
        invalid = quarantine.read(bad_rows)
        lines += _rows(data, validated, reasons)
        lines += _losses(reasons, invalid)
        try:
            dataset.check_losses(source, validated, reasons, reading.max_bad_share, bad_rows)
        except TrainingError as error:
            return CheckResult([*lines, f"not usable: {error}"], False)
        payments = dataset.in_event_order(
            dataset.complete(validated, data.digest, reading.label_delay_ms))
    of_periods = periods.of_payments(payments, split)
    lines += ["periods", *(f"  {period}" for period in of_periods)]
    lines += [f"caution: {text}" for text in _cautions(payments, of_periods)]
    problems = [period.problem for period in of_periods if period.problem]
    lines += [f"not usable: {problem}" for problem in problems]
    return CheckResult(lines, not problems)


def columns(source: Source) -> list[str]:
    """Return a line for each column, with examples of the first rows."""
    batch = next(iter(source.batches(list(source.columns), [])), None)
    lines = ["columns"]
    for name, kind in source.columns.items():
        shown = "" if batch is None else ", ".join(map(_shown, examples(batch, name)))
        described = "" if pa.types.is_binary(kind) else f" ({kind})"
        lines.append(f"  {name}{described}: {shown}")
    return lines


def examples(batch: pa.RecordBatch, name: str) -> list[object]:
    """Return the first different values of a column, text without blanks around it."""
    column = batch.column(batch.schema.names.index(name))
    if parsing.is_text(column.type):
        column = parsing.text(column)[0]
    values = pc.unique(column.slice(0, 1_000)).to_pylist()
    return [value for value in values if value not in (None, "")][:EXAMPLES]


def words(column: pa.Array) -> list[str]:
    """Return the different values of a column as text, without missing ones."""
    if parsing.is_text(column.type):
        column = parsing.text(column)[0]
    return [str(value) for value in pc.unique(column).to_pylist() if value not in (None, "")]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _rows(data: OpenedData, validated: ValidatedFile, reasons: dict[str, Loss]) -> list[str]:
    good, bad = validated.good, sum(loss.lines for loss in reasons.values())
    frauds = int(pc.sum(good["is_fraud"]).as_py() or 0)
    lines = [f"rows  {good.num_rows:,} payments (frauds: {frauds:,}); {bad:,} would go to "
             f"quarantine, {validated.blank:,} are blank and skipped",
             f"form  {data.columns.form}"
             + (f"; columns not used: {', '.join(data.columns.ignored)}"
                if data.columns.ignored else "")]
    if validated.rounded:
        lines.append(f"{validated.rounded:,} payments have money with float noise, which is "
                     "rounded to whole cents")
    return lines


def _losses(reasons: dict[str, Loss], invalid: pa.Table) -> list[str]:
    """Return what would go to quarantine, by reason, with its first row."""
    lines = []
    for name, loss in reasons.items():
        first = invalid.slice(pc.index(invalid["reason"], name).as_py(), 1).to_pylist()[0]
        lines += [f"quarantine  {name}: {loss.lines:,} rows (frauds: {loss.frauds:,}, money: "
                  f"{loss.amount:,.2f})", f"  {quarantine.explained(first)}"]
    return lines


def _cautions(payments: pa.Table, of_periods: Sequence[TrainingPeriod]) -> list[str]:
    """Return what is no error and may still be wrong."""
    cautions = []
    sample = payments.take(pa.array(np.linspace(0, payments.num_rows - 1, SAMPLE, dtype=int)))
    for side in ("origin", "destination"):
        if payments[side].null_count == payments.num_rows:
            cautions.append(f"no payment has a {side}")
            continue
        counts = pc.value_counts(sample[side].drop_null().combine_chunks()).field("counts")
        share = pc.max(counts).as_py() / SAMPLE if len(counts) else 0.0
        if share > ONE_ACCOUNT_SHARE and payments.num_rows > FEW_ROWS:
            cautions.append(f"one {side} has about {share:.0%} of the payments; its history says "
                            "nothing about a customer")
    for side in ("origin", "destination"):
        unknown = payments[f"{side}_balance_cents"].null_count / payments.num_rows
        if unknown:
            cautions.append(f"{side}_balance is not known for {unknown:.0%} of the payments")
    times = payments["event_time"].to_numpy()
    if np.all(times % clock.DAY_MS == 0):
        cautions.append("all payments are at midnight: the hours of a day are not known, and the "
                        "windows of history see whole days")
    elif (times[-1] - times[0]) < 2 * clock.DAY_MS:
        cautions.append("the payments span less than two days; features look back a month")
    test = of_periods[-1]
    if test.incidents < FEW_INCIDENTS:
        cautions.append(f"the test period has {test.incidents} incidents; its F1 will have a wide "
                        f"interval below {FEW_INCIDENTS}")
    return cautions
