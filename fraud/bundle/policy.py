"""policy.json: the thresholds that turn a score and an amount into a decision."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

POLICY_FILE = "policy.json"
ReviewBy = Literal["score", "loss"]
FloatOrArray = TypeVar("FloatOrArray", float, np.ndarray)
HIGHEST_RANK = {"score": 1.0, "loss": 1e12}     # loss: of the largest amount, in currency units


class Thresholds(msgspec.Struct, frozen=True):
    """Levels of score, rank and amount from which a payment is declined or reviewed.

    A payment is declined if both its score and its amount are high enough. Any other is reviewed if
    its rank is: its score, or the loss that it is expected to cause, score times amount.
    """

    review: Annotated[float, Meta(description="rank from which a payment is reviewed")]
    decline: Annotated[float, Meta(description="score from which a payment is declined")]
    review_by: Annotated[ReviewBy, Meta(description=(
        "rank of payments for review: their `score`, or `loss`, score times amount"))] = "score"
    decline_from: Annotated[float, Meta(description=(
        "amount in currency units below which no payment is declined"))] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.decline <= 1:
            raise ValueError(f"decline must be from 0 to 1, not {self.decline}")
        if self.decline_from < 0:
            raise ValueError(f"decline_from must not be negative, but is {self.decline_from}")
        highest = {"score": self.decline, "loss": HIGHEST_RANK["loss"]}[self.review_by]
        if not 0 <= self.review <= highest:
            raise ValueError(f"review must be from 0 to {highest:g} by {self.review_by}, "
                             f"not {self.review}")

    def decide(self, score: float, amount_cents: int) -> str:
        """Return `approve`, `review` or `decline`."""
        amount = amount_cents / 100
        if score >= self.decline and amount >= self.decline_from:
            return "decline"
        return "review" if self._rank(score, amount) >= self.review else "approve"

    def alerts(self, scores: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the payments to review and those to decline: bool, shape (n,); none is both.

        Args:
            scores: float64; amounts: currency units, float64; shape (n,).
        """
        declined = (scores >= self.decline) & (amounts >= self.decline_from)
        return (self._rank(scores, amounts) >= self.review) & ~declined, declined

    def priorities(self, scores: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """Return the ranks of payments, where declined ones have the highest: shape (n,).

        Args:
            scores, amounts: see `alerts`.
        """
        _, declined = self.alerts(scores, amounts)
        return np.where(declined, HIGHEST_RANK[self.review_by], self._rank(scores, amounts))

    def _rank(self, score: FloatOrArray, amount: FloatOrArray) -> FloatOrArray:
        return score if self.review_by == "score" else score * amount


class Policy(msgspec.Struct, frozen=True):
    """policy.json: the thresholds of both models, under a version that changes with them."""

    version: str
    model: Thresholds
    fallback: Thresholds
    alerts_per_day: float = 0.0     # the budget of reviews and declines; 0: unknown
