import numpy as np
import pandas as pd
import pytest

from monitoring import performance, settings
from monitoring.performance import Measured, Performance
from monitoring.settings import ReportSettings

SETTINGS = settings.read_settings(settings.FOLDER / "report.toml", ReportSettings)


def labelled(flags: str, frauds: str, incidents: list | None = None) -> pd.DataFrame:
    """Payments a minute apart, of 100 each: D is declined, R reviewed; F is fraud."""
    rows = len(flags)
    return pd.DataFrame({
        "event_time": np.arange(rows) * 60_000, "amount": 100.0,
        "decision": [{"D": "decline", "R": "review"}.get(flag, "approve") for flag in flags],
        "is_fraud": [int(fraud == "F") for fraud in frauds],
        "incident_id": pd.array(incidents or [None] * rows, dtype="string")})


def test_declined_payments_are_those_called_fraud():
    measured = performance.measure(labelled("DDR.D...", "FFFF...."), seed=7)
    assert (measured.labelled, measured.frauds) == (8, 4)
    assert measured.precision == pytest.approx(2 / 3)
    assert measured.recall == 0.5
    assert measured.f1 == pytest.approx(4 / 7)
    assert measured.f1_low <= measured.f1 <= measured.f1_high


def test_reviews_are_measured_apart_from_declines():
    measured = performance.measure(labelled("DDRRR...", "FFFF...F"), seed=7)
    assert measured.review_precision == pytest.approx(2 / 3)
    assert measured.review_recall == pytest.approx(2 / 5)
    assert performance.measure(labelled("D..", "FF."), seed=7).review_precision is None


def test_incidents_are_stopped_by_a_declined_payment():
    measured = performance.measure(labelled(".DR.", "FFF.", ["a", "a", "b", None]), seed=7)
    assert (measured.incidents_stopped, measured.incidents_missed) == (1, 1)


def test_money_is_counted_by_incident_in_order_of_time():
    payments = labelled("..D..", "FFF.F", ["a", "a", "a", None, "b"])
    measured = performance.measure(payments.iloc[::-1], seed=7)
    assert (measured.money_stopped, measured.money_missed) == (100, 300)
    assert measured.minutes_to_detection == 2


def test_frauds_without_an_incident_are_each_one_of_their_own():
    measured = performance.measure(labelled("D..", "FF."), seed=7)
    assert (measured.money_stopped, measured.money_missed) == (100, 100)


def test_where_nothing_was_stopped_there_is_no_time_to_detection():
    measured = performance.measure(labelled("..", "F."), seed=7)
    assert measured.minutes_to_detection is None
    assert (measured.f1, measured.precision) == (0, 0)


def test_too_few_labels_or_frauds_are_too_few():
    assert performance.shortage(labelled("." * 999, "F" * 999), SETTINGS) == (
        "999 payments are labelled; 1,000 are needed")
    assert performance.shortage(labelled("." * 1000, "F" * 49 + "." * 951), SETTINGS) == (
        "49 payments are labelled as fraud; 50 are needed")
    assert performance.shortage(labelled("." * 1000, "F" * 50 + "." * 950), SETTINGS) == ""


def test_f1_falls_as_far_as_is_sure_and_only_where_both_are_known():
    def of(f1: float) -> Measured:
        return Measured(1, 1, f1, f1 - 0.125, f1 + 0.125, 1, 1, 0, 0, 0, 0, None, 0, None)

    assert Performance(of(0.5), of(0.75), 1, 0).f1_fall == 0.125
    assert Performance(None, of(0.75), 1, 0, "too few").f1_fall == 0
    assert Performance(of(0.5), None, 1, 0).f1_fall == 0
