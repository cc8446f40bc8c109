"""The model registry: versions, their lineage, the champion and its policy.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models). The command is
`python -m fraud.training.registry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fraud import change_history
from fraud.bundle import CHALLENGER_FILE, POINTER_FILE
from fraud.change_history import Action, Change
from fraud.training.registry import aliases, canary, policy, publication
from fraud.training.registry.aliases import GateOverride
from fraud.training.registry.policy_backtest import PolicyChange
from fraud.training.registry.versions import Versions, number_of, user


class Registry(Versions):
    """The registry of MLFLOW_TRACKING_URI.

    Changes of the champion are published too. Every change is kept in the history.
    """

    def promote(self, number: str, reason: str, share: float = canary.WHOLE, *,
                force: bool = False, evidence: Path | None = None) -> None:
        """Make a version the champion, or the canary, see `aliases.promote`."""
        before, is_refused = number_of(self.champion()), self.version(number).is_refused
        challenger = self._challenger()
        aliases.promote(self, number, reason, share, GateOverride(force, evidence))
        if share == canary.WHOLE:
            self._record("promote", before, number, reason, forced=force and is_refused)
        else:
            self._record("canary", before, number, f"{share:g} % of the accounts: {reason}",
                         forced=force and is_refused)
        if challenger and not self._challenger():
            self._record("end-challenge", challenger, "", "promoted")

    def rollback(self, reason: str) -> str:
        """End the canary or restore the previous champion, see `aliases.rollback`."""
        before, running = number_of(self.champion()), canary.running()
        champion = aliases.rollback(self, reason)
        if running:
            self._record("end-canary", running.version, "", reason)
        else:
            self._record("rollback", before, champion, reason)
        return champion

    def challenge(self, number: str, reason: str) -> None:
        """Let a version score in shadow, see `aliases.challenge`."""
        before = self._challenger()
        aliases.challenge(self, number, reason)
        self._record("challenge", before, number, reason)

    def end_challenge(self, reason: str = "") -> None:
        """Let no version score in shadow."""
        before = self._challenger()
        aliases.end_challenge()
        if before:
            self._record("end-challenge", before, "", reason)

    def name_challenger(self, number: str) -> None:
        """Mark a version as refused by the gate, see `aliases.name_challenger`."""
        aliases.name_challenger(self, number)

    def change_policy(self, number: str, changed: Path | PolicyChange, reason: str,
                      logs: Sequence[str] = ()) -> None:
        """Give a version other thresholds, see `policy.change_policy`."""
        before, after = policy.change_policy(self, number, changed, reason, logs)
        self._record("policy", before, after, reason, model_version=number)

    def try_policy(self, number: str, changed: Path | PolicyChange, logs: Sequence[str],
                   labels: Path | None) -> str:
        """Report the effect of other thresholds on logged decisions, see `policy.try_policy`."""
        return policy.try_policy(self, number, changed, logs, labels)

    def history(self) -> list[Change]:
        """Return the changes of champion, challenger, policies and rules, oldest first."""
        return change_history.read({publication.target(),
                                    publication.rule_publisher().location})

    def _challenger(self) -> str:
        """Return the version that scores in shadow; "" without one."""
        pointer = publication.published(publication.target(), CHALLENGER_FILE)
        return pointer.version if pointer else ""

    def _record(self, action: Action, before: str, after: str, reason: str,
                model_version: str = "", forced: bool = False) -> None:
        file = CHALLENGER_FILE if action == "challenge" else POINTER_FILE
        pointer = publication.published(publication.target(), file)
        change_history.record(
            publication.target(), user(), action, before, after, reason, model_version, forced,
            file=pointer.folder if pointer and pointer.version == (model_version or after) else "")
