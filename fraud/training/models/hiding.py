"""Hide what a model may have to do without: longer windows of history, and balances.

A store that was started a few days ago knows no week or month, and some payments come without a
balance. A model that saw such payments in training knows how to score them.
"""

from __future__ import annotations

import numpy as np

from fraud.feature_definitions import DAY, MONTH, WEEK
from fraud.features import FeatureTable

WEEK_SHARE = 0.1        # of the rows in which only the hour and the day are known
MONTH_SHARE = 0.1       # in which the week is known, too, but not the month
BALANCE_SHARE = 0.02    # without the balance of the origin; of the destination as many


def hidden(features: np.ndarray, table: FeatureTable, seed: int) -> np.ndarray:
    """Return features in which a drawn share of the rows lacks windows or balances.

    Args:
        features: float32, shape (rows, features), in the order of the table.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.random(len(features))
    windows = np.where(drawn < WEEK_SHARE, DAY,
                       np.where(drawn < WEEK_SHARE + MONTH_SHARE, WEEK, MONTH))
    needed = np.array([feature.windows for feature in table.features])
    is_hidden = needed > windows[:, None]
    for columns in _balance_columns(table):
        is_hidden[:, columns] |= (rng.random(len(features)) < BALANCE_SHARE)[:, None]
    return np.where(is_hidden, np.float32(np.nan), features)


def _balance_columns(table: FeatureTable) -> list[list[int]]:
    """Return the columns that need the balance of the origin; and of the destination."""
    return [[column for column, name in enumerate(table.names) if name in table.of_balance(side)]
            for side in ("origin", "destination")]
