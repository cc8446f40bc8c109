"""The metrics of /metrics in CloudWatch's embedded metric format, for Lambda.

A function cannot be scraped. CloudWatch turns these lines of its log into metrics:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

NAMESPACE = "FraudDetection"
_encode = msgspec.json.Encoder().encode


class Series(NamedTuple):
    """A metric and its labels."""

    name: str
    labels: tuple[tuple[str, str], ...]


class EmbeddedMetrics:
    """Reports changes since the last call: increments of counters, means of histograms, gauges.

    Args:
        metrics: of prometheus_client.
        function: its name, a dimension of all.
    """

    def __init__(self, metrics: Iterable[MetricWrapperBase], function: str):
        self._metrics, self._function = list(metrics), function
        self._before: dict[Series, tuple[float, float]] = {}

    def lines(self, now: int) -> bytes:
        """Return one line for each series that changed.

        Args:
            now: ms since the epoch.
        """
        lines = []
        for collected in self._metrics:
            for metric in collected.collect():
                for series, value in self._changes(metric):
                    lines.append(self._line(series, value, now))
        return b"".join(lines)

    def _changes(self, metric: Metric) -> Iterator[tuple[Series, float]]:
        for series, now in _values(metric).items():
            before = self._before.get(series, (0.0, 0.0))
            if now == before:
                continue
            self._before[series] = now
            if metric.type == "gauge":
                yield series, now[0]
            elif metric.type == "counter":
                yield series, now[0] - before[0]
            else:
                yield series, (now[0] - before[0]) / (now[1] - before[1])

    def _line(self, series: Series, value: float, now: int) -> bytes:
        labels = {"function": self._function, **dict(series.labels)}
        unit = "Seconds" if series.name.endswith("_seconds") else "None"
        return _encode({
            "_aws": {"Timestamp": now, "CloudWatchMetrics": [{
                "Namespace": NAMESPACE, "Dimensions": [list(labels)],
                "Metrics": [{"Name": series.name, "Unit": unit}]}]},
            **labels, series.name: value}) + b"\n"


def _values(metric: Metric) -> dict[Series, tuple[float, float]]:
    """Return the value of each series, or its sum and count."""
    values: dict[Series, tuple[float, float]] = {}
    for sample in metric.samples:
        labels = tuple((name, str(value)) for name, value in sample.labels.items())
        if sample.name == metric.name or sample.name == metric.name + "_total":
            values[Series(sample.name, labels)] = (sample.value, 0.0)
        elif sample.name.endswith(("_sum", "_count")):
            series = Series(metric.name, labels)
            total, count = values.get(series, (0.0, 0.0))
            values[series] = ((sample.value, count) if sample.name.endswith("_sum")
                              else (total, sample.value))
    return values
