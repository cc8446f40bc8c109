"""Figures of cards: pure functions from numbers to matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fraud import clock
from fraud.bundle import Thresholds
from fraud.training.evaluation.decision_tables import DayCounts
from fraud.training.evaluation.thresholds import f1_curve

COST_STEPS = 200
BINS = 12
COLORS = {"xgboost": "tab:blue", "tensorflow": "tab:orange"}      # one for each framework
INCUMBENT_COLOR = "tab:gray"
MARK_COLOR = "tab:red"
LINE_STYLES = {"review": ":", "decline": "--"}


def learning_curves(curves: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Plot the log loss by round or epoch, one panel for each model."""
    figure, panels = _panels(len(curves))
    for axes, (name, lines) in zip(panels, curves.items(), strict=True):
        for line, values in lines.items():
            axes.plot(np.arange(1, len(values) + 1), values,
                      label=line.removesuffix("_logloss").replace("_", " "))
        axes.set(title=name, xlabel="round or epoch", ylabel="log loss", yscale="log")
        axes.legend()
    return figure


def precision_recall(scores: Mapping[str, np.ndarray], label: np.ndarray, title: str) -> Figure:
    """Plot precision against recall of several models on the same payments.

    Args:
        scores: of each model, shape (n,); label: 0 or 1, shape (n,).
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure, (axes,) = _panels(1)
    for name, score in scores.items():
        precision, recall, _ = precision_recall_curve(label, score, drop_intermediate=True)
        axes.plot(recall, precision, color=COLORS.get(name, INCUMBENT_COLOR),
                  label=f"{name} (AUPRC {average_precision_score(label, score):.3f})")
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")
    return figure


def thresholds(score: np.ndarray, label: np.ndarray, amount: np.ndarray, review_cost: float,
               chosen: float) -> Figure:
    """Plot F1 and cost of every threshold, and mark the chosen one.

    The cost of a threshold is that of reviewing its alerts plus the frauds below it.

    Args:
        score, label, amount (currency units): shape (n,).
        review_cost: currency units for each alert.
    """
    order = np.argsort(-score, kind="stable")
    missed = amount[label == 1].sum() - np.cumsum(amount[order] * label[order])
    cost = review_cost * np.arange(1, order.size + 1) + missed
    most = min(order.size, 20 * int(label.sum()))
    f1 = f1_curve(score, label)
    at = np.unique(np.geomspace(1, most, COST_STEPS).astype(int)) - 1
    at = at[f1[at] > 0]      # no threshold cuts between equal scores
    figure, (left, right) = _panels(2)
    left.plot(score[order][at], f1[at])
    left.set(title="F1", xlabel="threshold", ylabel="F1", xscale="log")
    right.plot(score[order][at], cost[at])
    right.set(title=f"Cost: alerts at {review_cost:g} each, and missed fraud", xlabel="threshold",
              ylabel="currency units", xscale="log", yscale="log")
    for axes in (left, right):
        axes.axvline(chosen, color=MARK_COLOR, linestyle="--",
                     label=f"decline from {chosen:.3f}")
        axes.legend()
    return figure


def gain(score: np.ndarray, label: np.ndarray, amount: np.ndarray, days: float,
         chosen: Thresholds) -> Figure:
    """Plot the share of frauds and of their money that a number of alerts a day reaches.

    Args:
        score, label, amount (currency units): shape (n,), at least one fraud.
    """
    order = np.argsort(-chosen.priorities(score, amount), kind="stable")
    fraud, money = label[order], (amount * label)[order]
    most = min(order.size, 20 * int(fraud.sum()))
    load = np.arange(1, most + 1) / days
    figure, (axes,) = _panels(1)
    axes.plot(load, np.cumsum(fraud)[:most] / fraud.sum(), label="payments")
    axes.plot(load, np.cumsum(money)[:most] / money.sum(), label="money")
    reviewed, declined = chosen.alerts(score, amount)
    for name, alerts in (("review", reviewed | declined), ("decline", declined)):
        at = np.count_nonzero(alerts) / days
        axes.axvline(at, color=MARK_COLOR, linestyle=LINE_STYLES[name],
                     label=f"{name}: {at:,.1f} a day")
    axes.set(title="Gain", xlabel=f"alerts a day: declines, then reviews by {chosen.review_by}",
             ylabel="share of the fraud", xscale="log", ylim=(0, 1.01))
    axes.legend()
    return figure


def alerts_by_day(days: Sequence[DayCounts], budget: float) -> Figure:
    """Plot reviews and declines of each day, with the alert budget as a line."""
    figure, (axes,) = _panels(1)
    dates = [clock.utc_minute(day.start)[5:10] for day in days]
    declines = [day.declines for day in days]
    axes.bar(dates, declines, label="declines")
    axes.bar(dates, [day.reviews for day in days], bottom=declines, label="reviews")
    axes.axhline(budget, color=MARK_COLOR, linestyle="--", label=f"budget of {budget:,.0f}")
    axes.set(title="Alerts by day", xlabel="24 hours from", ylabel="payments")
    axes.set_xticks(range(0, len(dates), max(1, len(dates) // 8)))
    axes.legend(loc="lower right")
    return figure


def calibration(score: np.ndarray, label: np.ndarray, chosen: Thresholds) -> Figure:
    """Plot how often payments of a score are fraud; on the diagonal a score is a probability."""
    figure, (axes,) = _panels(1)
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, BINS)])
    which = np.clip(np.digitize(score, edges) - 1, 0, BINS - 1)
    size = np.bincount(which, minlength=BINS)
    filled = (size > 0) & (np.bincount(which, label, BINS) > 0)
    mean = np.bincount(which, score, BINS)[filled] / size[filled]
    rate = np.bincount(which, label, BINS)[filled] / size[filled]
    axes.plot([1e-4, 1], [1e-4, 1], color="0.7", linestyle="--", label="calibrated")
    axes.plot(mean, rate, marker="o", label="on the test period")
    marked = {"decline": chosen.decline}
    if chosen.review_by == "score":
        marked["review"] = chosen.review
    for name, threshold in marked.items():
        axes.axvline(threshold, color=MARK_COLOR, linestyle=LINE_STYLES[name],
                     label=f"{name} from {threshold:.3f}")
    axes.set(title="Calibration", xlabel="mean score", ylabel="fraud share", xscale="log",
             yscale="log")
    axes.legend()
    return figure


def importance(lost: Mapping[str, float]) -> Figure:
    """Plot the AUPRC lost by shuffling each group of features, largest on top."""
    figure, (axes,) = _panels(1)
    _bars(axes, {group: value for group, value in reversed(list(lost.items()))})
    axes.set(title="Permutation importance", xlabel="AUPRC lost without the group")
    return figure


def confusion(counts: tuple[int, int, int, int]) -> Figure:
    """Plot the confusion matrix of declines, from counts tn, fp, fn, tp."""
    figure, (axes,) = _panels(1)
    table = np.array(counts).reshape(2, 2)
    axes.imshow(table / table.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        axes.text(column, row, f"{count:,}", ha="center", va="center",
                  color="white" if row == column else "black")
    axes.set(title="Decisions on the test period", xticks=[0, 1], yticks=[0, 1],
             xticklabels=["not declined", "declined"], yticklabels=["legitimate", "fraud"])
    return figure


def recall_by_type(recall: Mapping[str, tuple[int, float]]) -> Figure:
    """Plot the declined share of each kind of fraud."""
    figure, (axes,) = _panels(1)
    _bars(axes, {f"{name} ({count:,})": share for name, (count, share) in recall.items()})
    axes.set(title="Recall by kind of fraud", xlabel="declined share of payments", xlim=(0, 1))
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(6.0 * count, 4.0), layout="constrained")
    return figure, [figure.add_subplot(1, count, index + 1) for index in range(count)]


def _bars(axes: Axes, values: Mapping[str, float]) -> None:
    axes.barh(list(values), list(values.values()))
