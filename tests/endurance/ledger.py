"""The ledger of a run: what was sent to the API, and what its callers were answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

import msgspec


class AnsweredBody(msgspec.Struct):
    """The part of an answer that a caller looks at."""

    idempotent: bool


_decode = msgspec.json.Decoder(AnsweredBody).decode


def fingerprint(body: bytes) -> int:
    """Return a number for the bytes of an answer; others have another number."""
    return int.from_bytes(sha256(body).digest()[:8])


@dataclass
class Ledger:
    """Answers by transaction id. Any thread may use it.

    A marked answer (`"idempotent": false`) is none that a repeat must get again: the caller sends
    the payment again until it has an answer that is kept.
    """

    answers: dict[str, int] = field(default_factory=dict)       # fingerprints of kept answers
    conflicts: set[str] = field(default_factory=set)            # ids with two kept answers
    refusals: dict[str, str] = field(default_factory=dict)      # by id; none is expected
    interrupted: set[str] = field(default_factory=set)          # an attempt ended without an answer
    marked: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)       # attempts that failed, by cause
    latencies: list[tuple[float, float]] = field(default_factory=list)  # moment, seconds
    _lock: Lock = field(default_factory=Lock)

    def answer(self, transaction_id: str, body: bytes, began: float, seconds: float) -> bool:
        """Keep an answer; return True if it is one that every repeat must get."""
        kept = _decode(body).idempotent
        with self._lock:
            self.latencies.append((began, seconds))
            if not kept:
                self.marked[transaction_id] += 1
                return False
            before = self.answers.setdefault(transaction_id, fingerprint(body))
            if before != fingerprint(body):
                self.conflicts.add(transaction_id)
            return True

    def fail(self, transaction_id: str, cause: str) -> None:
        """Keep that an attempt ended without an answer; the caller sends the payment again."""
        with self._lock:
            self.errors[cause] += 1
            self.interrupted.add(transaction_id)

    def refuse(self, transaction_id: str, detail: str) -> None:
        """Keep that a payment was refused, which repeating does not change."""
        with self._lock:
            self.refusals[transaction_id] = detail
