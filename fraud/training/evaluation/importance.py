"""Permutation importance of the groups of features."""

from __future__ import annotations

import numpy as np

from fraud.bundle import Bundle
from fraud.training.features.splits import Rows

IMPORTANCE_ROWS = 50_000      # legitimate rows at most; every fraud is used


def permutation_importance(bundle: Bundle, rows: Rows, seed: int) -> dict[str, float]:
    """Measure how much AUPRC is lost when a group of features is shuffled among the payments.

    Permutation importance (L. Breiman, "Random Forests", 2001) on every fraud and a sample of
    legitimate payments, by the groups that explanations use; works for both frameworks.

    Returns:
        the loss of each group, largest first.
    """
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    sample = rows.only(_sample(rows.label, rng))
    values, label = sample.features.matrix(), sample.label
    complete = average_precision_score(label, bundle.model.logits(values))
    lost = {}
    for group, columns in bundle.model.groups.items():
        shuffled = values.copy()
        shuffled[:, columns] = values[rng.permutation(len(values))][:, columns]
        lost[group] = float(complete - average_precision_score(
            label, bundle.model.logits(shuffled)))
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def _sample(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of all frauds and of at most `IMPORTANCE_ROWS` legitimate rows."""
    legitimate, chosen = np.flatnonzero(label == 0), label == 1
    if legitimate.size > IMPORTANCE_ROWS:
        legitimate = rng.choice(legitimate, IMPORTANCE_ROWS, replace=False)
    chosen[legitimate] = True
    return chosen
