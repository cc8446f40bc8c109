"""Reproduce a logged decision: its counts, features, score, reasons and outcome.

    python -m fraud.training.replay S7-000000123 --log decisions.jsonl --models models

Counts are counted again from the earlier lines of the log, as far as it has them; the rest follows
from the line itself and the model with the digest that it names, which is looked for in --models.

Exit codes: 0 all is reproduced, 1 something is not, 2 the command cannot be carried out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fraud import bundle, features, history
from fraud.scorer import Decision, Verdict, judge
from fraud.training.decision_log import decisions, recounted
from fraud.training.errors import TrainingError
from fraud.transaction import TYPE_CODES, Transaction

SCORE_TOLERANCE = 1e-6      # a model may round otherwise on another CPU or in another batch
FALL_TOLERANCE = 1e-4       # of a logit


class Step(NamedTuple):
    """One thing that was to be reproduced."""

    name: str
    good: bool
    told: str


def replay(transaction_id: str, logs: list[str], models: Path) -> tuple[Decision, list[Step]]:
    """The decision on a payment, and how reproducing it went.

    Raises:
        TrainingError: there is no such decision, or no model with its digest.
    """
    decision = _line(transaction_id, logs)
    model = _bundle(models, decision.model_digest)
    row = _row(decision)
    [verdict] = judge(model.model if decision.history == "full" else model.fallback,
                      decision.thresholds, row)
    return decision, [_counts(decision, logs), _features(decision, row),
                      *_verdict(decision, verdict)]


def _line(transaction_id: str, logs: list[str]) -> Decision:
    """The line of the answer that was kept, or else the last one."""
    lines = [one for one in decisions(logs) if one.transaction_id == transaction_id]
    if not lines:
        raise TrainingError(f"{transaction_id} has no line in {', '.join(logs)}; name the log of "
                            "the day on which it was decided")
    return next((one for one in lines if one.idempotent), lines[-1])


def _bundle(models: Path, digest: str) -> bundle.Bundle:
    for path in [models / bundle.MANIFEST_FILE, *sorted(models.glob(f"*/{bundle.MANIFEST_FILE}"))]:
        if path.is_file() and bundle.sha256(path.read_bytes()) == digest:
            return bundle.load(path.parent, digest)
    raise TrainingError(f"{models}: neither is a bundle with sha256 {digest} nor has one; fetch it "
                        "with python -m fraud.training.registry export, and name its directory")


def _row(decision: Decision) -> np.ndarray:
    payment = Transaction(
        decision.transaction_id, decision.event_time, TYPE_CODES[decision.type],
        decision.amount_cents, decision.origin, decision.destination,
        decision.origin_balance_cents, decision.destination_balance_cents)
    return features.vector(payment, history.counts_of(decision.counts)
                           if decision.history == "full" else None)


def _counts(decision: Decision, logs: list[str]) -> Step:
    if decision.counts is None:
        return Step("counts", True, "none: the store was unavailable")
    if decision.sequence is None:
        return Step("counts", True, "as logged: this store has no order to count again in")
    accounts, before, theirs = {decision.origin, decision.destination}, {}, {}
    for one in decisions(logs):
        if one.sequence and one.sequence < decision.sequence:
            before[one.sequence] = (one.event_time, one.recording_since)
            if accounts & {one.origin, one.destination}:
                theirs[one.sequence] = one
    [*_, again] = recounted([*theirs.values(), decision])
    if again == decision.counts:
        return Step("counts", True, f"reproduced from {len(theirs):,} earlier lines")
    column = next(place for place, pair in enumerate(zip(again, decision.counts))
                  if pair[0] != pair[1])
    told = (f"{history.NAMES[column]} is {decision.counts[column]}, the earlier lines give "
            f"{again[column]}")
    if _reach_back(decision, before):
        return Step("counts", False, told)
    return Step("counts", True, f"as logged: {told}, but they do not reach back a day without gaps")


def _reach_back(decision: Decision, before: dict[int, tuple[int, int]]) -> bool:
    """Whether the lines before a decision hold all that its store can have counted for it.

    Args:
        before: event_time and recording_since of those lines by sequence number.
    """
    number = decision.sequence
    while number - 1 in before:
        number -= 1
    event_time, since = before.get(number, (decision.event_time, decision.recording_since))
    day = (history.bucket_of(decision.event_time) - history.DAY_BUCKETS + 1) * history.BUCKET_MS
    was_filled = since + history.MAX_GAP_MS < event_time
    return event_time < day or (number == 1 and not was_filled)


def _features(decision: Decision, row: np.ndarray) -> Step:
    logged = np.float32(decision.features)
    if np.array_equal(logged, row[0]):
        return Step("features", True, "reproduced, bit for bit")
    if logged.size != row.size:
        return Step("features", False, f"the line has {logged.size}, the model takes {row.size}")
    column = int(np.argmax(logged != row[0]))
    return Step("features", False, f"{features.NAMES[column]} is {logged[column]}, payment and "
                f"counts give {row[0, column]}")


def _verdict(decision: Decision, verdict: Verdict) -> Iterator[Step]:
    apart = abs(verdict.score - decision.score)
    yield Step("score", apart <= SCORE_TOLERANCE,
               f"{decision.score:.6f}, reproduced as {verdict.score:.6f}")
    logged, again = ([reason.code for reason in which.reasons] for which in (decision, verdict))
    falls = zip(decision.reasons, verdict.reasons)
    good = logged == again and all(
        abs(one.logit_fall - other.logit_fall) <= FALL_TOLERANCE for one, other in falls)
    yield Step("reasons", good, ", ".join(logged) or "none")
    yield Step("decision", verdict.decision == decision.decision,
               f"{decision.decision}, reproduced as {verdict.decision}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.replay", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transaction_id", help="of the payment")
    parser.add_argument("--log", nargs="+", required=True, metavar="PATH",
                        help="decision logs, of that day and the one before")
    parser.add_argument("--models", type=Path, default=Path("models"),
                        help="a bundle, or a directory of bundles (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        decision, steps = replay(options.transaction_id, options.log, options.models)
    except (TrainingError, bundle.BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    decided = datetime.fromtimestamp(decision.decided_at / 1000, UTC).isoformat(" ", "seconds")
    print(f"{decision.transaction_id}, decided at {decided} by model {decision.model_version} and "
          f"policy {decision.policy_version}, history {decision.history}")
    for step in steps:
        print(f"{'same' if step.good else 'NOT SAME':<9} {step.name:<9} {step.told}")
    sys.exit(0 if all(step.good for step in steps) else 1)


if __name__ == "__main__":
    main()
