"""What people read: Evidently's pages, that show what was compared beside what was found.

They hold all they need: a browser asks nobody for anything.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import pandas as pd

from monitoring.drift import CATEGORIES, NUMBERS, Drift

METHOD = "share_moved"
STYLE = ("font: 14px/1.5 monospace; max-width: 100ch; margin: 2em auto; white-space: pre-wrap; "
         "color: #222")
BARE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Monitoring</title></head>
<body></body></html>
"""


def of_drift(drift: Drift, reference: pd.DataFrame, current: pd.DataFrame, summary: str,
             path: Path) -> None:
    """Write the page of drift: a summary, then each column with both of its distributions."""
    if drift.why:
        path.write_text(_with(summary, BARE))
        return
    evidently = _evidently()
    _register_method({column.name: column.share_moved for column in drift.columns})
    definition = evidently.DataDefinition(numerical_columns=list(NUMBERS),
                                          categorical_columns=list(CATEGORIES))
    # 1, which no column exceeds, where the difference may be chance.
    found = evidently.Report([evidently.metrics.ValueDrift(
        column=column.name, method=METHOD,
        threshold=column.least_share if column.drifted else 1.0) for column in drift.columns])
    _save(found, definition, reference, current, summary, path)


def of_performance(reference: pd.DataFrame | None, current: pd.DataFrame, summary: str,
                   path: Path) -> None:
    """Write the page of performance on payments with a verdict, the reference's beside."""
    evidently = _evidently()
    # With scores beside them Evidently calls fraud what has at least 0.5, whatever was declined.
    definition = evidently.DataDefinition(
        categorical_columns=["is_fraud", "declined"],
        classification=[evidently.BinaryClassification(
            target="is_fraud", prediction_labels="declined")])
    tables = [None if its is None else pd.DataFrame({
        "is_fraud": its["is_fraud"].astype("int8"),
        "declined": (its["decision"] == "decline").astype("int8")})
        for its in (reference, current)]
    found = evidently.Report([evidently.presets.ClassificationQuality(conf_matrix=True)])
    _save(found, definition, *tables, summary, path)


def _evidently():
    os.environ["DO_NOT_TRACK"] = "1"        # else it reports to its vendor
    import evidently
    import evidently.metrics
    import evidently.presets

    return evidently


def _register_method(shares: dict[str, float]) -> None:
    """Tell Evidently what was found: it shows the numbers of `monitoring.drift`, and no others."""
    from evidently.legacy.calculations.stattests import registry
    from evidently.legacy.core import ColumnType

    def found(reference: pd.Series, current: pd.Series, kind: str, threshold: float):
        share = shares[current.name]
        return share, share >= threshold

    registry.register_stattest(registry.StatTest(
        METHOD, "share of payments moved", [ColumnType.Numerical, ColumnType.Categorical]), found)


def _save(report, definition, reference: pd.DataFrame | None, current: pd.DataFrame, summary: str,
          path: Path) -> None:
    from evidently import Dataset

    sides = [None if its is None else Dataset.from_pandas(its, data_definition=definition)
             for its in (current, reference)]
    path.write_text(_with(summary, report.run(*sides).get_html_str(as_iframe=False)))


def _with(summary: str, page: str) -> str:
    """A page that begins with a text."""
    return page.replace("<body>", f'<body><section style="{STYLE}">{escape(summary)}</section>', 1)
