"""Adaptation drill: fraud changes its ways in a month. How much is lost until the alarm, and does
a retraining win it back?

    python -m monitoring.drill --out docs/drill.png

The champion learned from a month of which all verdicts are in. On day 8 of the next month seven in
ten of the known frauds give way to a new kind (`monitoring.changing_fraud`). Verdicts come with a
median of three days. Every midnight the last week's decisions are measured with the verdicts known
by then; the alarm is that of `retraining.toml`: F1 surely lower than in validation by `f1_fall`.
From the alarm on a model is trained every fourth day, on the old month and on what is known of the
new one by then; the champion goes on beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fraud import bundle
from fraud.training import boosted_trees, evaluation
from fraud.training import settings as training_settings
from fraud.training.simulate import START
from monitoring import performance, settings
from monitoring.changing_fraud import CHANGE, DAY, DAYS, KINDS, Month, month
from monitoring.performance import Performance
from monitoring.settings import Policy, ReportSettings

WEEK = 7
LATE, EVERY = 3, 4      # days: before a retraining, which set its threshold; between two
SEED, ROWS = 7, 600_000
RETRAINING = ("day", "champion", "retrained", "precision")
TREES = training_settings.BoostedTrees(
    max_depth=6, learning_rate=0.15, rounds=200, early_stopping_rounds=25, min_child_weight=5.0,
    subsample=0.8, colsample_bytree=0.8, max_bin=256)


class Parts(NamedTuple):
    """Features and labels in order of time: what to fit, when to stop, where to set thresholds."""

    fit: tuple[np.ndarray, np.ndarray]
    early: tuple[np.ndarray, np.ndarray]
    late: tuple[np.ndarray, np.ndarray]


class Model(NamedTuple):
    """A booster with its calibration and decline threshold."""

    booster: object
    calibration: bundle.Calibration
    decline: float

    def declined(self, matrix: np.ndarray) -> np.ndarray:
        """Which payments it declines: bool."""
        logits = boosted_trees.logits(self.booster, matrix)
        return bundle.calibrated(logits, self.calibration) >= self.decline


def train(parts: Parts) -> Model:
    """Train as the flow does, on parts of its own."""
    booster, _ = boosted_trees.fit(*parts.fit, *parts.early, TREES, SEED)
    matrix, label = parts.late
    logits = boosted_trees.logits(booster, matrix)
    calibration = evaluation.fit_calibration(logits, label)
    scores = bundle.calibrated(logits, calibration)
    return Model(booster, calibration, evaluation.choose_thresholds(scores, label, 100).decline)


def parts_before(before: Month) -> Parts:
    """Of a month of which everything is known."""
    return Parts(*(before.labelled(before.days(DAYS * first, DAYS * last))
                   for first, last in ((0.03, 0.65), (0.65, 0.75), (0.75, 1.0))))


def parts_at(day: int, before: Month, of: Month) -> Parts:
    """Of the month before and of what is known on a day: its last days set the threshold."""
    old, known = parts_before(before), of.known_by(START + day * DAY)
    new, late = (of.labelled(known & of.days(*days)) for days in ((0, day - LATE),
                                                                  (day - LATE, day)))
    fit = (np.concatenate([old.fit[0], new[0]]), np.concatenate([old.fit[1], new[1]]))
    return Parts(fit, old.late, late)


def measured(of: Month, declined: np.ndarray, where: np.ndarray) -> performance.Measured:
    """What decisions were worth on some payments."""
    return performance.measure(_decided(of, declined)[where], SEED)


def _decided(of: Month, declined: np.ndarray) -> pd.DataFrame:
    return of.table.assign(decision=np.where(declined, "decline", "approve"))


class Outcome(NamedTuple):
    """How one drill went; recalls are shares of fraudulent payments."""

    kind: str
    alarm: int | None           # the day
    lost_before: float          # of the new kind's money that the champion lets pass
    recall_before: float        # of the champion, in its validation
    retrainings: pd.DataFrame   # day; until the next: recall of champion and retrained, precision
    by_day: pd.DataFrame        # recall of both from day to day

    def regained(self, place: int) -> float:
        """Of the recall that was lost, the share that a retrained model finds again."""
        its = self.retrainings.iloc[place]
        return (its["retrained"] - its["champion"]) / (self.recall_before - its["champion"])


def drill(kind: str, before: Month, rows: int = ROWS, seed: int = SEED) -> Outcome:
    """Carry one drill out.

    Args:
        before: the month from which the champion learns.
    """
    of, champion = month(kind, rows, seed), train(parts_before(before))
    validated = measured(before, champion.declined(before.features), before.days(0.75 * DAYS, DAYS))
    old = champion.declined(of.features)
    alarm = alarm_of(of, old, validated)
    days = range(alarm, DAYS - EVERY + 1, EVERY) if alarm else ()
    new, retrainings = np.zeros_like(old), []
    for day in days:
        model, span = train(parts_at(day, before, of)), of.days(day, day + EVERY)
        new[of.days(day, DAYS)] = model.declined(of.features[of.days(day, DAYS)])
        champions, its = measured(of, old, span), measured(of, new, span)
        retrainings.append((day, champions.recall, its.recall, its.precision))
    missed = of.table["amount"].where(of.table["is_new"] & ~old, 0.0)
    return Outcome(
        kind, alarm, float(missed[of.days(0, alarm or DAYS)].sum() / missed.sum()),
        validated.recall, pd.DataFrame(retrainings, columns=list(RETRAINING)),
        pd.DataFrame({"champion": _recall_by_day(of, old),
                      "retrained": _recall_by_day(of, new)[alarm:] if alarm else np.nan}))


def alarm_of(of: Month, declined: np.ndarray, validated: performance.Measured) -> int | None:
    """The first day at whose midnight F1 on the last week's verdicts has surely fallen."""
    policy = settings.read(settings.FOLDER / "retraining.toml", Policy)
    least = settings.read(settings.FOLDER / "report.toml", ReportSettings)
    decided = _decided(of, declined)
    for day in range(WEEK, DAYS):
        judged = decided[of.days(day - WEEK, day) & of.known_by(START + day * DAY)]
        if performance.enough(judged, least):
            continue
        found = Performance(performance.measure(judged, SEED), validated, 1.0, 0.0)
        if found.f1_fall > policy.f1_fall:
            return day
    return None


