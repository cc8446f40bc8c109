"""Waiting times between attempts."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.1


def backoff(failures: int, limit: float) -> float:
    """Return the seconds to wait after a number of failures in a row.

    They double each time, up to `limit`, less a random part of up to a half, so that programs do
    not return all at once.
    """
    seconds: float = min(limit, FIRST_SECONDS * 2 ** min(failures, 30))
    return random.uniform(0.5, 1) * seconds
