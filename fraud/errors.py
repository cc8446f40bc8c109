"""The base class of user-fixable errors, and the errors of JSON that cannot be decoded."""

import msgspec

# JSON that is malformed or has other fields, is not UTF-8, or nests too deeply.
JSON_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


class FraudError(Exception):
    """A user-fixable error. The message names the value and the fix.

    A command line prints the message as `error: ...` and exits with `exit_code`.
    """

    exit_code = 2
