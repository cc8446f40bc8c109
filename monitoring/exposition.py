"""Prometheus metrics of a report: a text file for node_exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from monitoring.performance import Performance


def gauge(registry: CollectorRegistry, name: str, meaning: str, values: dict[tuple, float],
          labels: tuple[str, ...] = ()) -> None:
    """Add a gauge with its values by their labels."""
    metric = Gauge(name, meaning, labels, registry=registry)
    for key, value in values.items():
        (metric.labels(*key) if labels else metric).set(value)


def write(report, path: Path) -> None:
    """Write the metrics of a `monitoring.report.Report` in one step.

    Values that are unknown for lack of data are absent rather than zero.
    """
    registry = CollectorRegistry()
    gauge(registry, "fraud_report_timestamp_seconds", "Time of the last report.",
          {(): report.made_at / 1_000})
    gauge(registry, "fraud_report_payments", "Payments in the report.",
          {("reference",): report.reference.payments, ("current",): report.current.payments},
          ("period",))
    gauge(registry, "fraud_report_enough_data", "1 if there was enough data.",
          {("drift",): not report.drift.why,
           ("performance",): report.performance is not None and not report.performance.why},
          ("part",))
    if not report.drift.why:
        _drift(registry, report.drift)
    if report.performance:
        _performance(registry, report.performance)
    write_to_textfile(str(path), registry)


def write_retraining(failed: bool, moment: int, path: Path) -> None:
    """Write the result of the last retraining.

    Args:
        moment: ms since the epoch.
    """
    registry = CollectorRegistry()
    gauge(registry, "fraud_retraining_failed", "1 if the last retraining failed.",
          {(): failed})
    gauge(registry, "fraud_retraining_timestamp_seconds", "End of the last retraining.",
          {(): moment / 1_000})
    write_to_textfile(str(path), registry)


def _drift(registry: CollectorRegistry, drift) -> None:
    gauge(registry, "fraud_drift_share", "Share of the columns, without the score, that drifted.",
          {(): drift.share})
    gauge(registry, "fraud_drift_moved", "Share of payments that moved.",
          {(column.name,): column.share_moved for column in drift.columns}, ("column",))
    gauge(registry, "fraud_drift_detected", "1 if the column drifted.",
          {(column.name,): column.drifted for column in drift.columns}, ("column",))


def _performance(registry: CollectorRegistry, performance: Performance) -> None:
    gauge(registry, "fraud_labelled_share", "Share of the payments with a label.",
          {(): performance.labelled_share})
    gauge(registry, "fraud_unlabelled_share", "Share of the declined payments without a label.",
          {(): performance.unlabelled_share})
    periods = {"reference": performance.reference, "current": performance.current}
    sides = {period: measured for period, measured in periods.items() if measured is not None}
    gauge(registry, "fraud_performance", "Metrics of labelled payments.",
          {(metric, period): getattr(measured, metric) for period, measured in sides.items()
           for metric in ("f1", "f1_low", "f1_high", "precision", "recall")}, ("metric", "period"))
    gauge(registry, "fraud_money", "Currency units of frauds stopped and missed, by incident.",
          {(outcome, period): getattr(measured, f"money_{outcome}")
           for period, measured in sides.items() for outcome in ("stopped", "missed")},
          ("outcome", "period"))
    gauge(registry, "fraud_detection_minutes",
          "Median minutes from an incident's start to its detection.",
          {(period,): measured.minutes_to_detection for period, measured in sides.items()
           if measured.minutes_to_detection is not None}, ("period",))
