"""The page of a comparison in shadow: the gate, decisions, money, agreement, disagreements."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from fraud import clock
from monitoring import charts
from monitoring.disagreement import Agreement, Disagreement, OneSided
from monitoring.page import BARE, with_summary
from monitoring.sections import UNKNOWN, table
from monitoring.windows import OUTCOMES

TITLE = "Challenger in shadow"
STOPS = {"decline": "Declined", "alert": "Reviewed or declined"}
LABELS = {0: "legitimate", 1: "fraud", None: UNKNOWN}


def write(report, path: Path) -> None:
    """Write the page of a `monitoring.shadow.ShadowReport`."""
    path.write_text(with_summary(
        BARE, TITLE, report.summary, _decisions(report.decisions), _by_day(report.by_day),
        _one_sided(report.one_sided), _agreement("type", report.by_type),
        _agreement("amount", report.by_amount), _largest(report.largest)))


def _decisions(counts: dict[str, dict[str, int]]) -> str:
    rows = [[name, *(f"{counts[name][theirs]:,}" for theirs in OUTCOMES)] for name in OUTCOMES]
    return ("<section><h2>Decisions</h2><p>Payments by the decision of the champion (rows) and of "
            "the challenger (columns), each without lists and rules.</p>"
            + table(["Champion", *OUTCOMES], rows) + "</section>")


def _by_day(days: Sequence[Agreement]) -> str:
    starts = [int(day.group) for day in days]
    chart = charts.bars(starts, {"challenger stricter": [day.stricter for day in days],
                                 "challenger laxer": [day.laxer for day in days]},
                        "Different decisions by day")
    return ("<section><h2>Different decisions by day</h2><p>Payments, by UTC day.</p>"
            f"{chart}</section>")


def _one_sided(sides: Sequence[OneSided]) -> str:
    rows = [[f"{STOPS[side.stops]} by the {side.version} alone",
             f"{side.frauds:,}", f"{side.fraud_money:,.2f}", f"{side.legitimate:,}",
             f"{side.legitimate_money:,.2f}", f"{side.unlabelled:,}",
             f"{side.unlabelled_money:,.2f}"] for side in sides]
    return ("<section><h2>Payments that one version stops and the other does not</h2>"
            "<p>Money in currency units, by payment. Frauds that the challenger alone declines are "
            "gained by its promotion, those that the champion alone declines are lost.</p>"
            + table(["", "Frauds", "Money", "Legitimate", "Money", "Without a label", "Money"],
                    rows) + "</section>")


def _agreement(name: str, groups: Sequence[Agreement]) -> str:
    rows = [[escape(group.group), f"{group.payments:,}", f"{group.same_share:.3%}",
             f"{group.stricter:,}", f"{group.laxer:,}"] for group in groups]
    return (f"<section><h2>Agreement by {name}</h2>"
            + table([name.capitalize(), "Payments", "Same decision", "Challenger stricter",
                     "Challenger laxer"], rows) + "</section>")


def _largest(payments: Sequence[Disagreement]) -> str:
    rows = [[escape(payment.transaction_id), clock.utc_minute(payment.event_time),
             escape(payment.type), f"{payment.amount:,.2f}",
             f"{payment.decision} ({payment.score:.4f})",
             f"{payment.challenger_decision} ({payment.challenger_score:.4f})",
             LABELS[payment.is_fraud]] for payment in payments]
    return ("<section><h2>Largest disagreements</h2><p>Of the payments with different decisions, "
            "those whose scores differ most.</p>"
            + table(["Payment", "Time", "Type", "Amount", "Champion", "Challenger", "Label"], rows)
            + "</section>")
