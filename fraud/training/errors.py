"""The error that stops a training command."""

from fraud.errors import FraudError


class TrainingError(FraudError):
    """A user-fixable error in data, settings or registry."""
