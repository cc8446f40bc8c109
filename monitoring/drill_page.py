"""The figure and the tables of the drill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fraud.training.simulate.simulator import START
from monitoring.concept_drift import CHANGE, DAY

if TYPE_CHECKING:
    from monitoring.drill import DrillResult

MEASURES = {"recall": "payments", "incidents": "incidents", "money": "money"}


def draw(results: Sequence[DrillResult], path: Path) -> None:
    """Draw daily recall of champion and retrained model, the change and the alarm."""
    import matplotlib
    import matplotlib.dates
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(4.5 * len(results), 3.6),
                                   sharey=True, layout="constrained", squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        smooth = result.by_day.rolling(3, min_periods=1).mean()
        dates = [_date(day) for day in smooth.index]
        axis.plot(dates, smooth["champion"], label="champion")
        axis.plot(dates, smooth["retrained"], label="retrained")
        axis.axvline(_date(CHANGE), color="grey", linestyle=":", label="fraud changes")
        if result.alarm:
            axis.axvline(_date(result.alarm), color="tab:red", linestyle="--", label="alarm")
        axis.set(title=result.kind, xlim=(dates[0], dates[-1]), ylim=(0, 1))
        axis.xaxis.set_major_locator(matplotlib.dates.DayLocator(bymonthday=(1, 9, 17, 25)))
        axis.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%Y-%m-%d"))
    axes[0][0].set_ylabel("recall, mean of three days")
    axes[0][-1].legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _date(day: int) -> pd.Timestamp:
    return pd.to_datetime(START + day * DAY, unit="ms")


def tables(results: Sequence[DrillResult]) -> str:
    """Return two Markdown tables: the course of each drill, and what retraining recovered."""
    lines = ["| kind | alarm, days after | money lost before it | precision before | retrained |",
             "| --- | ---: | ---: | ---: | ---: |"]
    for result in results:
        days = result.alarm - CHANGE if result.alarm else "none"
        precision = result.retrainings[-1].retrained.precision if result.alarm else np.nan
        lines.append(f"| {result.kind} | {days} | {result.lost_before:.0%} | "
                     f"{result.before.precision:.2f} | {precision:.2f} |")
    lines += ["", "| kind | detected share of | before | champion at the end | retrained "
              "| recovered, each time | upper bound |",
              "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for result in results:
        if result.alarm:
            lines += [_recovered(result, measure) for measure in MEASURES]
    return "\n".join(lines)


def _recovered(result: DrillResult, measure: str) -> str:
    last = result.retrainings[-1]
    values = [getattr(detection, measure)
              for detection in (result.before, last.champion, last.retrained)]
    recovered = ", ".join(f"{result.recovered(retraining, measure):.0%}"
                          for retraining in result.retrainings)
    return (f"| {result.kind} | {MEASURES[measure]} | "
            + " | ".join(f"{value:.2f}" for value in values)
            + f" | {recovered} | {result.recovered(result.bound, measure):.0%} |")
