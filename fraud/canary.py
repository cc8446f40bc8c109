"""Canary: a version that decides for a share of the accounts in place of the champion.

An account belongs to the share by a hash of its name as the origin, so its payments are decided by
one version as long as the share stays. Where the canary fails, the champion decides.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fraud import pending
from fraud.bundle import Bundle
from fraud.inference import ModelResult
from fraud.pending import Pending
from fraud.transaction import Transaction

log = logging.getLogger(__name__)
HASH_BYTES = 8


class Arm(NamedTuple):
    """Payments of a batch that one version decides on, and its results."""

    bundle: Bundle
    cases: Sequence[Pending]
    results: Sequence[ModelResult]


class CallObserver(Protocol):
    """Counts the calls of both versions, so that they can be compared."""

    def scored(self, version: str, seconds: float) -> None:
        """Observe a call that scored payments."""

    def failed(self, version: str) -> None:
        """Observe a call that failed."""


class Canary:
    """A version and its share of the accounts. Any thread may use it.

    Args:
        share: percent.
    """

    def __init__(self, bundle: Bundle, share: float, observer: CallObserver):
        self._bundle, self._observer = bundle, observer
        self._limit = share / 100 * 2 ** (8 * HASH_BYTES)
        self._salt = bundle.manifest.version.encode()[:hashlib.blake2b.SALT_SIZE]

    def takes(self, payment: Transaction) -> bool:
        """Return True if the canary decides on a payment; not of types that it does not know."""
        digest = hashlib.blake2b(payment.origin.encode(), digest_size=HASH_BYTES, salt=self._salt)
        return (int.from_bytes(digest.digest()) < self._limit
                and payment.type in self._bundle.features.type_codes)

    def arms(self, champion: Bundle, cases: Sequence[Pending]) -> list[Arm]:
        """Score the payments of a batch, each with one of the versions."""
        arms, others = [], list(cases)
        taken = [case for case in cases if self.takes(case.payment)]
        if taken:
            try:
                arms.append(self._scored(self._bundle, taken))
                indexes = {case.index for case in taken}
                others = [case for case in cases if case.index not in indexes]
            except Exception as error:      # whatever it is: the champion decides
                log.error("canary %s failed, the champion decides (%s: %s)",
                          self._bundle.manifest.version, type(error).__name__, error)
        return [*arms, self._scored(champion, others)] if others else arms

    def _scored(self, bundle: Bundle, cases: Sequence[Pending]) -> Arm:
        version, started = bundle.manifest.version, time.perf_counter()
        try:
            results = pending.score(bundle, cases)
        except Exception:
            self._observer.failed(version)
            raise
        self._observer.scored(version, time.perf_counter() - started)
        return Arm(bundle, cases, results)
