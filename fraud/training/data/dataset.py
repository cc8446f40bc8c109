"""Preparation of a file of payments: a clean Parquet in event order, and a quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from fraud.features import DEFAULT, FeatureTable
from fraud.training.data import paysim, quarantine
from fraud.training.data.column_forms import FileColumns, match_columns
from fraud.training.data.file_validation import ValidatedFile, validate_file
from fraud.training.data.mapped_columns import MappedColumns
from fraud.training.data.options import DEFAULTS, Reading
from fraud.training.data.quarantine import Loss
from fraud.training.data.readers import Source, open_source
from fraud.training.errors import TrainingError
from fraud.training.files import fetched, not_writable, write_parquet
from fraud.transaction import TYPES, Transaction

TRANSACTIONS_FILE = "transactions.parquet"
QUARANTINE_FILE = "quarantine.parquet"
SCHEMA = pa.schema({
    "position": pa.int64(),                  # 0.. in event order
    "transaction_id": pa.string(),
    "event_time": pa.int64(),                # ms since the epoch, UTC
    "type": pa.string(),
    "amount_cents": pa.int64(),
    "origin": pa.string(),
    "destination": pa.string(),              # null where there is none
    "origin_balance_cents": pa.int64(),      # before the payment; null where not known
    "destination_balance_cents": pa.int64(),
    "is_fraud": pa.int8(),
    "label_time": pa.int64(),                # ms since the epoch; `validation.NOT_KNOWN`: no label
    "incident_id": pa.string(),              # of frauds; a fraud without one is a separate incident
    "fraud_type": pa.string(),               # where a simulator says it
})


@dataclass(frozen=True)
class Prepared:
    """The result of preparing a source file, in plain values for cards and logs."""

    source: str
    digest: str                 # sha256 of the file's bytes, hexadecimal
    transactions: str           # path of the clean Parquet: `SCHEMA`
    quarantine: str             # path of the invalid rows' Parquet: `quarantine.SCHEMA`
    rows: int                   # valid rows in the file
    bad: int                    # lines of invalid rows
    reasons: dict[str, Loss]    # the loss by reason
    blank: int                  # rows without any value, which are skipped
    rounded: int                # payments with money that float noise had moved off whole cents
    ignored: list[str]          # columns of the file that were not used
    types: tuple[str, ...]      # that a payment may have
    time_base: str              # "event_time", or "step": hours that were given dates here
    mapping_digest: str         # sha256 of the mapping; empty without one
    left_out: list[str]         # features that no payment allows to compute
    out_of_order: int           # valid rows behind a later one, which were sorted
    sampled_rows: int           # rows in the clean Parquet; this and what follows after sampling
    frauds: int
    incidents: int
    first_time: int             # ms since the epoch, UTC
    last_time: int
    recording_since: int        # ms since the epoch: payments from before it may be missing

    @property
    def feature_table(self) -> FeatureTable:
        """The features that models of these payments see."""
        return FeatureTable(self.types, self.left_out)

    @property
    def lost_frauds(self) -> int:
        """The number of frauds in quarantine."""
        return sum(loss.frauds for loss in self.reasons.values())


class OpenedData(NamedTuple):
    """A file of payments, open and recognised."""

    source: Source
    columns: FileColumns | MappedColumns
    digest: str


@contextmanager
def open_data(source: str, reading: Reading, directory: Path) -> Iterator[OpenedData]:
    """Open a file of payments for a block, and recognise its columns.

    Args:
        source: see `prepare`.
        directory: holds the copy of a file on S3.

    Raises:
        TrainingError: the file cannot be read, or lacks columns.
    """
    reading.check()
    with fetched(source, directory) as file, open_source(file) as opened:
        columns = (MappedColumns(opened.name, opened.columns, reading.mapping)
                   if reading.mapping else match_columns(opened.name, opened.columns))
        twice = sorted(opened.repeated.intersection(columns.names))
        if twice:
            raise TrainingError(f"{source}: has the column {twice[0]!r} twice; keep one")
        yield OpenedData(opened, columns, file.digest)


def prepare(source: str, directory: Path, reading: Reading = DEFAULTS, sample: float = 1.0
            ) -> Prepared:
    """Validate a file of payments and write valid and invalid rows to two Parquet files.

    Args:
        source: CSV or Parquet with the columns of a payment, of PaySim or of PaySim 2, or of the
            mapping; a local file, folder or glob, or an s3:// URI.
        directory: receives `TRANSACTIONS_FILE` and `QUARANTINE_FILE`; made if absent.
        sample: keeps the payments of this share of origins, chosen by a hash of the name: the
            same on every machine, and a larger share holds all of a smaller one. What a kept
            origin sent is whole; what it received from dropped origins is missing, and so is
            most of what destinations received.

    Raises:
        TrainingError: the file cannot be read or has other columns, too many rows are invalid (the
            quarantine is written all the same), or the directory is not writable.
    """
    if not 0 < sample <= 1:
        raise TrainingError(f"sample is {sample}: give a share above 0 and at most 1")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(directory, error) from error
    bad_rows = directory / QUARANTINE_FILE
    with open_data(str(source), reading, directory) as data:
        validated = validate_file(data.source, data.columns, reading.payment_types,
                                  reading.label_delay_ms)
        reasons = quarantine.write(data.source, data.columns.names, validated, bad_rows)
        is_complete = data.source.holds_all_history
    check_losses(str(source), validated, reasons, reading.max_bad_share, bad_rows)
    payments = complete(validated, data.digest, reading.label_delay_ms)
    times = payments["event_time"].to_numpy()
    ordered = _sampled(in_event_order(payments), sample)
    write_parquet(ordered, directory / TRANSACTIONS_FILE)
    return Prepared(
        source=str(source),
        digest=data.digest,
        transactions=str(directory / TRANSACTIONS_FILE),
        quarantine=str(bad_rows),
        rows=payments.num_rows,
        bad=sum(loss.lines for loss in reasons.values()),
        reasons=reasons,
        blank=validated.blank,
        rounded=validated.rounded,
        ignored=data.columns.ignored,
        types=reading.payment_types,
        time_base=data.columns.time_base,
        mapping_digest=reading.mapping.digest if reading.mapping else "",
        left_out=_left_out(ordered),
        out_of_order=int(np.count_nonzero(times < np.maximum.accumulate(times))),
        sampled_rows=ordered.num_rows,
        frauds=pc.sum(ordered["is_fraud"]).as_py(),
        incidents=pc.count_distinct(ordered["incident_id"]).as_py(),
        first_time=ordered["event_time"][0].as_py(),
        last_time=ordered["event_time"][-1].as_py(),
        recording_since=0 if is_complete else ordered["event_time"][0].as_py(),
    )


def _left_out(payments: pa.Table) -> list[str]:
    """Return the features that are not known for any of the payments."""
    def known(name: str, value):
        return None if payments[name].null_count == payments.num_rows else value

    example = Transaction("", 0, TYPES[0], 1, "origin", known("destination", "destination"),
                          known("origin_balance_cents", 1), known("destination_balance_cents", 1))
    return DEFAULT.unknown(example)


def check_losses(source: str, validated: ValidatedFile, reasons: dict[str, Loss], limit: float,
                 bad_rows: Path) -> None:
    """Raise TrainingError if too many rows, or too many frauds, are invalid."""
    bad, good = sum(loss.lines for loss in reasons.values()), validated.good.num_rows
    lost, frauds = (sum(loss.frauds for loss in reasons.values()),
                    int(np.count_nonzero(validated.is_fraud)))
    if good and bad <= limit * (bad + good) and lost <= limit * frauds:
        return
    counts = ", ".join(f"{reason} {loss.lines:,}" for reason, loss in reasons.items())
    message = (f"{source}: {bad:,} of {bad + good:,} rows are invalid ({counts}), "
               f"{lost:,} of {frauds:,} frauds among them")
    if not good:
        message += "; none is left"
    elif bad > limit * (bad + good):
        message += f"; more than the allowed share of {limit:g} of the rows"
    else:
        message += f"; more than the allowed share of {limit:g} of the frauds"
    advice = "fix the file" if not good else "fix the file or raise max_bad_share"
    raise TrainingError(f"{message}. The first: {quarantine.first(bad_rows)}. They are in "
                        f"{bad_rows}: {advice}")


def complete(validated: ValidatedFile, digest: str, label_delay: int) -> pa.Table:
    """Return the valid rows with all columns of `SCHEMA` except the position, in file order."""
    rows, positions = validated.good, validated.positions[validated.codes == 0]
    if "step" in rows.column_names:
        times = paysim.event_times(validated.time)[validated.codes == 0]
        rows = paysim.complete(rows, positions, times, digest, label_delay)
    elif rows["transaction_id"].null_count == rows.num_rows:
        ids = paysim.numbered(f"{digest[:8]}-", positions, width=12)
        rows = rows.set_column(rows.schema.get_field_index("transaction_id"), "transaction_id", ids)
    incident = pc.coalesce(rows["incident_id"], rows["transaction_id"])
    incident = pc.if_else(pc.equal(rows["is_fraud"], 1), incident, None)
    return rows.set_column(rows.schema.get_field_index("incident_id"), "incident_id", incident)


def in_event_order(payments: pa.Table) -> pa.Table:
    """Sort by event_time, then by transaction_id as UTF-8 bytes, as Arrow compares strings."""
    time, name = payments["event_time"].to_numpy(), payments["transaction_id"]
    ties = np.flatnonzero(time[1:] == time[:-1])
    sorted_by_name = pc.all(pc.less(name.take(pa.array(ties)), name.take(pa.array(ties + 1))))
    if (time[1:] >= time[:-1]).all() and (not ties.size or sorted_by_name.as_py()):
        return payments
    return payments.sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])


def _sampled(payments: pa.Table, sample: float) -> pa.Table:
    """Return the payments of a share of origins, with positions, in `SCHEMA`."""
    if sample < 1:
        origins = pc.dictionary_encode(payments["origin"].combine_chunks())
        hashes = hash_array(origins.dictionary.to_numpy(zero_copy_only=False), categorize=False)
        payments = payments.filter(pa.array((hashes < sample * 2.0 ** 64)[origins.indices]))
        if not payments.num_rows:
            raise TrainingError(f"sample is {sample}: no origin is left; give a larger share")
    positions = pa.array(np.arange(payments.num_rows))
    return payments.append_column("position", positions).select(SCHEMA.names).cast(SCHEMA)
