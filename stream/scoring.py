"""What scores a batch of payments: a model and a store in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fraud import metrics
from fraud.champion import Champion
from fraud.logs import DecisionLog
from fraud.scorer import Answered, Refused, Scorer
from fraud.stores import open_store
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
    """Scores with the champion and the store that the settings name.

    Decisions are logged and counted as soon as the store keeps them: they are final then, whatever
    becomes of the Kafka transaction.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used.
    """

    def __init__(self, settings: StreamSettings):
        self._champion = Champion(settings.model)
        self._store = metrics.TimedStore(open_store(settings))
        self._scorer = Scorer(self._store, self._champion.bundle, settings, degrade=False)
        self._log = DecisionLog(settings.decision_log)
        metrics.name_model(self._champion.bundle)

    def score(self, payments: Sequence[Transaction]) -> list[Answer | Poison]:
        outcomes = self._scorer.score(payments)
        self._log.write([outcome.decision for outcome in outcomes
                         if isinstance(outcome, Answered) and outcome.decision])
        metrics.observe(outcomes)
        return [Poison(outcome.code, outcome.message) if isinstance(outcome, Refused)
                else Answer(outcome.body, outcome.decision is None) for outcome in outcomes]

    def refresh(self) -> None:
        before = self._champion.bundle
        if self._champion.refresh():
            self._scorer.bundle = self._champion.bundle
            metrics.name_model(self._champion.bundle, before)

    def close(self) -> None:
        self._store.close()
        self._log.close()
