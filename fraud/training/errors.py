"""The one error that stops a training command with a line its reader can act on."""


class TrainingError(Exception):
    """Something outside the code must be mended first. The message names thing, value and fix."""
