"""The model registry: versions, their lineage, the champion and its policy.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models). The command is
`python -m fraud.training.registry`.
"""

from __future__ import annotations

from pathlib import Path

from fraud.training.registry import aliases, canary, policy
from fraud.training.registry.aliases import GateOverride
from fraud.training.registry.versions import Versions


class Registry(Versions):
    """The registry of MLFLOW_TRACKING_URI. Changes of the champion are published too."""

    def promote(self, number: str, reason: str, share: float = canary.WHOLE, *,
                force: bool = False, evidence: Path | None = None) -> None:
        """Make a version the champion, or the canary, see `aliases.promote`."""
        aliases.promote(self, number, reason, share, GateOverride(force, evidence))

    def rollback(self, reason: str) -> str:
        """End the canary or restore the previous champion, see `aliases.rollback`."""
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

    def change_policy(self, number: str, policy_file: Path, reason: str) -> None:
        """Give a version other thresholds, see `policy.change_policy`."""
        policy.change_policy(self, number, policy_file, reason)
