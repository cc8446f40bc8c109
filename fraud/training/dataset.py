"""From one file of payments to a clean Parquet in event order, with every bad row accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array
from tqdm import tqdm

from fraud.training import paysim, quarantine, validation
from fraud.training.errors import TrainingError
from fraud.training.files import fetched, not_writable, write_parquet
from fraud.training.source import Malformed, Source, opened
from fraud.training.validation import CODES
from fraud.transaction import EVENT_TIME_LIMIT

TRANSACTIONS_FILE = "transactions.parquet"
QUARANTINE_FILE = "quarantine.parquet"
SCHEMA = pa.schema({
    "position": pa.int64(),                  # 0.. in event order
    "transaction_id": pa.string(),
    "event_time": pa.int64(),                # ms since the epoch, UTC
    "type_code": pa.int8(),                  # into `fraud.transaction.TYPES`
    "amount_cents": pa.int64(),
    "origin": pa.string(),
    "destination": pa.string(),
    "origin_balance_cents": pa.int64(),      # before the payment
    "destination_balance_cents": pa.int64(),
    "is_fraud": pa.int8(),
    "label_time": pa.int64(),                # ms since the epoch; `validation.NOT_KNOWN`: no label
    "incident_id": pa.string(),              # of frauds; one without is an incident of its own
    "fraud_type": pa.string(),               # where a simulator says it
})


@dataclass(frozen=True)
class Prepared:
    """What became of a source file. All values are plain, for cards and logs."""

    source: str
    digest: str                 # sha256 of the file's bytes, hexadecimal
    transactions: str           # path of the clean Parquet: `SCHEMA`
    quarantine: str             # path of the bad rows' Parquet: `quarantine.SCHEMA`
    rows: int                   # good rows in the file
    bad: int                    # lines of bad rows
    reasons: dict[str, int]     # the same by reason
    out_of_order: int           # good rows that stood behind a later one, and were sorted
    sampled_rows: int           # rows in the clean Parquet; this and what follows after sampling
    frauds: int
    incidents: int
    first_time: int             # ms since the epoch, UTC
    last_time: int


class _Judged(NamedTuple):
    """A whole file, judged."""

    good: pa.Table              # as `validation.check` gives them, in file order
    codes: np.ndarray           # int8 of `CODES`, of every row but the malformed
    positions: np.ndarray       # int64, of the same rows in the file
    steps: np.ndarray           # int64, of the same rows; empty where the form has none
    malformed: list[Malformed]


def prepare(source: str, directory: Path, *, sample: float = 1.0, max_bad_share: float = 0.01,
            label_delay_hours: float = 0.0) -> Prepared:
    """Validate a file of payments and write its good and its bad rows to two Parquet files.

    Args:
        source: a CSV or Parquet file with the columns of a payment, of PaySim or of PaySim 2; a
            local path or an s3:// URI.
        directory: receives `TRANSACTIONS_FILE` and `QUARANTINE_FILE`; made if absent.
        sample: keeps the payments of this share of origins, chosen by a hash of the name: the
            same on every machine, and a larger share holds all of a smaller one. What a kept
            origin sent is whole; what it received from dropped origins is missing, and so is
            most of what destinations received.
        max_bad_share: of the file's rows.
        label_delay_hours: from a PaySim payment to its label; other files have label times.

    Raises:
        TrainingError: the file cannot be read or has other columns, too many rows are bad (the
            quarantine is written all the same), or the directory is not writable.
    """
    _check_options(sample, max_bad_share, label_delay_hours)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(directory, error) from None
    with fetched(str(source), directory) as file:
        rows = opened(file)
        judged = _judge(rows)
        if len(judged.codes) + len(judged.malformed) == 0:
            raise TrainingError(f"{source}: holds no rows; export it again")
        if "step" not in rows.columns:
            judged = _without_repeats(judged)
        bad_rows = directory / QUARANTINE_FILE
        reasons = quarantine.write(rows, judged.codes, judged.positions, judged.malformed, bad_rows)
    _check_share(str(source), judged, reasons, max_bad_share, bad_rows)
    payments = _payments(judged, file.digest, round(label_delay_hours * paysim.HOUR))
    times = payments["event_time"].to_numpy()
    ordered = _sampled(_in_event_order(payments), sample)
    write_parquet(ordered, directory / TRANSACTIONS_FILE)
    return Prepared(
        source=str(source),
        digest=file.digest,
        transactions=str(directory / TRANSACTIONS_FILE),
        quarantine=str(bad_rows),
        rows=payments.num_rows,
        bad=sum(reasons.values()),
        reasons=reasons,
        out_of_order=int(np.count_nonzero(times < np.maximum.accumulate(times))),
        sampled_rows=ordered.num_rows,
        frauds=pc.sum(ordered["is_fraud"]).as_py(),
        incidents=pc.count_distinct(ordered["incident_id"]).as_py(),
        first_time=ordered["event_time"][0].as_py(),
        last_time=ordered["event_time"][-1].as_py(),
    )


def check_both_classes(prepared: Prepared) -> None:
    """Raises TrainingError where a model could not learn from the payments."""
    if prepared.frauds in (0, prepared.sampled_rows):
        kind = "no fraud" if prepared.frauds == 0 else "nothing but fraud"
        raise TrainingError(f"{prepared.source}: {kind} among {prepared.sampled_rows:,} payments; "
                            "a model learns from both: give a file, or a larger sample, with both")


def _check_options(sample: float, max_bad_share: float, label_delay_hours: float) -> None:
    if not 0 < sample <= 1:
        raise TrainingError(f"sample is {sample}: give a share above 0 and at most 1")
    if not 0 <= max_bad_share <= 1:
        raise TrainingError(f"max_bad_share is {max_bad_share}: give a share from 0 to 1")
    if not 0 <= label_delay_hours * paysim.HOUR < EVENT_TIME_LIMIT:
        raise TrainingError(f"label_delay_hours is {label_delay_hours}: give 0 or more hours")


def _judge(source: Source) -> _Judged:
    nothing, _ = validation.check({field: pa.array([], pa.string()) for field in source.columns})
    good, codes, steps = [nothing], [np.empty(0, np.int8)], [np.empty(0, np.int64)]
    malformed: list[Malformed] = []
    for batch in tqdm(source.batches(malformed), "validating", unit="batch", disable=None,
                      delay=5, leave=False):
        checked, found = validation.check(
            {field: batch.column(name) for field, name in source.columns.items()})
        codes.append(found)
        if "step" in source.columns:
            steps.append(checked["step"].to_numpy())
        good.append(checked.filter(pa.array(found == 0)) if found.any() else checked)
    codes = np.concatenate(codes)
    places = np.arange(codes.size + len(malformed))
    return _Judged(
        pa.Table.from_batches(good), codes,
        np.delete(places, np.array([line.position for line in malformed], np.int64)),
        np.concatenate(steps), malformed)


def _without_repeats(judged: _Judged) -> _Judged:
    """Of good rows with one transaction_id the first in the file stays good."""
    seen = pc.dictionary_encode(judged.good["transaction_id"].combine_chunks()).indices.to_numpy()
    newest = np.maximum.accumulate(seen)
    first = np.ones(seen.size, bool)
    first[1:] = seen[1:] > newest[:-1]       # the dictionary grows with each id not seen before
    if first.all():
        return judged
    codes = judged.codes.copy()
    codes[np.flatnonzero(codes == 0)[~first]] = CODES["duplicate-transaction-id"]
    return judged._replace(good=judged.good.filter(pa.array(first)), codes=codes)


def _check_share(source: str, judged: _Judged, reasons: dict[str, int], limit: float,
                 bad_rows: Path) -> None:
    bad, good = sum(reasons.values()), judged.good.num_rows
    if good and bad <= limit * (bad + good):
        return
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    allowed = f"more than the allowed share of {limit:g}" if good else "none is left"
    raise TrainingError(f"{source}: {bad:,} of {bad + good:,} rows are bad ({counts}), {allowed}; "
                        f"they are in {bad_rows}: mend the file or raise max_bad_share")


def _payments(judged: _Judged, digest: str, label_delay: int) -> pa.Table:
    """The good rows with all columns of `SCHEMA` but the position, in file order."""
    rows = judged.good
    if judged.steps.size:
        good = judged.codes == 0
        times = paysim.event_times(judged.steps)[good]
        rows = paysim.complete(rows, judged.positions[good], times, digest, label_delay)
    incident = pc.coalesce(rows["incident_id"], rows["transaction_id"])
    incident = pc.if_else(pc.equal(rows["is_fraud"], 1), incident, None)
    return rows.set_column(rows.schema.get_field_index("incident_id"), "incident_id", incident)


def _in_event_order(payments: pa.Table) -> pa.Table:
    """Sorted by event_time, then transaction_id as UTF-8 bytes, which is how Arrow compares."""
    time, name = payments["event_time"].to_numpy(), payments["transaction_id"]
    ties = np.flatnonzero(time[1:] == time[:-1])
    sorted_by_name = pc.all(pc.less(name.take(pa.array(ties)), name.take(pa.array(ties + 1))))
    if (time[1:] >= time[:-1]).all() and (not ties.size or sorted_by_name.as_py()):
        return payments
    return payments.sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])


def _sampled(payments: pa.Table, sample: float) -> pa.Table:
    """The payments of a share of origins, numbered, as `SCHEMA` has them."""
    if sample < 1:
        origins = pc.dictionary_encode(payments["origin"].combine_chunks())
        hashes = hash_array(origins.dictionary.to_numpy(zero_copy_only=False), categorize=False)
        payments = payments.filter(pa.array((hashes < sample * 2.0 ** 64)[origins.indices]))
        if not payments.num_rows:
            raise TrainingError(f"sample is {sample}: no origin is left; give a larger share")
    positions = pa.array(np.arange(payments.num_rows))
    return payments.append_column("position", positions).select(SCHEMA.names).cast(SCHEMA)
