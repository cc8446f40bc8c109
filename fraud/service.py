"""What API and stream both run: the champion with its store, the log of decisions and metrics."""

from __future__ import annotations

from collections.abc import Sequence

from fraud import metrics
from fraud.bundle import Bundle
from fraud.champion import Champion
from fraud.logs import DecisionLog
from fraud.scorer import Answered, Refused, Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.transaction import Transaction


class Service:
    """Scores with the champion and the store that the settings name. Any thread may use it.

    Decisions are logged and counted as soon as the store keeps them: they are final then, whatever
    becomes of their caller.

    Args:
        degrade: see `Scorer`.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used.
    """

    def __init__(self, settings: Settings, degrade: bool):
        self._champion = Champion(settings.model)
        self._store = metrics.TimedStore(open_store(settings))
        self._scorer = Scorer(self._store, self._champion.bundle, settings, degrade)
        self._log = DecisionLog(settings.decision_log)
        self.answer = self._store.answer

    @property
    def bundle(self) -> Bundle:
        """What is serving."""
        return self._champion.bundle

    def name_model(self) -> None:
        """Tell Prometheus what serves: in the process that does, once it does."""
        metrics.name_model(self.bundle)

    def score(self, payments: Sequence[Transaction]) -> list[Answered | Refused]:
        """Outcomes of payments, as `Scorer.score` gives and raises them."""
        outcomes = self._scorer.score(payments)
        self._log.write([outcome.decision for outcome in outcomes
                         if isinstance(outcome, Answered) and outcome.decision])
        metrics.observe(outcomes)
        return outcomes

    def refresh(self) -> None:
        """Serve what the pointer names now, if that is another bundle."""
        before = self.bundle
        if self._champion.refresh():
            self._scorer.bundle = self.bundle
            metrics.name_model(self.bundle, before)

    def close(self) -> None:
        """Let go of connections and files."""
        self._store.close()
        self._log.close()
