import json
import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serve import metrics
from serve.embedded_metrics import EmbeddedMetrics


@pytest.fixture
def embedded():
    """Metrics of each kind, and a function that gives what was written of them since its last call:
    `(name, labels, value)` of each line.
    """
    registry = CollectorRegistry()
    observed = [Counter("decisions_total", "-", ["outcome"], registry=registry),
                Histogram("trip_seconds", "-", registry=registry),
                Gauge("model_info", "-", ["version"], registry=registry)]
    metrics_of_f = EmbeddedMetrics(observed, "f")

    def written():
        lines = [json.loads(line) for line in metrics_of_f.lines(7).splitlines()]
        return [(metric["Name"],
                 {name: line[name] for name in directive["Dimensions"][0]}, line[metric["Name"]])
                for line in lines for directive in line["_aws"]["CloudWatchMetrics"]
                for metric in directive["Metrics"]]

    return *observed, written


def test_what_changed_is_written_once(embedded):
    decisions, trips, model, written = embedded
    assert written() == []
    decisions.labels("decline").inc(3)
    trips.observe(0.25)
    model.labels("1").set(1)
    assert written() == [("decisions_total", {"function": "f", "outcome": "decline"}, 3),
                         ("trip_seconds", {"function": "f"}, 0.25),
                         ("model_info", {"function": "f", "version": "1"}, 1)]
    assert written() == []


def test_increments_means_and_new_values_are_written(embedded):
    decisions, trips, model, written = embedded
    decisions.labels("decline").inc(3)
    trips.observe(9)
    model.labels("1").set(1)
    written()
    decisions.labels("decline").inc()
    decisions.labels("approve").inc(2)
    trips.observe(1)
    trips.observe(2)
    model.labels("1").set(0)
    assert [(name, value) for name, _, value in written()] == [
        ("decisions_total", 1), ("decisions_total", 2), ("trip_seconds", 1.5), ("model_info", 0)]


def test_a_line_is_in_the_embedded_metric_format(embedded):
    trips = embedded[1]
    trips.observe(0.5)
    line = json.loads(EmbeddedMetrics([trips], "f").lines(1_704_103_200_000))
    assert line == {
        "_aws": {"Timestamp": 1_704_103_200_000, "CloudWatchMetrics": [{
            "Namespace": "FraudDetection", "Dimensions": [["function"]],
            "Metrics": [{"Name": "trip_seconds", "Unit": "Seconds"}]}]},
        "function": "f", "trip_seconds": 0.5}


def test_all_metrics_of_the_api_are_written():
    names = {metric.name for collector in metrics.ALL
             for metric in collector.describe() or collector.collect()}
    exposed = {line.split()[2].removesuffix("_total")
               for line in metrics.exposition()[0].decode().splitlines()
               if line.startswith("# TYPE fraud_") and not line.split()[2].endswith("_created")
               and not re.search("_stream_|_webhook_|_desk_", line)}    # of other programs
    assert names == exposed
