"""The four periods of a training run, and why one of them cannot work.

Train, early stopping, calibration and test follow each other in time. They are shares of the
elapsed time, not of the rows: fraud follows time, not traffic. Labels count only if they were known
when needed: those of the train period by its end, those of early stopping and calibration by the
start of the test period. An unlabelled payment is in no period; it only counts as history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud import clock
from fraud.training.data.validation import NOT_KNOWN
from fraud.training.errors import TrainingError
from fraud.training.settings import Split

NAMES = TRAIN, EARLY_STOPPING, CALIBRATION, TEST = (
    "train", "early_stopping", "calibration", "test")
MATURE_SHARE = 0.9          # of the frauds are known where labels are mature
FEWEST_INCIDENTS = 2        # with one, a metric is all or nothing
COLUMNS = ["event_time", "label_time", "is_fraud", "incident_id"]


@dataclass(frozen=True)
class TrainingPeriod:
    """One period."""

    name: str
    start: int              # ms since the epoch
    end: int                # not in the period
    payments: int           # whose labels were known in time
    frauds: int             # of these
    incidents: int
    late: int               # payments left out: their labels came too late
    late_frauds: int        # of these
    unlabelled: int         # payments left out

    @property
    def problem(self) -> str | None:
        """The reason why nothing can be learned or measured in this period, if there is one."""
        if self.frauds in (0, self.payments):
            kind = "no fraud" if self.frauds == 0 else "nothing but fraud"
            late = (f" ({self.late_frauds:,} frauds are left out, as their labels came after they "
                    "were needed)" if self.late_frauds and not self.frauds else "")
            return (f"the {self.name} period has {kind} among its {self.payments:,} labelled "
                    f"payments{late}")
        if self.incidents < FEWEST_INCIDENTS:
            return (f"the {self.name} period has {self.incidents} incident of fraud, and needs "
                    f"{FEWEST_INCIDENTS}")
        return None

    def __str__(self) -> str:
        left_out = []
        if self.late:
            left_out.append(f"{self.late:,} left out ({self.late_frauds:,} frauds): labels came "
                            "too late")
        if self.unlabelled:
            left_out.append(f"{self.unlabelled:,} left out: unlabelled")
        return (f"{self.name:<15} {clock.utc_minute(self.start)} to {clock.utc_minute(self.end)}  "
                f"{self.payments:>10,} payments, {self.frauds:,} frauds in {self.incidents:,} "
                f"incidents" + "".join(f"; {text}" for text in left_out))


def borders(first: int, last: int, split: Split) -> dict[str, int]:
    """Return the event_time before which each period ends, in order of time.

    Args:
        first, last: event_time of the first and the last payment, ms since the epoch.
    """
    end = last + 1
    shares = np.cumsum([split.train, split.early_stopping, split.calibration])
    ends = [*(first + int(share * (end - first)) for share in shares), end]
    return dict(zip(NAMES, ends, strict=True))


def needed_by(name: str, ends: Mapping[str, int]) -> int:
    """Return the time before which a label must be known to be used in a period."""
    return {TRAIN: ends[TRAIN], EARLY_STOPPING: ends[CALIBRATION],
            CALIBRATION: ends[CALIBRATION], TEST: NOT_KNOWN}[name]


def mature_until(transactions: str, ends: Mapping[str, int]) -> int:
    """Return the event_time before which labels of validation are mature.

    Validation is early stopping and calibration. Of the frauds of the train period nine in ten were
    known after some delay; that long before the end of calibration, labels are mature. Later ones
    would show too little fraud. Half of the calibration period counts however long the delay is.

    Args:
        transactions: a clean Parquet file (`dataset.SCHEMA`).
    """
    frauds = pq.read_table(transactions, columns=["event_time", "label_time"], filters=[
        ("event_time", "<", ends[TRAIN]), ("label_time", "<", ends[CALIBRATION]),
        ("is_fraud", "=", 1)])
    delay = frauds["label_time"].to_numpy() - frauds["event_time"].to_numpy()
    usual = int(np.quantile(delay, MATURE_SHARE, method="inverted_cdf"))
    middle = (ends[EARLY_STOPPING] + ends[CALIBRATION]) // 2
    return max(ends[CALIBRATION] - usual, middle)


def of_file(transactions: str, split: Split) -> list[TrainingPeriod]:
    """Return the periods of a clean Parquet file (`dataset.SCHEMA`)."""
    return of_payments(pq.read_table(transactions, columns=COLUMNS), split)


def of_payments(payments: pa.Table, split: Split) -> list[TrainingPeriod]:
    """Return the periods of payments.

    Args:
        payments: in event order, with `COLUMNS`.
    """
    time = payments["event_time"].to_numpy()
    ends = borders(int(time[0]), int(time[-1]), split)
    starts = [int(time[0]), *list(ends.values())[:-1]]
    return [_period(name, start, ends, payments.slice(
        begin := int(np.searchsorted(time, start)),
        int(np.searchsorted(time, ends[name])) - begin))
        for name, start in zip(NAMES, starts, strict=True)]


def _period(name: str, start: int, ends: Mapping[str, int], payments: pa.Table) -> TrainingPeriod:
    label_time = payments["label_time"].to_numpy()
    is_fraud = payments["is_fraud"].to_numpy() == 1
    unlabelled = label_time == NOT_KNOWN
    known = label_time < needed_by(name, ends)
    late = ~known & ~unlabelled
    frauds = np.flatnonzero(known & is_fraud)
    return TrainingPeriod(
        name=name, start=start, end=ends[name],
        payments=int(known.sum()), frauds=frauds.size,
        incidents=len(set(payments["incident_id"].take(pa.array(frauds)).to_pylist())),
        late=int(late.sum()), late_frauds=int((late & is_fraud).sum()),
        unlabelled=int(unlabelled.sum()))


def check(periods: list[TrainingPeriod]) -> None:
    """Raise TrainingError if a period cannot work."""
    problems = [period.problem for period in periods if period.problem]
    if problems:
        raise TrainingError("; ".join(problems) + ": give data that holds fraud and legitimate "
                            "payments in every period, more of it, or other shares under [split] "
                            "in flows/train_flow.toml")
