"""Sequential test of rates: how surely events are more frequent on one side than on the other.

Of two sides with equal rates, each event falls on a side with the probability of that side's share
of the trials. The test is the likelihood ratio of larger probabilities, mixed uniformly, against
the largest probability that is tolerated. If that one holds, the ratio exceeds 1 / a at any time
with a probability of at most a (Ville's inequality), so it may be looked at as often as one likes.
P. Grunwald, R. de Heide, W. Koolen, "Safe Testing" (2024).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import special, stats


class Rate(NamedTuple):
    """Events among trials."""

    events: float
    trials: float

    @property
    def share(self) -> float:
        """The share of the trials with an event; nan without trials."""
        return self.events / self.trials if self.trials else math.nan


def log_evidence(ours: Rate, theirs: Rate, most: float, group: float = 1.0) -> float:
    """Return the logarithm of the likelihood ratio against a rate of at most `most` times theirs.

    Args:
        group: so many events come together and count as one.
    """
    if not (ours.trials and theirs.trials):
        return 0.0
    tolerated = most * ours.trials / (most * ours.trials + theirs.trials)
    mine, other = ours.events / group, theirs.events / group
    larger = special.betaln(mine + 1, other + 1) + stats.beta.logsf(tolerated, mine + 1, other + 1)
    return float(larger - math.log1p(-tolerated)
                 - mine * math.log(tolerated) - other * math.log1p(-tolerated))
