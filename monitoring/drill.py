"""Drill: how much concept drift costs until the alarm, and how much retraining recovers.

    python -m monitoring.drill --out docs/drill.png

The champion learned from a month whose labels are all known. On day 8 of the next month seven in
ten of the known frauds are replaced by a new kind (`monitoring.concept_drift`). Labels arrive with
a median delay of three days. Every midnight the decisions of the last week are measured with the
labels known by then; the alarm is that of `retraining.toml`: F1 is lower than in validation by at
least `f1_fall`. From the alarm on, a model is trained every fourth day, on the old month and on
the known part of the new one; the champion is measured for comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fraud.command_line import Arguments, command, parser
from fraud.training.evaluation.incidents import incident_outcomes
from fraud.training.simulate.simulator import START
from monitoring import drill_page, performance, settings
from monitoring.concept_drift import CHANGE, DAY, DAYS, KINDS, Month, simulate_month
from monitoring.drill_models import SEED, half, parts_at, parts_before, parts_of_all, train
from monitoring.performance import Measured, Performance
from monitoring.settings import ReportSettings, RetrainingTriggers, read_settings

WEEK = 7
RETRAINING_DAYS = 4     # between two retrainings
ROWS = 600_000


class Detection(NamedTuple):
    """Frauds that decisions detect, and the precision of declines."""

    recall: float       # of fraudulent payments
    incidents: float    # share with a declined payment
    money: float        # share; payments after the first decline of an incident do not happen
    precision: float    # of declined payments


class Retraining(NamedTuple):
    """The detection of champion and retrained model, until the next retraining."""

    day: int
    champion: Detection
    retrained: Detection


class DrillResult(NamedTuple):
    """The result for one kind of concept drift."""

    kind: str
    alarm: int | None           # the day
    lost_before: float          # share of the new kind's undetected money before the alarm
    before: Detection           # of the champion, in its validation
    retrainings: list[Retraining]
    bound: Retraining           # fitted on half of the incidents, measured on the others
    by_day: pd.DataFrame        # daily recall of champion and retrained model

    def recovered(self, retraining: Retraining, measure: str) -> float:
        """Return the share of the loss in a field of `Detection` that retraining recovers."""
        retrained = getattr(retraining.retrained, measure)
        champion = getattr(retraining.champion, measure)
        return (retrained - champion) / (getattr(self.before, measure) - champion)


def drill(kind: str, before: Month, rows: int = ROWS, seed: int = SEED) -> DrillResult:
    """Run the drill for one kind.

    Args:
        before: the month from which the champion learns.
    """
    month, champion = simulate_month(kind, rows, seed), train(parts_before(before))
    validation = before.days(0.75 * DAYS, DAYS)
    declined_before = champion.declined(before.features)
    declined = champion.declined(month.features)
    alarm = alarm_day(month, declined, measure(before, declined_before, validation))
    retrained, retrainings = _retrain(before, month, declined, alarm)
    missed = month.table["amount"].where(month.table["is_new"] & ~declined, 0.0)
    by_day = pd.DataFrame({
        "champion": _daily_recall(month, declined),
        "retrained": _daily_recall(month, retrained)[alarm:] if alarm else np.nan})
    return DrillResult(
        kind, alarm, float(missed[month.days(0, alarm or DAYS)].sum() / missed.sum()),
        detection(before, declined_before, validation), retrainings,
        bound(before, month, declined), by_day)


def _retrain(before: Month, month: Month, declined: np.ndarray, alarm: int | None
             ) -> tuple[np.ndarray, list[Retraining]]:
    """Retrain from the alarm on; returns the declines of the newest model, and the steps."""
    retrained, retrainings = np.zeros_like(declined), []
    for day in range(alarm, DAYS - RETRAINING_DAYS + 1, RETRAINING_DAYS) if alarm else ():
        model, rest = train(parts_at(day, before, month)), month.days(day, DAYS)
        retrained[rest] = model.declined(month.features[rest])
        span = month.days(day, day + RETRAINING_DAYS)
        retrainings.append(Retraining(day, detection(month, declined, span),
                                      detection(month, retrained, span)))
    return retrained, retrainings


def bound(before: Month, month: Month, declined: np.ndarray) -> Retraining:
    """Return the best detection that these features and trees allow.

    All labels are known; half of the incidents are learned, the others measured.

    Args:
        declined: a mask of the champion's declines.
    """
    learned, since = half(month), month.days(CHANGE, DAYS)
    best = train(parts_of_all(before, month, learned & since)).declined(month.features)
    measured = since & ~learned
    return Retraining(CHANGE, detection(month, declined, measured),
                      detection(month, best, measured))


def alarm_day(month: Month, declined: np.ndarray, validated: Measured) -> int | None:
    """Return the first day at whose midnight F1 on the last week's labels has fallen."""
    triggers = read_settings(settings.FOLDER / "retraining.toml", RetrainingTriggers)
    minimums = read_settings(settings.FOLDER / "report.toml", ReportSettings)
    decided = _decided(month, declined)
    for day in range(WEEK, DAYS):
        labelled = decided[month.days(day - WEEK, day) & month.known_by(START + day * DAY)]
        if performance.shortage(labelled, minimums):
            continue
        result = Performance(performance.measure(labelled, SEED), validated, 1.0, 0.0)
        if result.f1_fall > triggers.f1_fall:
            return day
    return None


def measure(month: Month, declined: np.ndarray, where: np.ndarray) -> Measured:
    """Measure decisions on some payments."""
    return performance.measure(_decided(month, declined)[where], SEED)


def detection(month: Month, declined: np.ndarray, where: np.ndarray) -> Detection:
    """Return the detection of frauds among some payments."""
    fraud = where & (month.table["is_fraud"] == 1).to_numpy()
    frauds, flagged = month.table[fraud], declined[fraud]
    outcomes = incident_outcomes(
        frauds["incident_id"].to_numpy(object), frauds["event_time"].to_numpy(),
        frauds["amount"].to_numpy(), flagged)
    money = outcomes.money_stopped + outcomes.money_missed
    declines = int((where & declined).sum())
    return Detection(float(flagged.mean()), outcomes.stopped / outcomes.incidents,
                     outcomes.money_stopped / money, int(flagged.sum()) / max(1, declines))


def _decided(month: Month, declined: np.ndarray) -> pd.DataFrame:
    return month.table.assign(decision=np.where(declined, "decline", "approve"))


def _daily_recall(month: Month, declined: np.ndarray) -> pd.Series:
    fraud = month.table["is_fraud"].to_numpy() == 1
    day = ((month.table["event_time"].to_numpy()[fraud] - START) // DAY).astype(int)
    return pd.Series(declined[fraud]).groupby(day).mean()


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m monitoring.drill", __doc__)
    options.add_argument("--out", type=Path, required=True, help="a PNG file")
    options.add_argument("--rows", type=int, default=ROWS,
                         help="payments of each month (default %(default)s)")
    chosen = options.parse_args(arguments)
    before = simulate_month(None, chosen.rows, SEED + 1)
    results = [drill(kind, before, chosen.rows) for kind in KINDS]
    drill_page.draw(results, chosen.out)
    print(drill_page.tables(results))


if __name__ == "__main__":
    main()
