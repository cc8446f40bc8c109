"""What scores a batch of payments: a model and a store in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fraud.scorer import Refused
from fraud.service import Service
from fraud.transaction import Transaction
from stream.messages import Answer, Poison
from stream.settings import StreamSettings


class Scoring(Protocol):
    """Whatever scores."""

    def score(self, payments: Sequence[Transaction]) -> list[Answer | Poison]:
        """What becomes of payments, in their order.

        Raises:
            StoreUnavailable: not now. Nothing is lost: call it again.
        """

    def refresh(self) -> None:
        """Take up what changed meanwhile, as a new champion."""

    def close(self) -> None:
        """Let go of connections and files."""


class InProcess:
    """Scores with a model and a store in this process.

    Raises:
        BundleError, SettingsError: see `Service`.
    """

    def __init__(self, settings: StreamSettings):
        self._service = Service(settings, degrade=False)
        self._service.name_model()
        self.refresh, self.close = self._service.refresh, self._service.close

    def score(self, payments: Sequence[Transaction]) -> list[Answer | Poison]:
        return [Poison(outcome.code, outcome.message) if isinstance(outcome, Refused)
                else Answer(outcome.body, outcome.decision is None)
                for outcome in self._service.score(payments)]
