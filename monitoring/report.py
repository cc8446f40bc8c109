"""Compare what was decided of late with what the champion saw in validation.

    python -m fraud.training.registry reference monitored
    python -m monitoring.report --reference monitored/reference.parquet \\
        --decisions decisions.jsonl --labels labels.csv --out report

writes report.html (and performance.html) for people, report.json for programs and report.prom for
Prometheus. Where there is not enough data to say something, it says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd

from fraud.training.errors import TrainingError
from fraud.training.files import not_writable
from monitoring import drift, exposition, labels, page, performance, settings, windows
from monitoring.drift import Drift
from monitoring.labels import Known
from monitoring.performance import Performance
from monitoring.settings import ReportSettings
from monitoring.windows import Window


class Period(msgspec.Struct, frozen=True):
    """What one side of the comparison is."""

    source: str
    model_version: str
    payments: int
    first_time: int | None          # ms since the epoch
    last_time: int | None
    left_out: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """report.json"""

    made_at: int                    # ms since the epoch
    reference: Period
    current: Period
    drift: Drift
    performance: Performance | None     # None without labels
    labels: dict[str, int]

    @property
    def drifted(self) -> list[str]:
        """The columns that drifted, most moved first."""
        return [column.name for column in self.drift.columns if column.drifted]


def make(reference: Window, current: Window, known: Known | None, settings: ReportSettings,
         directory: Path) -> Report:
    """Compare, and write the four files.

    Args:
        known: of the current payments; None without labels.

    Raises:
        TrainingError: the directory is not writable.
    """
    places = drift.like_hours(reference.payments["event_time"].to_numpy(),
                              current.payments["event_time"].to_numpy(), settings.seed)
    like = [side.payments.iloc[its] for side, its in zip((reference, current), places)]
    judged = _judged(reference.payments, settings)
    report = Report(
        made_at=time.time_ns() // 1_000_000,
        reference=_period(reference), current=_period(current),
        drift=drift.compare(*like, settings),
        performance=known and _performance(judged, known, settings),
        labels=known.told if known else {})
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = summary(report)
        page.of_drift(report.drift, *like, text, directory / "report.html")
        if report.performance and not report.performance.why:
            page.of_performance(judged, known.labelled, text, directory / "performance.html")
        (directory / "report.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(report), indent=2))
        exposition.write(report, directory / "report.prom")
    except OSError as error:
        raise not_writable(directory, error) from None
    return report


def read(path: Path) -> Report:
    """A report.json.

    Raises:
        TrainingError: it cannot be read, or is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError(f"{path}: is no report ({error}); make one with python -m "
                            "monitoring.report") from None


def summary(report: Report) -> str:
    """What the report says, in a few lines."""
    lines = [_about("Reference", report.reference), _about("Decisions", report.current)]
    lines += [f"           {count:,} lines left out: {why}"
              for why, count in report.current.left_out.items() if count]
    lines.append("Drift      " + _of_drift(report))
    lines += [f"           {column.name}: {column.share_moved:.1%} of the payments moved"
              for column in report.drift.columns if column.drifted]
    lines.append("Labels     " + _of_performance(report.performance))
    return "\n".join(lines)


def _of_drift(report: Report) -> str:
    found = report.drift
    if found.why:
        return f"not enough data: {found.why}"
    return (f"{len(report.drifted) or 'none'} of {len(found.columns)} columns, on "
            f"{found.payments:,} payments a side in {found.hours_of_week} hours of the week")


def _of_performance(found: Performance | None) -> str:
    if found is None:
        return "none given"
    told = (f"{found.labelled_share:.1%} of the payments have a verdict; of those declined "
            f"{found.unjudged_share:.1%} have none")
    if found.why:
        return f"not enough data: {found.why}\n           {told}"
    now, then = found.current, found.reference
    return (f"F1 {now.f1:.3f} (95 % {now.f1_low:.3f} to {now.f1_high:.3f}), precision "
            f"{now.precision:.3f}, recall {now.recall:.3f}"
            + (f"; reference F1 {then.f1:.3f}" if then else "") + f"\n           {told}")


def _about(name: str, period: Period) -> str:
    if period.first_time is None:
        return f"{name}  no payments in {period.source}"
    first, last = (f"{datetime.fromtimestamp(moment / 1_000, UTC):%Y-%m-%d %H:%M}"
                   for moment in (period.first_time, period.last_time))
    return (f"{name}  {period.payments:,} payments of {first} to {last}, model version "
            f"{period.model_version or 'unknown'}, from {period.source}")


def _period(window: Window) -> Period:
    times = window.payments["event_time"]
    first, last = (int(times.min()), int(times.max())) if len(times) else (None, None)
    return Period(window.source, window.model_version, len(times), first, last, window.left_out)


def _judged(payments: pd.DataFrame, settings: ReportSettings) -> pd.DataFrame | None:
    """The payments, if they have verdicts enough to be measured."""
    has = "is_fraud" in payments and not performance.enough(payments, settings)
    return payments if has else None


def _performance(reference: pd.DataFrame | None, known: Known, settings: ReportSettings
                 ) -> Performance:
    judged, total = known.labelled, max(1, len(known.payments))
    why = performance.enough(judged, settings)
    return Performance(
        current=None if why else performance.measure(judged, settings.seed),
        reference=None if reference is None else performance.measure(reference, settings.seed),
        labelled_share=len(judged) / total, unjudged_share=known.share_unjudged, why=why)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True,
                        help="reference.parquet of the champion, or an earlier decision log")
    parser.add_argument("--decisions", type=Path, nargs="+", required=True, help="decision logs")
    parser.add_argument("--labels", nargs="+",
                        help="CSV or Parquet files, or kafka:TOPIC, see monitoring.labels")
    parser.add_argument("--as-of", type=labels.moment, default=None,
                        help="use labels known by then (ISO 8601; default: now)")
    parser.add_argument("--out", type=Path, required=True, help="a directory, made if absent")
    parser.add_argument("--settings", type=Path, default=settings.FOLDER / "report.toml",
                        help="when to speak of drift (default: the file beside this module)")
    try:
        print(summary(_run(parser.parse_args(arguments))))
    except TrainingError as error:
        sys.exit(f"error: {error}")


def _run(options: argparse.Namespace) -> Report:
    its = settings.read(options.settings, ReportSettings)
    reference = windows.of_reference(options.reference)
    current = windows.of_log(options.decisions, reference.model_version)
    known = None
    if options.labels:
        as_of = options.as_of or time.time_ns() // 1_000_000
        known = labels.known_by(as_of, current.payments, labels.read(*options.labels))
    return make(reference, current, known, its, options.out)


if __name__ == "__main__":
    main()
