"""Pages for people: Evidently's reports of the compared distributions, below our results.

They are self-contained: a browser needs no network.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import pandas as pd

from monitoring.drift import CATEGORIES, Drift

METHOD = "share_moved"
STYLE = ("font: 14px/1.5 monospace; max-width: 100ch; margin: 2em auto; white-space: pre-wrap; "
         "color: #222")
BARE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Monitoring</title></head>
<body></body></html>
"""


def of_drift(drift: Drift, reference: pd.DataFrame, current: pd.DataFrame, summary: str,
             path: Path) -> None:
    """Write the drift page: a summary, then each column with both distributions."""
    if drift.why:
        path.write_text(_with(summary, BARE))
        return
    evidently = _evidently()
    _register_method({column.name: column.share_moved for column in drift.columns})
    names = [column.name for column in drift.columns]
    definition = evidently.DataDefinition(
        numerical_columns=[name for name in names if name not in CATEGORIES],
        categorical_columns=[name for name in names if name in CATEGORIES])
    # A threshold of 1, which no column exceeds, if the difference may be chance.
    report = evidently.Report([evidently.metrics.ValueDrift(
        column=column.name, method=METHOD,
        threshold=column.least_share if column.drifted else 1.0) for column in drift.columns])
    _save(report, definition, reference, current, summary, path)


def of_performance(reference: pd.DataFrame | None, current: pd.DataFrame, summary: str,
                   path: Path) -> None:
    """Write the performance page: labelled payments, and those of the reference."""
    evidently = _evidently()
    # Given scores, Evidently would use a threshold of 0.5 instead of the decisions.
    definition = evidently.DataDefinition(
        categorical_columns=["is_fraud", "declined"],
        classification=[evidently.BinaryClassification(
            target="is_fraud", prediction_labels="declined")])
    report = evidently.Report([evidently.presets.ClassificationQuality(conf_matrix=True)])
    _save(report, definition, None if reference is None else _outcomes(reference),
          _outcomes(current), summary, path)


def _outcomes(payments: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"is_fraud": payments["is_fraud"].astype("int8"),
                         "declined": (payments["decision"] == "decline").astype("int8")})


def _evidently():
    os.environ["DO_NOT_TRACK"] = "1"        # otherwise it reports to its vendor
    import evidently
    import evidently.metrics
    import evidently.presets

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


def _save(report, definition, reference: pd.DataFrame | None, current: pd.DataFrame, summary: str,
          path: Path) -> None:
    from evidently import Dataset

    sides = [None if side is None else Dataset.from_pandas(side, data_definition=definition)
             for side in (current, reference)]
    path.write_text(_with(summary, report.run(*sides).get_html_str(as_iframe=False)))


def _with(summary: str, page: str) -> str:
    """Return a page that begins with a text."""
    return page.replace("<body>", f'<body><section style="{STYLE}">{escape(summary)}</section>', 1)
