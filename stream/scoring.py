"""Scoring backends of the stream: a model and a store in this process; the API is `stream.api`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fraud.caller import Caller
from fraud.decision import Answered, Refused
from fraud.errors import FraudError
from fraud.history import StoreUnavailable
from fraud.service import Service, limit_garbage_collection
from fraud.transaction import Transaction
from stream.messages import Poison, StreamAnswer
from stream.settings import StreamSettings


class ScoringUnavailable(FraudError):
    """A backend cannot score now. Nothing is lost: the same payments may be scored again."""


class Scoring(Protocol):
    """A scoring backend."""

    def score(self, payments: Sequence[Transaction], callers: Sequence[Caller]
              ) -> list[StreamAnswer | Poison]:
        """Return the outcome of each payment, in their order.

        Args:
            callers: of the payments, for the decision log.

        Raises:
            ScoringUnavailable: not now; call it again.
        """

    def refresh(self) -> None:
        """Adopt changes, such as a new champion."""

    def close(self) -> None:
        """Close connections and files."""


class InProcess:
    """Scores with a model and a store in this process.

    Raises:
        BundleError, SettingsError: see `Service`.
    """

    def __init__(self, settings: StreamSettings):
        self._service = Service(settings, fallback_on_store_error=False)
        self._service.name_model()
        self._has_log_topic = bool(settings.topic_decision_log)
        limit_garbage_collection()

    def score(self, payments: Sequence[Transaction], callers: Sequence[Caller]
              ) -> list[StreamAnswer | Poison]:
        try:
            outcomes = self._service.score(payments, callers)
        except StoreUnavailable as error:
            raise ScoringUnavailable(str(error)) from error
        return [self._answer(payment, outcome) for payment, outcome
                in zip(payments, outcomes, strict=True)]

    def _answer(self, payment: Transaction, outcome: Answered | Refused) -> StreamAnswer | Poison:
        if isinstance(outcome, Refused):
            return Poison(outcome.code, outcome.message)
        line = self._service.log_line(payment, outcome) if self._has_log_topic else None
        return StreamAnswer(outcome.body, outcome.decision is None, line)

    def refresh(self) -> None:
        self._service.refresh()

    def close(self) -> None:
        self._service.close()
