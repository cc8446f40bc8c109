"""The model registry: versions, their lineage, the champion and its policy.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models). The command is
`python -m fraud.training.registry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fraud.training.registry import aliases, policy
from fraud.training.registry.policy_backtest import PolicyChange
from fraud.training.registry.versions import Versions


class Registry(Versions):
    """The registry of MLFLOW_TRACKING_URI. Changes of the champion are published too."""

    def promote(self, number: str, reason: str, force: bool = False) -> None:
        """Make a version the champion, see `aliases.promote`."""
        aliases.promote(self, number, reason, force)

    def rollback(self, reason: str) -> str:
        """Restore the previous champion and return its number, see `aliases.rollback`."""
        return aliases.rollback(self, reason)

    def challenge(self, number: str, reason: str) -> None:
        """Let a version score in shadow, see `aliases.challenge`."""
        aliases.challenge(self, number, reason)

    def end_challenge(self) -> None:
        """Let no version score in shadow."""
        aliases.end_challenge()

    def name_challenger(self, number: str) -> None:
        """Mark a version as refused by the gate, see `aliases.name_challenger`."""
        aliases.name_challenger(self, number)

    def change_policy(self, number: str, changed: Path | PolicyChange, reason: str,
                      logs: Sequence[str] = ()) -> None:
        """Give a version other thresholds, see `policy.change_policy`."""
        policy.change_policy(self, number, changed, reason, logs)

    def try_policy(self, number: str, changed: Path | PolicyChange, logs: Sequence[str],
                   labels: Path | None) -> str:
        """Report the effect of other thresholds on logged decisions, see `policy.try_policy`."""
        return policy.try_policy(self, number, changed, logs, labels)
