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

from fraud.training import incidents
from fraud.training.simulate import START
from monitoring import performance, settings
from monitoring.changing_fraud import CHANGE, DAY, DAYS, KINDS, Month, month
from monitoring.drill_models import SEED, half, parts_at, parts_before, parts_of_all, train
from monitoring.performance import Performance
from monitoring.settings import Policy, ReportSettings

WEEK = 7
EVERY = 4               # days between two retrainings
ROWS = 600_000
MEASURES = {"recall": "payments", "incidents": "incidents", "money": "money"}


class Found(NamedTuple):
    """What decisions found of frauds, and at what price."""

    recall: float       # of fraudulent payments, each leg by itself
    incidents: float    # share of which any leg was declined
    money: float        # share; what comes after a declined leg would not have happened
    precision: float    # of declined payments


def measured(of: Month, declined: np.ndarray, where: np.ndarray) -> performance.Measured:
    """What decisions were worth on some payments."""
    return performance.measure(_decided(of, declined)[where], SEED)


def _decided(of: Month, declined: np.ndarray) -> pd.DataFrame:
    return of.table.assign(decision=np.where(declined, "decline", "approve"))


def found(of: Month, declined: np.ndarray, where: np.ndarray) -> Found:
    """What decisions found among some payments."""
    fraud = where & (of.table["is_fraud"] == 1).to_numpy()
    its, flagged = of.table[fraud], declined[fraud]
    outcome = incidents.outcome(its["incident_id"].to_numpy(object), its["event_time"].to_numpy(),
                                its["amount"].to_numpy(), flagged)
    return Found(float(flagged.mean()), outcome.stopped / outcome.incidents,
                 outcome.money_stopped / (outcome.money_stopped + outcome.money_missed),
                 int(flagged.sum()) / max(1, int((where & declined).sum())))


class Retraining(NamedTuple):
    """One of them, until the next."""

    day: int
    champion: Found
    retrained: Found


class Outcome(NamedTuple):
    """How one drill went."""

    kind: str
    alarm: int | None           # the day
    lost_before: float          # of the new kind's money that the champion lets pass
    before: Found               # of the champion, in its validation
    retrainings: list[Retraining]
    bound: Retraining           # learned from half of the incidents, judged on the others
    by_day: pd.DataFrame        # recall of champion and retrained from day to day

    def regained(self, its: Retraining, measure: str) -> float:
        """Of what was lost by a measure of `Found`, the share that a retrained model regains."""
        now, lost = (getattr(one, measure) for one in (its.retrained, its.champion))
        return (now - lost) / (getattr(self.before, measure) - lost)


def drill(kind: str, before: Month, rows: int = ROWS, seed: int = SEED) -> Outcome:
    """Carry one drill out.

    Args:
        before: the month from which the champion learns.
    """
    of, champion = month(kind, rows, seed), train(parts_before(before))
    validation, decided = before.days(0.75 * DAYS, DAYS), champion.declined(before.features)
    old = champion.declined(of.features)
    alarm = alarm_of(of, old, measured(before, decided, validation))
    days = range(alarm, DAYS - EVERY + 1, EVERY) if alarm else ()
    new, retrainings = np.zeros_like(old), []
    for day in days:
        model, span = train(parts_at(day, before, of)), of.days(day, day + EVERY)
        new[of.days(day, DAYS)] = model.declined(of.features[of.days(day, DAYS)])
        retrainings.append(Retraining(day, found(of, old, span), found(of, new, span)))
    missed = of.table["amount"].where(of.table["is_new"] & ~old, 0.0)
    return Outcome(
        kind, alarm, float(missed[of.days(0, alarm or DAYS)].sum() / missed.sum()),
        found(before, decided, validation), retrainings, bound(before, of, old),
        pd.DataFrame({"champion": _recall_by_day(of, old),
                      "retrained": _recall_by_day(of, new)[alarm:] if alarm else np.nan}))


def bound(before: Month, of: Month, old: np.ndarray) -> Retraining:
    """What these features and trees can find at best: all verdicts given, half of the incidents
    learned from, the others judged.

    Args:
        old: what the champion declines: bool.
    """
    learned, since = half(of), of.days(CHANGE, DAYS)
    best = train(parts_of_all(before, of, learned & since)).declined(of.features)
    return Retraining(CHANGE, found(of, old, since & ~learned), found(of, best, since & ~learned))


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
    """Two Markdown tables: how each kind went, and what retraining regained by each measure."""
    lines = ["| kind | alarm, days after | money lost before it | precision before | retrained |",
             "| --- | ---: | ---: | ---: | ---: |"]
    for one in outcomes:
        days = one.alarm - CHANGE if one.alarm else "none"
        now = one.retrainings[-1].retrained.precision if one.alarm else np.nan
        lines.append(f"| {one.kind} | {days} | {one.lost_before:.0%} | {one.before.precision:.2f} "
                     f"| {now:.2f} |")
    lines += ["", "| kind | found, of | before | champion's at the end | retrained "
              "| regained, each time | at best |",
              "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    lines += [_regained(one, measure) for one in outcomes if one.alarm for measure in MEASURES]
    return "\n".join(lines)


def _regained(one: Outcome, measure: str) -> str:
    last = one.retrainings[-1]
    values = [getattr(its, measure) for its in (one.before, last.champion, last.retrained)]
    each = ", ".join(f"{one.regained(its, measure):.0%}" for its in one.retrainings)
    return (f"| {one.kind} | {MEASURES[measure]} | "
            + " | ".join(f"{value:.2f}" for value in values)
            + f" | {each} | {one.regained(one.bound, measure):.0%} |")


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
