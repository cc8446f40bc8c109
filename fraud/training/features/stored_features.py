"""Features of payments that stay in their files until they are needed.

A period of a large file has more rows than memory holds. Scores need a part of them at a time,
samples need few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow.dataset as ds

PART_ROWS = 65_536      # 20 MB of 75 features


class StoredFeatures:
    """The float32 features of n payments.

    `names` are those of all features in the files.
    """

    def __init__(self, dataset: ds.Dataset, position: np.ndarray):
        """Take the features of some payments of a dataset.

        Args:
            dataset: rows in any order: `position` and a float32 column for each feature, NaN where
                not known.
            position: of the payments, which the dataset has: int64, ascending, shape (n,).
        """
        self._dataset, self._position = dataset, position
        self.names = tuple(name for name in dataset.schema.names if name != "position")

    def __len__(self) -> int:
        return self._position.size

    def only(self, keep: np.ndarray) -> StoredFeatures:
        """Return those of some payments: a bool mask of shape (n,), or ascending indices."""
        return StoredFeatures(self._dataset, self._position[keep])

    def followed_by(self, later: StoredFeatures) -> StoredFeatures:
        """Return these and those of later payments."""
        return StoredFeatures(ds.dataset([self._dataset, later._dataset]),
                              np.concatenate([self._position, later._position]))

    def index_of(self, others: StoredFeatures) -> np.ndarray:
        """Return where others, all of which are among these, are: indices, shape (len(others),)."""
        return np.searchsorted(self._position, others._position)

    def parts(self, names: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the payments in parts, in the order of the files.

        Returns:
            indices of payments, and their features of these names: float32, shape (part, names).
        """
        if not self._position.size:
            return
        for batch in self._dataset.to_batches(
                columns=["position", *names], batch_size=PART_ROWS, batch_readahead=2,
                fragment_readahead=1):
            position = batch["position"].to_numpy()
            index = np.searchsorted(self._position, position).clip(max=self._position.size - 1)
            wanted = self._position[index] == position
            if wanted.any():
                matrix = np.stack([batch[name].to_numpy()[wanted] for name in names], axis=1)
                yield index[wanted], matrix

    def matrix(self) -> np.ndarray:
        """Return all of them in memory: float32, shape (n, len(names))."""
        matrix = np.empty((self._position.size, len(self.names)), np.float32)
        for index, part in self.parts(self.names):
            matrix[index] = part
        return matrix

    def scored(self, names: Sequence[str], score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return what a function gives for each payment, called with a part at a time: shape (n,).

        Args:
            names: of the features, in the order in which the function takes them.
            score: turns float32 rows of shape (part, names) into an array of shape (part,).
        """
        scored = [(index, score(part)) for index, part in self.parts(names)]
        indices, values = (np.concatenate(arrays) for arrays in zip(*scored, strict=True))
        return values[np.argsort(indices)]
