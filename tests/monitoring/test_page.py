import re

import pandas as pd
import pytest

from monitoring import days, page, performance
from monitoring.drift import Drift
from monitoring.performance import Performance
from monitoring.settings import DriftThresholds

BARE = Drift(10, 1, [], [], "too few")


@pytest.fixture
def shown(tmp_path) -> str:
    """The page of performance of payments whose scores do not agree with the decisions."""
    labelled = pd.DataFrame({
        "event_time": range(40), "amount": 10.0, "incident_id": None,
        "is_fraud": [1, 1, 1, 1, 0, 0, 0, 0] * 5, "score": [0.9, 0.7, 0.7, 0.7, 0.7, 0.1, 0, 0] * 5,
        "decision": ["decline", *["review"] * 4, *["approve"] * 3] * 5})
    page.of_performance(Performance(performance.measure(labelled, 7), None, 1, 0),
                        days.by_day(labelled), 0, None, labelled, "summary",
                        tmp_path / "page.html")
    return (tmp_path / "page.html").read_text()


def test_the_page_of_performance_counts_what_was_declined_and_not_what_scored_a_half(shown):
    values = {label: float(value) for label, value in re.findall(
        r'"title": "(\w+)[^"]*", "size": \d, .{0,200}?"value": "([\d.]+)"', shown)}
    assert values["Recall"] == 0.25
    assert values["Precision"] == 1.0


def test_the_page_shows_one_matrix_and_no_accuracy(shown):
    data = shown.partition("<script>var global")[0]
    assert data.count('"Confusion Matrix"') == 1
    assert "accuracy" not in data.lower()


def test_a_page_without_data_is_light_or_dark_as_the_browser_prefers(tmp_path):
    page.of_drift(BARE, DriftThresholds(0.01, 2_000), pd.DataFrame(), pd.DataFrame(),
                  "<not enough>", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<title>Drift</title>" in text
    assert '<meta name="color-scheme" content="light dark">' in text
    assert "&lt;not enough&gt;" in text
