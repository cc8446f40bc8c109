"""Samples of labelled payments to fit models on: they fit into memory, however large the file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.features.splits import Rows

OTHER_TYPES_SHARE = 0.1     # of the payments of types without fraud
TO_FIT = 300_000            # rows of legitimate payments, at most: 90 MB
TO_STOP = 100_000           # the same, for the loss that ends a fit, which each round measures


class LabelledSample(NamedTuple):
    """Payments to fit a model on, in event order: arrays of one length n."""

    features: np.ndarray                # float32, shape (n, features)
    label: np.ndarray                   # 0 or 1
    weight: np.ndarray | None = None    # payments that each row stands for; None: one

    def first(self, width: int) -> LabelledSample:
        """Return the sample with the first features only."""
        return self._replace(features=np.ascontiguousarray(self.features[:, :width]))


def draw(rows: Rows, types_of_fraud: np.ndarray, most: int, seed: int) -> LabelledSample:
    """Return all frauds and a sample of the legitimate payments.

    A model learns little from types without fraud, which are most of the payments: a tenth of them
    is drawn, and no type is left out, so that none is scored blindly. If more remain than `most`,
    so many are drawn, which have the weight of all.
    """
    rng = np.random.default_rng(seed)
    is_drawn = rng.random(rows.label.size) < OTHER_TYPES_SHARE
    kept = is_drawn | np.isin(rows.type, types_of_fraud)
    legitimate, weight = np.flatnonzero(kept & (rows.label == 0)), None
    if legitimate.size > most:
        kept[legitimate] = False
        kept[rng.choice(legitimate, most, replace=False)] = True
        weight = np.where(rows.label[kept] == 1, 1.0, legitimate.size / most)
    return LabelledSample(rows.features.only(kept).matrix(), rows.label[kept], weight)
