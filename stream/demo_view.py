"""The screen of the demo: decisions as they are committed."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Any

import msgspec
from kafka.consumer.fetcher import ConsumerRecord
from rich.console import Group
from rich.table import Table

from fraud import clock
from fraud.errors import JSON_ERRORS

SHOWN = 12                      # decisions in the table
RATE_SECONDS = 5                # interval for the rate
PAYMENTS_KEPT = 20_000          # messages that may still get a decision
COLORS = {"decline": "red", "review": "yellow"}


class View:
    """Counts decisions and dead letters, and shows the latest reviews and declines."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.milliseconds = 0.0         # from message to committed decision, on average
        self._payments: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._latest: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._times: deque[float] = deque()

    def add_payment(self, record: ConsumerRecord) -> None:
        """Remember a payment: answers have neither its type nor its amount."""
        try:
            payment = msgspec.json.decode(record.value or b"")
            self._payments[payment["transaction_id"]] = payment
        except (*JSON_ERRORS, KeyError, TypeError):
            return                      # a broken message becomes a dead letter
        if len(self._payments) > PAYMENTS_KEPT:
            self._payments.popitem(last=False)

    def add_decision(self, record: ConsumerRecord, now: float) -> None:
        """Count a decision."""
        answer = msgspec.json.decode(record.value)
        payment = self._payments.pop(answer["transaction_id"], {})
        self.decisions[answer["decision"]] += 1
        if answer["decision"] != "approve":
            self._latest.append({**payment, **answer})
        self._times.append(now)

    def add_dead_letter(self, record: ConsumerRecord) -> None:
        """Count a dead letter by its reason."""
        self.dead_letters[dict(record.headers)["reason"].decode()] += 1

    def rate(self, now: float) -> float:
        """Return decisions a second, over the last `RATE_SECONDS`."""
        while self._times and self._times[0] < now - RATE_SECONDS:
            self._times.popleft()
        return len(self._times) / RATE_SECONDS

    def summary(self) -> str:
        """Return the counts in a line."""
        decisions = ", ".join(f"{count:,} {name}" for name, count in self.decisions.most_common())
        dead = ", ".join(f"{count} {name}" for name, count in self.dead_letters.most_common())
        return f"{decisions or 'no decisions yet'}; dead letters: {dead or 'none'}"

    def render(self, now: float) -> Group:
        """Return the screen."""
        table = Table("time", "payment", "type", "amount", "score", "decision", "main reason",
                      expand=True)
        for decision in self._latest:
            reasons = decision["reasons"]
            time = clock.utc_second(decision["event_time"]) if "event_time" in decision else ""
            table.add_row(
                time, decision["transaction_id"], decision.get("type", ""),
                f"{decision['amount']:,.2f}" if "amount" in decision else "",
                f"{decision['score']:.3f}", decision["decision"],
                reasons[0]["text"] if reasons else "", style=COLORS[decision["decision"]])
        return Group(table, f"{self.summary()}",
                     f"{self.rate(now):,.0f} decisions a second, {self.milliseconds:,.0f} ms from "
                     "message to decision")
