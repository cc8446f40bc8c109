"""Values of forms and query strings, which browsers may set to anything."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fraud.errors import FraudError

NUMBER = re.compile("[0-9]{1,17}")      # fits the integers of the databases
LONGEST_REASON = 200


class FormError(FraudError):
    """A value of a form that cannot be used. The message names it and the fix."""


def whole_number(text: str) -> int | None:
    """Return a number of at most 17 digits; None for any other text."""
    return int(text) if NUMBER.fullmatch(text) else None


def reason_of(form: Mapping[str, str]) -> str:
    """Return the field `reason`, which is kept with a change.

    Raises:
        FormError: it is missing, too long, or not one printable line.
    """
    reason = form.get("reason", "").strip()
    if not 1 <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        raise FormError(f"the reason is {reason[:LONGEST_REASON]!r}; write one line of 1 to "
                        f"{LONGEST_REASON} characters")
    return reason
