"""Medians of legitimate payments: explanations compare payments with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fraud.training.features.splits import Rows

MOST = 500_000      # payments that medians are of: 150 MB


class Medians(NamedTuple):
    """Medians by feature, of all payments and of those of each type."""

    overall: dict[str, float]
    by_type: dict[str, dict[str, float]]

    def of(self, names: Sequence[str]) -> Medians:
        """Return those of some features."""
        return Medians(_only(self.overall, names),
                       {name: _only(values, names) for name, values in self.by_type.items()})


def medians_of(rows: Rows, types: Sequence[str]) -> Medians:
    """Return the medians of legitimate payments: of all, or of every k-th if they are too many.

    A feature that no payment of a type knows has its overall median, or 0 if nobody knows it.
    """
    legitimate = np.flatnonzero(rows.label == 0)
    chosen = rows.only(legitimate[::max(1, math.ceil(legitimate.size / MOST))])
    names, features = chosen.features.names, chosen.features.matrix()
    overall = _medians(features, np.zeros(len(names), np.float32))
    by_type = {name: _medians(features[chosen.type == name], overall) for name in types}
    return Medians(_named(names, overall),
                   {name: _named(names, values) for name, values in by_type.items()})


def _medians(features: np.ndarray, default: np.ndarray) -> np.ndarray:
    known = ~np.isnan(features)
    if known.all() and len(features):
        return np.median(features, axis=0)
    return np.array([np.median(column[is_known]) if is_known.any() else value
                     for column, is_known, value in zip(features.T, known.T, default, strict=True)],
                    np.float32)


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _only(values: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: values[name] for name in names}
