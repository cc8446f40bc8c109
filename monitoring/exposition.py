"""What Prometheus is told of a report: a text file for node_exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from monitoring.performance import Measured, Performance


def gauge(registry: CollectorRegistry, name: str, meaning: str, values: dict[tuple, float],
          labels: tuple[str, ...] = ()) -> None:
    """Add a gauge with its values by their labels."""
    its = Gauge(name, meaning, labels, registry=registry)
    for key, value in values.items():
        (its.labels(*key) if labels else its).set(value)


def write(report, path: Path) -> None:
    """Write the metrics of a `monitoring.report.Report`, at once.

    What there is too little data to know is not told, rather than told as zero.
    """
    registry = CollectorRegistry()
    gauge(registry, "fraud_report_timestamp_seconds", "When the last report was made.",
          {(): report.made_at / 1_000})
    gauge(registry, "fraud_report_payments", "Payments that the report looked at.",
          {("reference",): report.reference.payments, ("current",): report.current.payments},
          ("period",))
    gauge(registry, "fraud_report_enough_data", "1 where there was enough to say something.",
          {("drift",): not report.drift.why,
           ("performance",): report.performance is not None and not report.performance.why},
          ("part",))
    if not report.drift.why:
        _drift(registry, report.drift)
    if report.performance:
        _performance(registry, report.performance)
    write_to_textfile(str(path), registry)


def write_retraining(failed: bool, moment: int, path: Path) -> None:
    """Write how the last retraining ended.

    Args:
        moment: ms since the epoch.
    """
    registry = CollectorRegistry()
    gauge(registry, "fraud_retraining_failed", "1 where the last retraining failed.",
          {(): failed})
    gauge(registry, "fraud_retraining_timestamp_seconds", "When the last retraining ended.",
          {(): moment / 1_000})
    write_to_textfile(str(path), registry)


def _drift(registry: CollectorRegistry, drift) -> None:
    gauge(registry, "fraud_drift_share", "Share of the columns that drifted, without the score.",
          {(): drift.share})
    gauge(registry, "fraud_drift_moved", "Share of payments that moved.",
          {(column.name,): column.share_moved for column in drift.columns}, ("column",))
    gauge(registry, "fraud_drift_detected", "1 where the column drifted.",
          {(column.name,): column.drifted for column in drift.columns}, ("column",))


def _performance(registry: CollectorRegistry, performance: Performance) -> None:
    gauge(registry, "fraud_labelled_share", "Share of the payments with a verdict.",
          {(): performance.labelled_share})
    gauge(registry, "fraud_unjudged_share", "Share of the declined payments without a verdict.",
          {(): performance.unjudged_share})
    sides: dict[str, Measured] = {
        period: its for period in ("reference", "current")
        if (its := getattr(performance, period)) is not None}
    gauge(registry, "fraud_performance", "On payments with a verdict.",
          {(metric, period): getattr(its, metric) for period, its in sides.items()
           for metric in ("f1", "f1_low", "f1_high", "precision", "recall")}, ("metric", "period"))
    gauge(registry, "fraud_money", "Currency units of frauds, by incident.",
          {(outcome, period): getattr(its, f"money_{outcome}") for period, its in sides.items()
           for outcome in ("stopped", "missed")}, ("outcome", "period"))
    gauge(registry, "fraud_detection_minutes", "Median from an incident's start to its detection.",
          {(period,): its.minutes_to_detection for period, its in sides.items()
           if its.minutes_to_detection is not None}, ("period",))
