"""Report of drift and performance: recent decisions against the champion's validation.

    python -m fraud.training.registry reference --out monitored
    python -m monitoring.report --reference monitored/reference.parquet \\
        --decisions decisions.jsonl --labels labels.csv --out report

writes report.html (and performance.html) for people, report.json for programs and report.prom for
Prometheus. With too little data, the report says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import pandas as pd

from fraud import clock
from fraud.bundle import BundleError
from fraud.champion import Champion
from fraud.command_line import Arguments, command, parser
from fraud.errors import JSON_ERRORS
from fraud.training.errors import TrainingError
from fraud.training.files import not_writable
from fraud.training.registry import publication
from monitoring import days, drift, exposition, labels, page, performance, settings, windows
from monitoring.days import DayOutcomes
from monitoring.drift import Drift
from monitoring.labels import LabelledPayments
from monitoring.performance import Performance
from monitoring.settings import ReportSettings, read_settings
from monitoring.windows import Window

INDENT = " " * 11


class Period(msgspec.Struct, frozen=True):
    """One side of the comparison."""

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
    alert_budget: float                 # reviews and declines a day; 0: unknown
    days: list[DayOutcomes]             # of the current payments; empty without labels

    @property
    def drifted(self) -> list[str]:
        """The columns that drifted, most moved first."""
        return [column.name for column in self.drift.columns if column.drifted]


def make(reference: Window, current: Window, known: LabelledPayments | None, alert_budget: float,
         settings: ReportSettings, directory: Path) -> Report:
    """Compare two windows, and write the report's files; pages of an earlier report are removed.

    Args:
        known: labels of the current payments; None without labels.
        alert_budget: reviews and declines a day; 0: unknown.

    Raises:
        TrainingError: the directory is not writable.
    """
    like = _like_hours(reference.payments, current.payments, settings)
    labelled = _labelled(reference.payments, settings)
    report = Report(
        made_at=clock.now_ms(),
        reference=_period(reference), current=_period(current),
        drift=drift.compare(*like, reference.features, settings),
        performance=_performance(labelled, known, settings) if known else None,
        labels=known.counts if known else {},
        alert_budget=alert_budget, days=days.by_day(known.payments) if known else [])
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = summary(report)
        page.of_drift(report.drift, settings.drift, *like, text, directory / "report.html")
        performance_page = directory / "performance.html"
        performance_page.unlink(missing_ok=True)
        if known and report.performance and not report.performance.why:
            page.of_performance(report.performance, report.days, alert_budget, labelled,
                                known.labelled, text, performance_page)
        (directory / "report.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(report), indent=2))
        exposition.write(report, directory / "report.prom")
    except OSError as error:
        raise not_writable(directory, error) from error
    return report


def load_report(path: Path) -> Report:
    """Load a report.json.

    Raises:
        TrainingError: it cannot be read, or is not a report.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, *JSON_ERRORS) as error:
        raise TrainingError(f"{path}: is not a report ({error}); make one with python -m "
                            "monitoring.report") from error


def summary(report: Report) -> str:
    """Return the report in a few lines."""
    lines = [_period_line("Reference", report.reference),
             _period_line("Decisions", report.current)]
    lines += [f"{INDENT}{count:,} lines left out: {reason}"
              for reason, count in report.current.left_out.items() if count]
    lines.append("Drift      " + _drift_line(report))
    lines += [f"{INDENT}{column.name}: {column.share_moved:.1%} of the payments moved"
              for column in report.drift.columns if column.drifted]
    lines.append("Labels     " + _performance_lines(report.performance))
    return "\n".join(lines)


def _drift_line(report: Report) -> str:
    result = report.drift
    if result.why:
        return f"not enough data: {result.why}"
    return (f"{len(report.drifted) or 'none'} of {len(result.columns)} columns drifted, among "
            f"{result.payments:,} payments on each side in {result.hours_of_week} hours of the "
            "week")


