"""Numbers in words, for the sentences of reasons."""

from __future__ import annotations


def days(days: float) -> str:
    """Return how long ago a number of days is."""
    return {0.0: "today", 1.0: "yesterday"}.get(days, f"{days:,.0f} days ago")


def hours(hours: float) -> str:
    """Return a length of time in minutes, hours or days."""
    if hours < 1:
        minutes = round(hours * 60)
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{hours:,.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days"


def number(count: float, zero: str) -> str:
    """Return a count with separators, or a word for zero."""
    if count == 0:
        return zero
    return f"{count:,.0f}" if count == int(count) else f"{count:,.1f}"


def money(units: float) -> str:
    """Return an amount with separators and two decimals."""
    return f"{units + 0.0:,.2f}"        # never "-0.00"


def holds(balance: float) -> str:
    """Return the balance of an account as a verb phrase."""
    if balance == 0:
        return "holds nothing"
    return f"holds {money(balance)}" if balance > 0 else f"is overdrawn by {money(-balance)}"


def portion(part: float, whole: float) -> str:
    """Return a part of a positive whole in words, rounded but never up to all or down to none."""
    if part == whole:
        return "all"
    if part == 0:
        return "none"
    percent = round(100 * part / whole)
    if percent == 0:
        return "less than 1 %"
    return f"{percent} %" if percent < 100 else "more than 99 %"


def hour(hour: float) -> str:
    """Return the bounds of an hour of the day."""
    return f"{int(hour):02}:00 and {int(hour) + 1:02}:00"
