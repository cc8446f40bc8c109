import json

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serve import metrics
from serve.embedded_metrics import EmbeddedMetrics


@pytest.fixture
def told():
    """Metrics of each kind, and what is told of them: `(name, labels, value)` of each line."""
    registry = CollectorRegistry()
    its = [Counter("decisions_total", "-", ["outcome"], registry=registry),
           Histogram("trip_seconds", "-", registry=registry),
           Gauge("model_info", "-", ["version"], registry=registry)]
    embedded = EmbeddedMetrics(its, "f")

    def told():
        lines = [json.loads(line) for line in embedded.lines(7).splitlines()]
        return [(metric["Name"],
                 {name: line[name] for name in directive["Dimensions"][0]}, line[metric["Name"]])
                for line in lines for directive in line["_aws"]["CloudWatchMetrics"]
                for metric in directive["Metrics"]]

    return *its, told


def test_what_changed_is_told_once(told):
    decisions, trips, model, told = told
    assert told() == []
    decisions.labels("decline").inc(3)
    trips.observe(0.25)
    model.labels("1").set(1)
    assert told() == [("decisions_total", {"function": "f", "outcome": "decline"}, 3),
                      ("trip_seconds", {"function": "f"}, 0.25),
                      ("model_info", {"function": "f", "version": "1"}, 1)]
    assert told() == []


def test_increments_means_and_new_values_are_told(told):
    decisions, trips, model, told = told
    decisions.labels("decline").inc(3)
    trips.observe(9)
    model.labels("1").set(1)
    told()
    decisions.labels("decline").inc()
    decisions.labels("approve").inc(2)
    trips.observe(1)
    trips.observe(2)
    model.labels("1").set(0)
    assert [(name, value) for name, _, value in told()] == [
        ("decisions_total", 1), ("decisions_total", 2), ("trip_seconds", 1.5), ("model_info", 0)]


def test_a_line_is_in_the_embedded_metric_format(told):
    trips = told[1]
    trips.observe(0.5)
    line = json.loads(EmbeddedMetrics([trips], "f").lines(1_704_103_200_000))
    assert line == {
        "_aws": {"Timestamp": 1_704_103_200_000, "CloudWatchMetrics": [{
            "Namespace": "FraudDetection", "Dimensions": [["function"]],
            "Metrics": [{"Name": "trip_seconds", "Unit": "Seconds"}]}]},
        "function": "f", "trip_seconds": 0.5}


def test_all_metrics_of_the_api_are_told_of():
    names = {metric.name for its in metrics.ALL for metric in its.describe() or its.collect()}
    exposed = {line.split()[2].removesuffix("_total")
               for line in metrics.exposition()[0].decode().splitlines()
               if line.startswith("# TYPE fraud_") and not line.split()[2].endswith("_created")
               and "_stream_" not in line}      # those are told by another program
    assert names == exposed