def _performance_lines(result: Performance | None) -> str:
    if result is None:
        return "none given"
    shares = (f"{result.labelled_share:.1%} of the payments are labelled; "
              f"{result.unlabelled_share:.1%} of the declined ones are not")
    current, reference = result.current, result.reference
    if current is None:
        return f"not enough data: {result.why}\n{INDENT}{shares}"
    compared = f"; reference F1 {reference.f1:.3f}" if reference else ""
    return (f"F1 {current.f1:.3f} (95 % {current.f1_low:.3f} to {current.f1_high:.3f}), precision "
            f"{current.precision:.3f}, recall {current.recall:.3f}{compared}\n{INDENT}{shares}")


def _period_line(name: str, period: Period) -> str:
    if period.first_time is None or period.last_time is None:
        return f"{name}  no payments in {period.source}"
    return (f"{name}  {period.payments:,} payments from {clock.utc_minute(period.first_time)} to "
            f"{clock.utc_minute(period.last_time)}, model version "
            f"{period.model_version or 'unknown'}, from {period.source}")


def _period(window: Window) -> Period:
    times = window.payments["event_time"]
    first, last = (int(times.min()), int(times.max())) if len(times) else (None, None)
    return Period(window.source, window.model_version, len(times), first, last, window.left_out)


def _like_hours(reference: pd.DataFrame, current: pd.DataFrame, settings: ReportSettings
                ) -> tuple[pd.DataFrame, pd.DataFrame]:
    ours, theirs = drift.like_hours(reference["event_time"].to_numpy(),
                                    current["event_time"].to_numpy(), settings.seed)
    return reference.iloc[ours], current.iloc[theirs]


def _labelled(payments: pd.DataFrame, settings: ReportSettings) -> pd.DataFrame | None:
    """Return the payments if they have enough labels to be measured."""
    is_enough = "is_fraud" in payments and not performance.shortage(payments, settings)
    return payments if is_enough else None


def _performance(reference: pd.DataFrame | None, known: LabelledPayments,
                 settings: ReportSettings) -> Performance:
    labelled, total = known.labelled, max(1, len(known.payments))
    why = performance.shortage(labelled, settings)
    return Performance(
        current=None if why else performance.measure(labelled, settings.seed),
        reference=None if reference is None else performance.measure(reference, settings.seed),
        labelled_share=len(labelled) / total, unlabelled_share=known.unlabelled_share, why=why)


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m monitoring.report", __doc__)
    options.add_argument("--reference", type=Path, required=True,
                         help="reference.parquet of the champion, or an earlier decision log")
    options.add_argument("--decisions", type=Path, nargs="+", required=True, help="decision logs")
    options.add_argument("--labels", nargs="+",
                         help="CSV or Parquet files, or kafka:TOPIC, see monitoring.labels")
    options.add_argument("--as-of", type=labels.moment, default=None,
                         help="use labels known by then (ISO 8601; default: now)")
    options.add_argument("--alert-budget", type=_alert_budget, default=None,
                         help="reviews and declines a day (default: that of the model that "
                              "FRAUD_MODEL names, if there is one)")
    options.add_argument("--out", type=Path, required=True, help="a directory, made if absent")
    options.add_argument("--settings", type=Path, default=settings.FOLDER / "report.toml",
                         help="when drift is reported (default: monitoring/report.toml)")
    print(summary(_run(options.parse_args(arguments))))


def _run(options: argparse.Namespace) -> Report:
    chosen = read_settings(options.settings, ReportSettings)
    reference = windows.of_reference(options.reference)
    current = windows.of_log(options.decisions, reference.model_version, reference.features)
    known = None
    if options.labels:
        as_of = options.as_of or clock.now_ms()
        known = labels.known_by(as_of, current.payments, labels.read_labels(*options.labels))
    budget = _served_budget() if options.alert_budget is None else options.alert_budget
    return make(reference, current, known, budget, chosen, options.out)


def _alert_budget(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of alerts above 0")
    return value


def _served_budget() -> float:
    """Return the alert budget of the champion; 0 without a champion."""
    try:
        return Champion(publication.target()).bundle.policy.alerts_per_day
    except BundleError:
        return 0.0


if __name__ == "__main__":
    main()
