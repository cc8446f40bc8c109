"""Payments that champion and challenger scored, from decision logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from fraud.bundle import Thresholds
from fraud.decision import SCORED_BY_MODEL
from fraud.shadow import ShadowDecision
from fraud.training import decision_log
from fraud.training.errors import TrainingError
from fraud.training.registry.evidence import ScoredVersion
from monitoring.windows import OUTCOMES


class ShadowLine(msgspec.Struct):
    """The fields of a `fraud.decision.Decision` that a comparison needs."""

    transaction_id: str
    event_time: int
    type: str
    amount_cents: int
    history: str
    score: float
    decision: str
    model_version: str
    model_digest: str
    policy_digest: str
    thresholds: Thresholds
    model_decision: str = ""
    shadow: ShadowDecision | None = None


class ShadowPair(NamedTuple):
    """Two versions that scored the same payments, and their thresholds."""

    champion: ScoredVersion
    challenger: ScoredVersion
    champion_thresholds: Thresholds
    challenger_thresholds: Thresholds


@dataclass(frozen=True)
class ShadowedPayments:
    """Payments that one pair of versions scored, not its fallback.

    `payments` has transaction_id, event_time (ms since the epoch), type, amount (currency units),
    and of each model alone, without lists and rules: score and decision of the champion,
    challenger_score and challenger_decision.
    """

    source: str
    pair: ShadowPair
    payments: pd.DataFrame
    left_out: dict[str, int]        # lines, by reason


def read_shadowed(paths: Iterable[Path], since: int = 0) -> ShadowedPayments:
    """Return the payments of logs that both versions of a pair scored: the pair of most lines.

    Args:
        since: ms since the epoch; earlier payments are left out.

    Raises:
        TrainingError: a file cannot be read, or no line has a shadow score.
    """
    source = ", ".join(map(str, paths))
    counts: Counter[str] = Counter()
    lines: dict[str, ShadowLine] = {}       # the last line of a payment is the kept one
    line: ShadowLine
    for line in decision_log.read_decisions(map(str, paths), ShadowLine):
        if reason := _unusable(line, since):
            counts[reason] += 1
        else:
            counts["repeated lines"] += line.transaction_id in lines
            lines[line.transaction_id] = line
    if not lines:
        raise TrainingError(f"{source}: holds no payment that a challenger scored with "
                            "history; challenge a version with python -m fraud.training.registry "
                            "challenge, or name the logs of its days")
    pairs = Counter(_pair(line) for line in lines.values())
    pair, most = pairs.most_common(1)[0]
    counts["of another pair of versions or policies"] = len(lines) - most
    ours = [line for line in lines.values() if _pair(line) == pair]
    return ShadowedPayments(source, pair, _table(ours), dict(counts))


def _unusable(line: ShadowLine, since: int) -> str:
    if line.event_time < since:
        return "of payments before --since"
    if line.shadow is None:
        return "without a shadow score"
    return "" if line.history in SCORED_BY_MODEL else "decided by the fallback"


def _pair(line: ShadowLine) -> ShadowPair:
    shadow = line.shadow
    assert shadow
    return ShadowPair(ScoredVersion(line.model_version, line.model_digest, line.policy_digest),
                      ScoredVersion(shadow.model_version, shadow.model_digest,
                                    shadow.policy_digest),
                      line.thresholds, shadow.thresholds)


def _table(lines: list[ShadowLine]) -> pd.DataFrame:
    shadows = [line.shadow for line in lines if line.shadow]
    return pd.DataFrame({
        "transaction_id": [line.transaction_id for line in lines],
        "event_time": np.array([line.event_time for line in lines], np.int64),
        "type": [line.type for line in lines],
        "amount": np.array([line.amount_cents for line in lines], np.int64) / 100,
        "score": np.array([line.score for line in lines]),
        "decision": pd.Categorical([line.model_decision or line.decision for line in lines],
                                   OUTCOMES),
        "challenger_score": np.array([shadow.score for shadow in shadows]),
        "challenger_decision": pd.Categorical([shadow.decision for shadow in shadows], OUTCOMES)})
