"""Replay: reproduce a logged decision from its line and its model.

    python -m fraud.training.replay S7-000000123 --decisions decisions.jsonl --models models

Counts are recounted from the earlier lines of the log, as far as it has them; the rest follows from
the line itself, and the model and the rules with the digests that it names, which are searched in
--models.

Exit codes: 0 all is reproduced, 1 something is not, 2 a user error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from fraud import bundle, clock, history
from fraud.command_line import Arguments, command, parser
from fraud.decision import Decision
from fraud.feature_definitions import DAY
from fraud.inference import History, ModelResult, score_rows
from fraud.reasons import Reason
from fraud.rules.rule_set import RuleSet
from fraud.rules.ruling import Rules, Ruling, ScoredPayment
from fraud.training.decision_log import check_counts, read_decisions
from fraud.training.errors import TrainingError
from fraud.training.parity.recount import recounted
from fraud.training.parity.skew import accounts_of
from fraud.transaction import Transaction
from fraud.windows import COUNT_NAMES, counts_of, known_windows, window_starts

SCORE_TOLERANCE = 1e-6      # a model may round differently on another CPU or in another batch
DROP_TOLERANCE = 1e-4       # of a logit


class Check(NamedTuple):
    """One part of a decision, and whether it was reproduced."""

    name: str
    passed: bool
    detail: str


def replay(transaction_id: str, logs: list[str], models: Path) -> tuple[Decision, list[Check]]:
    """Return the decision on a payment, and the checks of its reproduction.

    Raises:
        TrainingError: there is no such decision, another version of the code counted its history,
            or there is no model or rule set with its digests.
    """
    decision = _line(transaction_id, logs)
    check_counts(decision)
    model = _bundle(models, decision.model_digest)
    payment, past = _payment(decision), _history(decision)
    row = model.features.vector(payment, counts_of(*past) if past else None)
    [result] = score_rows(model.model if past else model.fallback, decision.thresholds, row,
                          [payment], [past] if past else None)
    checks = [_counts(decision, logs), _features(decision, row, model.features.names),
              _score(decision, result)]
    if not decision.rules_digest:
        return decision, [*checks, *_outcome(decision, result.decision, result.reasons)]
    scored = ScoredPayment(payment, decision.origin, decision.destination, result.features,
                           result.decision, result.reasons)
    [ruling] = _rules(models, decision).rulings(
        [scored], model.features.names, decision.decided_at)
    return decision, [*checks, *_outcome(decision, ruling.decision, ruling.reasons),
                      _applied(decision, ruling)]


def _line(transaction_id: str, logs: list[str]) -> Decision:
    """Return the line of the answer that was kept, or else the last line."""
    every_line: Iterator[Decision] = read_decisions(logs)
    lines = [line for line in every_line if line.transaction_id == transaction_id]
    if not lines:
        raise TrainingError(f"{transaction_id} has no line in {', '.join(logs)}; name the log of "
                            "the day of its decision")
    return next((line for line in lines if line.idempotent), lines[-1])


def _bundle(models: Path, digest: str) -> bundle.Bundle:
    for path in [models / bundle.MANIFEST_FILE, *sorted(models.glob(f"*/{bundle.MANIFEST_FILE}"))]:
        if path.is_file() and bundle.sha256(path.read_bytes()) == digest:
            return bundle.load(path.parent, digest)
    raise TrainingError(f"{models}: neither is nor holds a bundle with sha256 {digest}; fetch it "
                        "with python -m fraud.training.registry export, and name its directory")


def _rules(models: Path, decision: Decision) -> Rules:
    for path in sorted(models.glob("rules-*.json")):
        content = path.read_bytes()
        if bundle.sha256(content) == decision.rules_digest:
            return Rules(msgspec.json.decode(content, type=RuleSet), decision.rules_digest)
    raise TrainingError(f"{models}: holds no rules-{decision.rules_version}-....json with sha256 "
                        f"{decision.rules_digest}; copy it from the folder of FRAUD_RULES")


def _payment(decision: Decision) -> Transaction:
    return Transaction(
        decision.transaction_id, decision.event_time, decision.type,
        decision.amount_cents, decision.origin, decision.destination,
        decision.origin_balance_cents, decision.destination_balance_cents)


def _history(decision: Decision) -> History | None:
    """The history that the model saw; None for the fallback model."""
    if decision.counts is None or decision.recording_since is None:
        return None
    windows = known_windows(decision.recording_since, decision.event_time)
    return History(decision.counts, windows) if windows >= DAY else None


def _counts(decision: Decision, logs: list[str]) -> Check:
    if decision.counts is None:
        return Check("counts", True, "none: the store was unavailable")
    if decision.store_sequence is None:
        return Check("counts", True, "as logged: this store has no order to recount in")
    earlier, of_accounts = _earlier_lines(decision, decision.store_sequence, logs)
    [*_, recount] = recounted([*of_accounts, decision])
    recount = [logged if "_frauds_" in name else count for name, count, logged in zip(
        COUNT_NAMES, recount, decision.counts, strict=True)]      # the log holds no labels
    if recount == decision.counts:
        return Check("counts", True, f"reproduced from {len(of_accounts):,} earlier lines")
    column = _first_difference(recount, decision.counts)
    difference = (f"{COUNT_NAMES[column]} is {decision.counts[column]}, the earlier lines give "
                  f"{recount[column]}")
    if _reach_back(decision, decision.store_sequence, earlier):
        return Check("counts", False, difference)
    return Check("counts", True, f"as logged: {difference}, but the log does not reach back a "
                                 "month without gaps")


def _earlier_lines(decision: Decision, sequence: int, logs: list[str]
                   ) -> tuple[dict[int, tuple[int, int | None]], list[Decision]]:
    """Return event_time and recording_since of earlier lines by store sequence, and the lines of
    the payment's accounts.
    """
    accounts = accounts_of(decision)
    earlier: dict[int, tuple[int, int | None]] = {}
    of_accounts: dict[int, Decision] = {}
    line: Decision
    for line in read_decisions(logs):
        if line.store_sequence and line.store_sequence < sequence:
            earlier[line.store_sequence] = (line.event_time, line.recording_since)
            if accounts & accounts_of(line):
                of_accounts[line.store_sequence] = line
    return earlier, list(of_accounts.values())


def _first_difference(left: list[int], right: list[int]) -> int:
    return int(np.argmax(np.array(left) != np.array(right)))


def _reach_back(decision: Decision, sequence: int,
                earlier: dict[int, tuple[int, int | None]]) -> bool:
    """Return True if the earlier lines hold all that the store can have counted for a decision.

    Args:
        earlier: event_time and recording_since of those lines, by store sequence.
    """
    while sequence - 1 in earlier:
        sequence -= 1
    event_time, since = earlier.get(sequence, (decision.event_time, decision.recording_since))
    *_, month = window_starts(decision.event_time)
    was_filled = (since or 0) + history.MAX_GAP_MS < event_time
    return event_time < month or (sequence == 1 and not was_filled)


def _features(decision: Decision, row: np.ndarray, names: Sequence[str]) -> Check:
    logged = np.array(decision.features, np.float32)
    if np.array_equal(logged, row[0], equal_nan=True):
        return Check("features", True, "reproduced, bit for bit")
    if logged.size != row.size:
        return Check("features", False, f"the line has {logged.size}, the model takes {row.size}")
    column = int(np.argmax((logged != row[0]) & ~(np.isnan(logged) & np.isnan(row[0]))))
    return Check("features", False, f"{names[column]} is {logged[column]}, payment and "
                 f"counts give {row[0, column]}")


def _score(decision: Decision, result: ModelResult) -> Check:
    apart = abs(result.score - decision.score)
    return Check("score", apart <= SCORE_TOLERANCE,
                 f"{decision.score:.6f}, reproduced as {result.score:.6f}")


def _outcome(decision: Decision, outcome: str, reasons: Sequence[Reason]) -> Iterator[Check]:
    logged = [reason.code for reason in decision.reasons]
    reproduced = [reason.code for reason in reasons]
    drops_agree = all(
        abs(ours.logit_drop - theirs.logit_drop) <= DROP_TOLERANCE
        for ours, theirs in zip(decision.reasons, reasons, strict=False))
    yield Check("reasons", logged == reproduced and drops_agree, ", ".join(logged) or "none")
    yield Check("decision", outcome == decision.decision,
                f"{decision.decision}, reproduced as {outcome}")


def _applied(decision: Decision, ruling: Ruling) -> Check:
    logged = decision.decided_by, decision.applied, decision.dry_run
    names = ", ".join([*decision.applied, *decision.dry_run]) or "none applied"
    return Check("rules", logged == (ruling.decided_by, ruling.applied, ruling.dry_run),
                 f"version {decision.rules_version}, {names}; decided by {decision.decided_by}")


@command
def main(arguments: Arguments) -> int:
    options = parser("python -m fraud.training.replay", __doc__)
    options.add_argument("transaction_id", help="of the payment")
    options.add_argument("--decisions", nargs="+", required=True, metavar="LOG",
                         help="decision logs, of that day and the month before")
    options.add_argument("--models", type=Path, default=Path("models"),
                         help="a bundle, or a directory of bundles (default %(default)s)")
    chosen = options.parse_args(arguments)
    decision, checks = replay(chosen.transaction_id, chosen.decisions, chosen.models)
    print(f"{decision.transaction_id}, decided at {clock.utc_second(decision.decided_at)} by model "
          f"{decision.model_version} and policy {decision.policy_version}, history "
          f"{decision.history}")
    for check in checks:
        print(f"{'same' if check.passed else 'NOT SAME':<9} {check.name:<9} {check.detail}")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    main()
