"""The decision log: JSON lines of `fraud.decision.Decision`, as API and stream write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
from tqdm import tqdm

from fraud.decision import Decision
from fraud.errors import JSON_ERRORS
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.windows import COUNT_NAMES

Kind = TypeVar("Kind", bound=msgspec.Struct)


def read_decisions(paths: Iterable[str],
                   kind: type[Kind] = Decision) -> Iterator[Kind]:  # type: ignore[assignment]
    """Give the lines of decision logs; a last line that a crash cut off is left out.

    A payment has several lines if several processes decided it concurrently, or if its store was
    unavailable at first.

    Args:
        kind: `Decision`, or a struct with some of its fields.

    Raises:
        TrainingError: a file cannot be read, or a line is not a decision.
    """
    decode = msgspec.json.Decoder(kind).decode
    for path in paths:
        try:
            with open(path, "rb") as lines:
                for number, line in enumerate(tqdm(
                        lines, path, unit="line", disable=None, delay=5, leave=False), 1):
                    if line.endswith(b"\n"):
                        yield _decision(decode, path, number, line)
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read ({reason(error)}); "
                                "name the file of FRAUD_DECISION_LOG") from error


def check_counts(decision: Decision) -> None:
    """Check that a decision has the counts of this code, or none.

    Raises:
        TrainingError: another version of the code counted its history.
    """
    if decision.counts is not None and len(decision.counts) != len(COUNT_NAMES):
        raise TrainingError(
            f"{decision.transaction_id} was decided on {len(decision.counts)} counts of history, "
            f"and this code has {len(COUNT_NAMES)}; use the code that decided")


def _decision(decode: Callable[[bytes], Kind], path: str, number: int, line: bytes) -> Kind:
    try:
        return decode(line)
    except JSON_ERRORS as error:
        raise TrainingError(f"{path}: line {number} is not a decision ({error}); "
                            "name a decision log, not the server's own log") from error
