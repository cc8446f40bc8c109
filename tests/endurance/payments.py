"""The payments of a run: each follows from its number, so that totals can be computed again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fraud.labels import Label
from fraud.pseudonym import pseudonym

ACCOUNT_KEY = "key"
API, STREAM = "a", "s"      # prefixes of transaction ids
SENDERS, RECIPIENTS = 499, 97
AMOUNTS = 1_700             # cents; the model declines from about 16.00
LABEL_EVERY = 20            # payments
TOTALS = 4                  # count and cents sent, count and cents received


@dataclass(frozen=True)
class PaymentSeries:
    """Payments of one channel with numbers from 0 on, due at a constant rate.

    Args:
        channel: `API` or `STREAM`, the prefix of the ids.
        rate: payments a second; infinite: all are due at once.
    """

    channel: str
    rate: float
    start_ms: int = field(default_factory=lambda: round(time.time() * 1000))
    start: float = field(default_factory=time.monotonic)

    def due(self, number: int) -> float:
        """Return the moment of the monotonic clock at which a payment is due."""
        return self.start + number / self.rate

    def id(self, number: int) -> str:
        return f"{self.channel}-{self.start_ms}-{number}"

    def payment(self, number: int) -> dict[str, Any]:
        """Return the JSON form of a payment."""
        return {
            "transaction_id": self.id(number),
            "event_time": self.start_ms + round(1000 * number / self.rate), "type": "TRANSFER",
            "amount": number * 7_919 % AMOUNTS / 100, "origin": f"C{number * 31 % SENDERS}",
            "destination": f"M{number * 17 % RECIPIENTS}", "origin_balance": 20.0,
            "destination_balance": 0.0}

    def label(self, number: int) -> Label:
        """Return the label of a payment, for every `LABEL_EVERY`th; two of three are fraud."""
        payment = self.payment(number)
        return Label(
            payment["transaction_id"], int(number // LABEL_EVERY % 3 > 0), payment["event_time"],
            origin=payment["origin"], destination=payment["destination"])


def encode(payment: dict[str, Any]) -> bytes:
    return msgspec.json.encode(payment)


def totals(payments: Iterable[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return the totals of each account, by its pseudonym."""
    sums: dict[str, list[int]] = {}
    for payment in payments:
        for name, first in ((payment["origin"], 0), (payment["destination"], 2)):
            account = sums.setdefault(name, [0] * TOTALS)
            account[first] += 1
            account[first + 1] += round(payment["amount"] * 100)
    return by_pseudonym(sums)


def frauds(labels: Iterable[Label]) -> dict[str, tuple[int, ...]]:
    """Return the known frauds sent and received of each account that has one."""
    sums: dict[str, list[int]] = {}
    for label in {label.transaction_id: label for label in labels if label.is_fraud}.values():
        for side, name in enumerate((label.origin, label.destination)):
            assert name is not None
            sums.setdefault(name, [0, 0])[side] += 1
    return by_pseudonym(sums)


def by_pseudonym(sums: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {pseudonym(ACCOUNT_KEY.encode(), name): tuple(each) for name, each in sums.items()}
