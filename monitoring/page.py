"""Pages for people: our results, then Evidently's reports of the compared distributions.

They are self-contained: a browser needs no network. They are light or dark as the browser prefers,
or as Evidently's button says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from monitoring import sections
from monitoring.days import DayOutcomes
from monitoring.drift import CATEGORIES, Drift
from monitoring.performance import Performance
from monitoring.settings import DriftThresholds

METHOD = "share_moved"
# Evidently sets the colours of the body; ours derive from them.
STYLE = """<style>
main { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
main pre { font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap }
main h2 { font-size: 1.25rem; margin: 2rem 0 .5rem }
main p { margin: .5rem 0; max-width: 75ch }
main .scroll { overflow-x: auto }
main table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 }
main th, main td { border-bottom: 1px solid #8885; padding: .2rem .8rem; text-align: right;
  white-space: nowrap }
main th { vertical-align: bottom; white-space: normal; max-width: 14em }
main th:first-child, main td:first-child { padding-left: 0; text-align: left }
main .drift td:last-child, main .drift th:last-child { text-align: left }
main .days tr:last-child td { font-weight: 600 }
main .drifted { color: #d9602b }
main .span { display: flex; font-weight: normal; font-size: 11px; justify-content: space-between;
  width: 180px }
main svg { overflow: visible }
main .spark { display: block }
main .spark polyline { fill: none; stroke: #4a8fd0; stroke-width: 1.5 }
main .spark circle { fill: #4a8fd0 }
main .chart { display: block; width: 100%; max-width: 56rem }
main .chart text { fill: currentColor; font-size: 11px }
main .chart .end { text-anchor: end }
main .chart .middle { text-anchor: middle }
main .grid { stroke: #8884 }
main .limit { stroke: currentColor; stroke-dasharray: 4 3; opacity: .7 }
main .fill0 { fill: #4a8fd0 }
main .fill1 { fill: #d9772b }
main .line0 { stroke: #4a8fd0; stroke-width: 2 }
main .line1 { stroke: #d9772b; stroke-width: 2 }
</style>"""
BARE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"></head>
<body></body></html>
"""


def of_drift(drift: Drift, thresholds: DriftThresholds, reference: pd.DataFrame,
             current: pd.DataFrame, summary: str, path: Path) -> None:
    """Write the drift page: a summary, a table of all columns, then Evidently's details.

    Evidently cannot show a column that is unknown in all payments of one side.
    """
    if drift.why:
        path.write_text(with_summary(BARE, "Drift", summary))
        return
    evidently = _evidently()
    _register_method({column.name: column.share_moved for column in drift.columns})
    known = [column for column in drift.columns
             if reference[column.name].notna().any() and current[column.name].notna().any()]
    names = [column.name for column in known]
    definition = evidently.DataDefinition(
        numerical_columns=[name for name in names if name not in CATEGORIES],
        categorical_columns=[name for name in names if name in CATEGORIES])
    # A threshold of 1, which no column exceeds, if the difference may be chance.
    report = evidently.Report([evidently.metrics.ValueDrift(
        column=column.name, method=METHOD,
        threshold=column.least_share if column.drifted else 1.0) for column in known])
    details = _run(report, definition, _dated(reference), _dated(current))
    path.write_text(with_summary(
        details, "Drift", summary, sections.drift_table(drift, thresholds),
        "<h2>Distributions of each column with values on both sides</h2>"))


def of_performance(performance: Performance, days: Sequence[DayOutcomes], alert_budget: float,
                   reference: pd.DataFrame | None, current: pd.DataFrame, summary: str,
                   path: Path) -> None:
    """Write the performance page: measurements, charts by day, then Evidently's counts.

    Args:
        alert_budget: reviews and declines a day; 0: unknown.
        reference, current: labelled payments.
    """
    evidently = _evidently()
    # Given scores, Evidently would use a threshold of 0.5 instead of the decisions.
    definition = evidently.DataDefinition(
        categorical_columns=["is_fraud", "declined"],
        classification=[evidently.BinaryClassification(
            target="is_fraud", prediction_labels="declined")])
    # Not the preset, which begins with accuracy: it is high even if no fraud is found.
    report = evidently.Report([evidently.metrics.Precision(conf_matrix=False),
                               evidently.metrics.Recall(conf_matrix=False),
                               evidently.metrics.F1Score(conf_matrix=True)])
    details = _run(report, definition, None if reference is None else _outcomes(reference),
                   _outcomes(current))
    path.write_text(with_summary(
        details, "Performance", summary, sections.performance_summary(performance),
        sections.performance_by_day(days, alert_budget), "<h2>Declines against labels</h2>"))


def _dated(payments: pd.DataFrame) -> pd.DataFrame:
    """Return payments whose index is their time: Evidently draws values along the index."""
    return payments.set_index(pd.to_datetime(payments["event_time"].to_numpy(), unit="ms"))


def _outcomes(payments: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"is_fraud": payments["is_fraud"].astype("int8"),
                         "declined": (payments["decision"] == "decline").astype("int8")})


def _evidently():
    os.environ["DO_NOT_TRACK"] = "1"        # otherwise it reports to its vendor
    import evidently
    import evidently.metrics

    return evidently


def _register_method(shares: dict[str, float]) -> None:
    """Register our shares with Evidently, which then shows the numbers of `monitoring.drift`."""
    from evidently.legacy.calculations.stattests import registry
    from evidently.legacy.core import ColumnType

    def share_moved(reference: pd.Series, current: pd.Series, kind: str, threshold: float):
        share = shares[current.name]
        return share, share >= threshold

    registry.register_stattest(registry.StatTest(
        METHOD, "share of payments moved", [ColumnType.Numerical, ColumnType.Categorical]),
        share_moved)


def _run(report, definition, reference: pd.DataFrame | None, current: pd.DataFrame) -> str:
    from evidently import Dataset

    sides = [None if side is None else Dataset.from_pandas(side, data_definition=definition)
             for side in (current, reference)]
    return report.run(*sides).get_html_str(as_iframe=False)


def with_summary(page: str, title: str, summary: str, *parts: str) -> str:
    """Return a page that begins with a title, a summary (text) and parts (HTML)."""
    begin = f"{STYLE}<main><h1>{title}</h1><pre>{escape(summary)}</pre>{''.join(parts)}</main>"
    return page.replace("<head>", f"<head><title>{title}</title>", 1).replace(
        "<body>", f"<body>{begin}", 1)
