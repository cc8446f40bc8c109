"""Templates, and how numbers, times and other people's text are shown."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from desk import people
from fraud.clock import DAY_MS, HOUR_MS, now_ms, utc_minute

FOLDER = Path(__file__).parent
INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}       # controls, directions of writing, and so on


def render(template: str, **values: Any) -> str:
    """Return a template as HTML; all values are escaped."""
    return _environment.get_template(template).render(now=now_ms(), **values)


def shown(text: object) -> str:
    """Return text of others with invisible characters as their code, such as <U+202E>."""
    return "".join(f"<U+{ord(char):04X}>" if unicodedata.category(char) in INVISIBLE else char
                   for char in str(text))


def money(cents: int) -> str:
    """Return cents as currency units."""
    return f"{cents / 100:,.2f}"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with separators; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in percent; a dash for None."""
    return "–" if value is None else f"{value:.1%}".replace("%", " %")


def age(since_ms: int) -> str:
    """Return the time since a moment, in its largest unit."""
    return _length(now_ms() - since_ms)


def due(until_ms: int) -> str:
    """Return the time until a moment, or since it."""
    left = until_ms - now_ms()
    return f"in {_length(left)}" if left >= 0 else f"{_length(-left)} late"


def _length(milliseconds: int) -> str:
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (60_000, "min")):
        if milliseconds >= unit:
            return f"{milliseconds // unit} {name}"
    return f"{max(milliseconds, 0) // 1_000} s"


def short(account: str | None) -> str:
    """Return the first digits of a pseudonym."""
    return shown(account or "nobody")[:8]


_environment = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True,
                           trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
_environment.filters |= {"shown": shown, "money": money, "number": number, "percent": percent,
                         "age": age, "due": due, "short": short, "minute": utc_minute}
_environment.globals |= {"may": people.may}
