"""Samples of labelled payments to fit models on: they fit into memory, however large the file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.features.splits import Rows

OTHER_TYPES_SHARE = 0.1     # of the payments of types without fraud
MOST_LEGITIMATE = 300_000   # rows of legitimate payments: 90 MB


class LabelledSample(NamedTuple):
    """Payments to fit a model on, in event order: arrays of one length n."""

    features: np.ndarray                # float32, shape (n, features)
    label: np.ndarray                   # 0 or 1
    weight: np.ndarray | None = None    # payments that each row stands for; None: one

    def first(self, width: int) -> LabelledSample:
        """Return the sample with the first features only."""
        return self._replace(features=np.ascontiguousarray(self.features[:, :width]))


def draw(rows: Rows, types_of_fraud: np.ndarray, seed: int) -> LabelledSample:
    """Return all frauds and a sample of the legitimate payments.

    A model learns little from types without fraud, which are most of the payments: a tenth of them
    is drawn, and no type is left out, so that none is scored blindly. Of what remains,
    `MOST_LEGITIMATE` are drawn, and have the weight of all.
    """
    rng = np.random.default_rng(seed)
    is_drawn = rng.random(rows.label.size) < OTHER_TYPES_SHARE
    kept = is_drawn | np.isin(rows.type, types_of_fraud)
    legitimate, weight = np.flatnonzero(kept & (rows.label == 0)), None
    if legitimate.size > MOST_LEGITIMATE:
        kept[legitimate] = False
        kept[rng.choice(legitimate, MOST_LEGITIMATE, replace=False)] = True
        weight = np.where(rows.label[kept] == 1, 1.0, legitimate.size / MOST_LEGITIMATE)
    return LabelledSample(rows.features.only(kept).matrix(), rows.label[kept], weight)