def _recall_by_day(of: Month, declined: np.ndarray) -> pd.Series:
    fraud = of.table["is_fraud"].to_numpy() == 1
    day = ((of.table["event_time"].to_numpy()[fraud] - START) // DAY).astype(int)
    return pd.Series(declined[fraud]).groupby(day).mean()


def draw(outcomes: list[Outcome], path: Path) -> None:
    """One picture: recall from day to day, the change, the alarm, the retrained model."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(outcomes), figsize=(4.5 * len(outcomes), 3.6),
                                   sharey=True, layout="constrained", squeeze=False)
    for axis, outcome in zip(axes[0], outcomes):
        smooth = outcome.by_day.rolling(3, min_periods=1).mean()
        axis.plot(smooth.index, smooth["champion"], label="champion")
        axis.plot(smooth.index, smooth["retrained"], label="retrained")
        axis.axvline(CHANGE, color="grey", linestyle=":", label="fraud changes")
        if outcome.alarm:
            axis.axvline(outcome.alarm, color="tab:red", linestyle="--", label="alarm")
        axis.set(title=outcome.kind, xlabel="day", ylim=(0, 1))
    axes[0][0].set_ylabel("recall, three days' mean")
    axes[0][-1].legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def told(outcomes: list[Outcome]) -> str:
    """A Markdown table."""
    lines = ["| kind | alarm, days after | money lost before it | recall before "
             "| champion's at the end | retrained | its precision | regained, each time |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for one in outcomes:
        days = one.alarm - CHANGE if one.alarm else "none"
        last = one.retrainings.iloc[-1] if one.alarm else dict.fromkeys(RETRAINING, np.nan)
        regained = ", ".join(f"{one.regained(place):.0%}" for place in range(len(one.retrainings)))
        lines.append(f"| {one.kind} | {days} | {one.lost_before:.0%} | {one.recall_before:.2f} | "
                     f"{last['champion']:.2f} | {last['retrained']:.2f} | "
                     f"{last['precision']:.2f} | {regained} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.drill", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a PNG file")
    parser.add_argument("--rows", type=int, default=ROWS, help="(default %(default)s)")
    options = parser.parse_args(arguments)
    before = month(None, options.rows, SEED + 1)
    outcomes = [drill(kind, before, options.rows) for kind in KINDS]
    draw(outcomes, options.out)
    print(told(outcomes))


if __name__ == "__main__":
    main()
