"""The errors that stop a training command."""

from fraud.errors import FraudError


class TrainingError(FraudError):
    """A user-fixable error in data, settings or registry."""


class LostProcess(TrainingError):
    """A process that a step needs has ended. A second attempt may succeed."""
