"""Samples of labelled payments to fit models on: they fit into memory, however large the file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.features.splits import Rows

OTHER_TYPES_SHARE = 0.1     # of the payments of types without fraud
MOST_LEGITIMATE = 500_000   # rows of legitimate payments: 150 MB


class LabelledSample(NamedTuple):
    """Payments to fit a model on, in event order: arrays of one length n."""

    features: np.ndarray            # float32, shape (n, features)
    label: np.ndarray               # 0 or 1
    legitimate_weight: float = 1.0  # payments that each row of a legitimate one stands for

    @property
    def weight(self) -> np.ndarray:
        """The payments that each row stands for: float32, shape (n,)."""
        return np.where(self.label == 1, 1.0, self.legitimate_weight).astype(np.float32)

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
    legitimate, weight = np.flatnonzero(kept & (rows.label == 0)), 1.0
    if legitimate.size > MOST_LEGITIMATE:
        weight = legitimate.size / MOST_LEGITIMATE
        kept[legitimate] = False
        kept[rng.choice(legitimate, MOST_LEGITIMATE, replace=False)] = True
    return LabelledSample(rows.features.only(kept).matrix(), rows.label[kept], weight)
