import re

import pytest

from fraud import clock
from monitoring import sections
from monitoring.days import DayOutcomes
from monitoring.drift import Column, Drift, DriftWindow
from monitoring.performance import Measured, Performance
from monitoring.settings import DriftThresholds

DAY = clock.DAY_MS
START = 1_704_067_200_000       # 2024-01-01
THRESHOLDS = DriftThresholds(false_discovery_rate=0.01, min_payments=2_000)


def rows(html: str) -> list[list[str]]:
    """The text of each table row's cells."""
    return [[re.sub(r"<svg.*?</svg>|<[^>]+>", "", cell)
             for cell in re.findall(r"<td>(.*?)</td>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", html)]


def drift_of(*columns: Column) -> Drift:
    windows = [DriftWindow(START + day * DAY, START + (day + 1) * DAY - 1, 2_500,
                           {column.name: column.share_moved for column in columns})
               for day in range(3)]
    return Drift(7_500, 72, list(columns), windows)


def outcomes(day: int, **changes) -> DayOutcomes:
    fields = dict.fromkeys(DayOutcomes.__struct_fields__, 0) | {"payments": 10} | changes
    return DayOutcomes(**fields | {"start": START + day * DAY})


def test_a_column_is_shown_with_its_decision_and_the_reason_against():
    html = sections.drift_table(drift_of(
        Column("large", 0.25, 0.2, 0.04, 0.05, False), Column("amount", 0.051, 0.03, 0, 0, True),
        Column("small", 0.02, 0.03, 0, 0.0012, False), Column("a<b", 0, 0.03, 1, 1, False)),
        THRESHOLDS)
    assert rows(html)[1:] == [
        ["large", "25.0%", "20%", "0.0500", "", "no: may be chance"],
        ["amount", "5.1%", "3%", "&lt; 0.0001", "", "reported"],
        ["small", "2.0%", "3%", "0.0012", "", "no: below the limit"],
        ["a&lt;b", "0.0%", "3%", "1.0000", "", "no"]]


def test_each_column_has_a_sparkline_with_the_dates_of_its_windows():
    html = sections.drift_table(drift_of(Column("amount", 0.05, 0.03, 0, 0, True)), THRESHOLDS)
    assert "<span>2024-01-01</span><span>2024-01-03</span>" in html
    assert re.findall(r"<title>(.*?)</title>", html)[1] == (
        "2024-01-02 to 2024-01-02: 5.0% of 2,500 payments moved")
    assert html.count('class="spark"') == 1


def measured(**changes) -> Measured:
    fields = dict.fromkeys(Measured.__struct_fields__, 0) | changes
    return Measured(**fields)


def test_measurements_are_next_to_those_of_the_reference():
    current = measured(frauds=60, money_stopped=300.0, money_missed=100.0, precision=0.5,
                       minutes_to_detection=None, review_precision=None)
    html = sections.performance_summary(Performance(current, measured(frauds=70), 1, 0))
    table = {name: cells for name, *cells in rows(html)[1:]}
    assert table["Frauds"] == ["60", "70"]
    assert table["Share of the money stopped"] == ["75.0%", "–"]
    assert table["Precision of reviews"] == ["–", "0.000"]
    assert table["Median minutes to detection"] == ["–", "0"]


def test_a_reference_without_labels_has_no_column():
    html = sections.performance_summary(Performance(measured(frauds=60), None, 1, 0))
    assert rows(html)[2] == ["Frauds", "60"]


@pytest.fixture
def page() -> str:
    return sections.performance_by_day([
        outcomes(0, reviews=3, declines=2, money_stopped=1_000.0, money_missed=3_000.0,
                 incidents_stopped=1, incidents_missed=2, labelled=5, frauds=4, declined_frauds=1,
                 labelled_declines=2),
        outcomes(1, reviews=9, money_stopped=0.0, money_missed=0.0)], 6)


def test_each_chart_has_its_table_by_day_with_a_total(page):
    charts = re.split(r"<h2>", page)[1:]
    assert [chart.partition(" by day")[0] for chart in charts] == [
        "Money of fraud", "Incidents", "Alerts", "Precision", "Recall"]
    for chart in charts:
        assert chart.count('class="chart"') == 1
        assert [row[0] for row in rows(chart)[1:]] == ["2024-01-01", "2024-01-02", "All days"]


def test_tables_show_the_numbers_and_nothing_where_none_is_known(page):
    money, incidents, alerts, precision, recall = (
        rows(chart)[1:] for chart in re.split(r"<h2>", page)[1:])
    assert money[0] == ["2024-01-01", "1,000", "3,000", "25.0%"] and money[1][-1] == "–"
    assert incidents[2] == ["All days", "1", "2", "25.0%"]
    assert alerts[2] == ["All days", "20", "12", "2", "14"]
    assert precision[0] == ["2024-01-01", "2 of 2", "1", "0.500", "0 of 3", "0", "–"]
    assert recall[0] == ["2024-01-01", "4", "1", "0.250", "0", "0.000"]


def test_days_above_the_budget_are_counted(page):
    assert "1 of 2 days are above the budget." in page and "budget of 6<" in page


def test_an_unknown_budget_is_said():
    page = sections.performance_by_day([outcomes(0)], 0)
    assert "The budget is unknown: name it with --alert-budget." in page
    assert "limit" not in page
