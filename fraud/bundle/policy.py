"""policy.json: the thresholds that turn a score into approve, review or decline."""

from __future__ import annotations

import msgspec

POLICY_FILE = "policy.json"


class Thresholds(msgspec.Struct, frozen=True):
    """The scores from which a payment is reviewed, or declined."""

    review: float
    decline: float

    def __post_init__(self) -> None:
        if not 0 <= self.review <= self.decline <= 1:
            raise ValueError(f"thresholds must satisfy 0 <= review <= decline <= 1, "
                             f"not review={self.review}, decline={self.decline}")

    def decide(self, score: float) -> str:
        """Return `approve`, `review` or `decline`."""
        if score >= self.decline:
            return "decline"
        return "review" if score >= self.review else "approve"


class Policy(msgspec.Struct, frozen=True):
    """policy.json: the thresholds of both models, under a version that changes with them."""

    version: str
    model: Thresholds
    fallback: Thresholds
    alerts_per_day: float = 0.0     # the budget of reviews and declines; 0: unknown
