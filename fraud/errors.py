"""The base class of user-fixable errors."""


class FraudError(Exception):
    """A user-fixable error. The message names the value and the fix.

    A command line prints the message as `error: ...` and exits with `exit_code`.
    """

    exit_code = 2
