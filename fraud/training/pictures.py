"""What cards show, as pure functions from numbers to matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fraud.training import evaluation

COST_STEPS = 200
BINS = 12


def learning_curves(curves: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Log loss by round or epoch, one panel a model."""
    figure, panels = _panels(len(curves))
    for axes, (name, lines) in zip(panels, curves.items()):
        for line, values in lines.items():
            axes.plot(np.arange(1, len(values) + 1), values, label=line.removesuffix("_logloss"))
        axes.set(title=name, xlabel="round or epoch", ylabel="log loss", yscale="log")
        axes.legend()
    return figure


def precision_recall(scores: Mapping[str, np.ndarray], label: np.ndarray, title: str) -> Figure:
    """Precision against recall of several models on the same payments.

    Args:
        scores: of each model, shape (n,); label: 0 or 1, shape (n,).
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure, (axes,) = _panels(1)
    for name, score in scores.items():
        precision, recall, _ = precision_recall_curve(label, score, drop_intermediate=True)
        axes.plot(recall, precision,
                  label=f"{name} (AUPRC {average_precision_score(label, score):.3f})")
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")
    return figure


def thresholds(score: np.ndarray, label: np.ndarray, amount: np.ndarray, review_cost: float,
               chosen: float) -> Figure:
    """F1 and cost of every threshold; the chosen one is marked.

    The cost of a threshold is what its alerts cost to review, and the frauds below it.

    Args:
        score, label, amount (currency units): shape (n,).
        review_cost: currency units an alert.
    """
    order = np.argsort(-score, kind="stable")
    missed = amount[label == 1].sum() - np.cumsum(amount[order] * label[order])
    cost = review_cost * np.arange(1, order.size + 1) + missed
    most = min(order.size, 20 * int(label.sum()))
    f1 = evaluation.f1_curve(score, label)
    at = np.unique(np.geomspace(1, most, COST_STEPS).astype(int)) - 1
    at = at[f1[at] > 0]      # no threshold cuts between equal scores
    figure, (left, right) = _panels(2)
    left.plot(score[order][at], f1[at])
    left.set(title="F1", xlabel="threshold", ylabel="F1", xscale="log")
    right.plot(score[order][at], cost[at])
    right.set(title=f"reviews at {review_cost:g} each, and missed fraud", xlabel="threshold",
              ylabel="currency units", xscale="log", yscale="log")
    for axes in (left, right):
        axes.axvline(chosen, color="tab:red", linestyle="--", label=f"decline from {chosen:.3f}")
        axes.legend()
    return figure


def calibration(score: np.ndarray, label: np.ndarray) -> Figure:
    """How often payments of a score are fraud: on the diagonal a score is a probability."""
    figure, (axes,) = _panels(1)
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, BINS)])
    which = np.clip(np.digitize(score, edges) - 1, 0, BINS - 1)
    size = np.bincount(which, minlength=BINS)
    filled = (size > 0) & (np.bincount(which, label, BINS) > 0)
    mean = np.bincount(which, score, BINS)[filled] / size[filled]
    rate = np.bincount(which, label, BINS)[filled] / size[filled]
    axes.plot([1e-4, 1], [1e-4, 1], color="0.7", linestyle="--", label="calibrated")
    axes.plot(mean, rate, marker="o", label="on the test period")
    axes.set(title="Calibration", xlabel="mean score", ylabel="share of fraud", xscale="log",
             yscale="log")
    axes.legend()
    return figure


def importance(lost: Mapping[str, float]) -> Figure:
    """AUPRC lost by shuffling each group of features, largest on top."""
    figure, (axes,) = _panels(1)
    _bars(axes, {group: value for group, value in reversed(lost.items())})
    axes.set(title="What the champion looks at", xlabel="AUPRC lost without it")
    return figure


def confusion(counts: tuple[int, int, int, int]) -> Figure:
    """Declined or not against fraud or not: counts as tn, fp, fn, tp."""
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
    """Share of each kind of fraud that was declined."""
    figure, (axes,) = _panels(1)
    _bars(axes, {f"{name} ({count:,})": share for name, (count, share) in recall.items()})
    axes.set(title="Recall by kind of fraud", xlabel="share of payments declined", xlim=(0, 1))
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(6.0 * count, 4.0), layout="constrained")
    return figure, [figure.add_subplot(1, count, place + 1) for place in range(count)]


def _bars(axes: Axes, values: Mapping[str, float]) -> None:
    axes.barh(list(values), list(values.values()))
