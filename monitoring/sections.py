"""Sections of the pages, as HTML: tables of the results, and charts above tables by day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from fraud import clock
from monitoring import charts, days
from monitoring.days import DayOutcomes
from monitoring.drift import Column, Drift, DriftWindow
from monitoring.performance import Measured, Performance
from monitoring.settings import DriftThresholds

UNKNOWN = "–"
Cells = dict[str, Callable[[DayOutcomes], str]]     # of a table by day: by heading


def drift_table(drift: Drift, thresholds: DriftThresholds) -> str:
    """Return all columns, most moved first, with the course of each."""
    windows = drift.windows
    span = (f'<span class="span"><span>{clock.utc_day(windows[0].first_time)}</span>'
            f"<span>{clock.utc_day(windows[-1].last_time)}</span></span>")
    rows = [_drift_row(column, windows, thresholds) for column in drift.columns]
    return (
        "<section><h2>Drift by column</h2>"
        "<p>Moved: the share of payments that would have to change to make both distributions "
        "equal. Drift is reported if that share is at least the limit of the column (the dashed "
        "line) and the p value, corrected for the number of columns, is at most "
        f"{thresholds.false_discovery_rate:g}. Each point is a window of whole days with at least "
        f"{thresholds.min_payments:,} payments, compared with the same hours of the week in the "
        "reference.</p>"
        + table(["Column", "Moved", "Limit", "p, corrected", f"Moved by window {span}", "Drift"],
                rows, "drift") + "</section>")


def performance_summary(performance: Performance) -> str:
    """Return the measurements of the decisions, next to those of the reference."""
    sides = {name: measured for name, measured in (
        ("Decisions", performance.current), ("Reference", performance.reference)) if measured}
    rows = [[heading, *(cell(measured) for measured in sides.values())]
            for heading, cell in _MEASURED.items()]
    return ("<section><h2>Labelled payments</h2>"
            "<p>A decline counts as a prediction of fraud. An incident is stopped by its first "
            "declined payment; money before that payment is missed.</p>"
            + table(["", *sides], rows) + "</section>")


def performance_by_day(outcomes: Sequence[DayOutcomes], alert_budget: float) -> str:
    """Return charts by day, each above its table.

    Args:
        outcomes: of one or more days.
        alert_budget: reviews and declines a day; 0: unknown.
    """
    starts = [day.start for day in outcomes]
    budget = (f"budget of {alert_budget:,.0f}", alert_budget) if alert_budget else None
    alerts: Cells = {
        "Payments": lambda day: f"{day.payments:,}",
        "Reviews": lambda day: f"{day.reviews:,}", "Declines": lambda day: f"{day.declines:,}",
        "Alerts": lambda day: f"{day.reviews + day.declines:,}"}
    return "".join([
        _section("Money of fraud", "In currency units, by the day on which an incident began.",
                 charts.bars(starts, {"stopped": [day.money_stopped for day in outcomes],
                                      "missed": [day.money_missed for day in outcomes]},
                             "Money stopped and missed by day"), outcomes, _MONEY),
        _section("Incidents", "By the day on which an incident began.",
                 charts.bars(starts, {"stopped": [day.incidents_stopped for day in outcomes],
                                      "missed": [day.incidents_missed for day in outcomes]},
                             "Incidents stopped and missed by day"), outcomes, _INCIDENTS),
        _section("Alerts", _budget_sentence(outcomes, alert_budget),
                 charts.bars(starts, {"reviews": [day.reviews for day in outcomes],
                                      "declines": [day.declines for day in outcomes]},
                             "Reviews and declines by day", budget), outcomes, alerts),
        _section("Precision", "The share of fraud among the labelled payments that were declined "
                              "or reviewed.",
                 charts.lines(starts, {"declines": [day.decline_precision for day in outcomes],
                                       "reviews": [day.review_precision for day in outcomes]},
                              "Precision by day"), outcomes, _PRECISION),
        _section("Recall", "The share of the labelled frauds that was declined or reviewed.",
                 charts.lines(starts, {"declines": [day.decline_recall for day in outcomes],
                                       "reviews": [day.review_recall for day in outcomes]},
                              "Recall by day"), outcomes, _RECALL)])


def _drift_row(column: Column, windows: Sequence[DriftWindow], thresholds: DriftThresholds
               ) -> list[str]:
    values = [window.share_moved[column.name] for window in windows]
    titles = [f"{clock.utc_day(window.first_time)} to {clock.utc_day(window.last_time)}: "
              f"{value:.1%} of {window.payments:,} payments moved"
              for window, value in zip(windows, values, strict=True)]
    middles = [(window.first_time + window.last_time) // 2 for window in windows]
    return [escape(column.name), f"{column.share_moved:.1%}", f"{column.least_share:.0%}",
            f"{column.q_value:.4f}" if column.q_value >= 0.0001 else "&lt; 0.0001",
            charts.sparkline(middles, values, column.least_share, titles),
            _decision(column, thresholds.false_discovery_rate)]


def _decision(column: Column, rate: float) -> str:
    if column.drifted:
        return '<strong class="drifted">reported</strong>'
    if column.share_moved >= column.least_share:
        return "no: may be chance"
    return "no: below the limit" if column.q_value <= rate else "no"


def _budget_sentence(outcomes: Sequence[DayOutcomes], alert_budget: float) -> str:
    counted = "Reviews and declines of the payments in this report, labelled or not. "
    if not alert_budget:
        return counted + "The budget is unknown: name it with --alert-budget."
    above = sum(day.reviews + day.declines > alert_budget for day in outcomes)
    return counted + f"{above} of {len(outcomes)} days are above the budget."


def _section(title: str, text: str, chart: str, outcomes: Sequence[DayOutcomes], cells: Cells
             ) -> str:
    rows = [[clock.utc_day(day.start), *(cell(day) for cell in cells.values())]
            for day in outcomes]
    sums = days.total(outcomes)
    rows.append(["All days", *(cell(sums) for cell in cells.values())])
    return (f"<section><h2>{escape(title)} by day</h2><p>{escape(text)}</p>{chart}"
            + table(["Day (UTC)", *cells], rows, "days") + "</section>")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table of cells that are HTML."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _money_share(side: DayOutcomes | Measured) -> str:
    money = side.money_stopped + side.money_missed
    return f"{side.money_stopped / money:.1%}" if money else UNKNOWN


_MEASURED: dict[str, Callable[[Measured], str]] = {
    "Labelled payments": lambda side: f"{side.labelled:,}",
    "Frauds": lambda side: f"{side.frauds:,}",
    "Money stopped": lambda side: f"{side.money_stopped:,.0f}",
    "Money missed": lambda side: f"{side.money_missed:,.0f}",
    "Share of the money stopped": _money_share,
    "Incidents stopped": lambda side: f"{side.incidents_stopped:,}",
    "Incidents missed": lambda side: f"{side.incidents_missed:,}",
    "Median minutes to detection": lambda side: (
        UNKNOWN if side.minutes_to_detection is None else f"{side.minutes_to_detection:,.0f}"),
    "Precision of declines": lambda side: _number(side.precision),
    "Recall of declines": lambda side: _number(side.recall),
    "F1 of declines": lambda side: (
        f"{side.f1:.3f} (95 % {side.f1_low:.3f} to {side.f1_high:.3f})"),
    "Precision of reviews": lambda side: _number(side.review_precision),
    "Recall of reviews": lambda side: _number(side.review_recall)}
_MONEY: Cells = {
    "Stopped": lambda day: f"{day.money_stopped:,.0f}",
    "Missed": lambda day: f"{day.money_missed:,.0f}",
    "Share stopped": _money_share}
_INCIDENTS: Cells = {
    "Stopped": lambda day: f"{day.incidents_stopped:,}",
    "Missed": lambda day: f"{day.incidents_missed:,}",
    "Payments labelled": lambda day: f"{day.labelled / day.payments:.1%}"}
_PRECISION: Cells = {
    "Declines labelled": lambda day: f"{day.labelled_declines:,} of {day.declines:,}",
    "Fraud among declines": lambda day: f"{day.declined_frauds:,}",
    "Precision of declines": lambda day: _number(day.decline_precision),
    "Reviews labelled": lambda day: f"{day.labelled_reviews:,} of {day.reviews:,}",
    "Fraud among reviews": lambda day: f"{day.reviewed_frauds:,}",
    "Precision of reviews": lambda day: _number(day.review_precision)}
_RECALL: Cells = {
    "Frauds": lambda day: f"{day.frauds:,}",
    "Declined": lambda day: f"{day.declined_frauds:,}",
    "Recall of declines": lambda day: _number(day.decline_recall),
    "Reviewed": lambda day: f"{day.reviewed_frauds:,}",
    "Recall of reviews": lambda day: _number(day.review_recall)}
