"""Rates of a canary and the champion: of calls and decisions, by version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec
import pandas as pd

from fraud.errors import JSON_ERRORS
from fraud.training import decision_log
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from monitoring.sequential import Rate

TIMEOUT_SECONDS = 30


class RatePair(NamedTuple):
    """The same rate of both versions."""

    canary: Rate
    champion: Rate


class VersionPair(NamedTuple):
    """The versions that are compared."""

    canary: str
    champion: str

    def pair(self, rate: Callable[[str], Rate]) -> RatePair:
        """Return a rate of both."""
        return RatePair(rate(self.canary), rate(self.champion))


class Sample(msgspec.Struct):
    """A sample of a query's result."""

    metric: dict[str, str]
    value: tuple[float, str]        # time, value


class Vector(msgspec.Struct):
    """The data of an answer."""

    result: list[Sample]


class QueryAnswer(msgspec.Struct):
    """An answer of Prometheus' HTTP API to an instant query."""

    data: Vector


def of_prometheus(url: str, versions: VersionPair, seconds: int, slow_seconds: float
                  ) -> dict[str, RatePair]:
    """Return errors, slow calls, reviews and declines that Prometheus has counted.

    Args:
        seconds: from so long ago until now.
        slow_seconds: a bound of the buckets of `fraud_model_seconds`.

    Raises:
        TrainingError: Prometheus does not answer, or there is no such bucket.
    """
    def increase(metric: str, *labels: str) -> Mapping[tuple[str, ...], float]:
        by = ("model_version", *labels)
        samples = _query(url, f"sum by ({', '.join(by)}) (increase({metric}[{seconds}s]))")
        return Counter({tuple(sample.metric.get(name, "") for name in by): float(sample.value[1])
                        for sample in samples})

    decisions = increase("fraud_decisions_total", "decision")
    calls, errors = increase("fraud_model_seconds_count"), increase("fraud_model_errors_total")
    fast = increase(f'fraud_model_seconds_bucket{{le="{slow_seconds:g}"}}')
    if calls and not fast:
        raise TrainingError(f"slow_seconds is {slow_seconds:g}, and fraud_model_seconds has no "
                            "such bucket; give one of its bounds")

    def decided(name: str) -> Callable[[str], Rate]:
        return lambda version: Rate(decisions[version, name], sum(
            count for (of_version, _), count in decisions.items() if of_version == version))

    return {
        "errors": versions.pair(lambda version: Rate(
            errors[version,], calls[version,] + errors[version,])),
        "slow_calls": versions.pair(lambda version: Rate(
            max(0.0, calls[version,] - fast[version,]), calls[version,])),
        "reviews": versions.pair(decided("review")),
        "declines": versions.pair(decided("decline"))}


def _query(url: str, query: str) -> list[Sample]:
    address = f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
    try:
        with urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
            return msgspec.json.decode(answer.read(), type=QueryAnswer).data.result
    except (URLError, OSError, ValueError, *JSON_ERRORS) as error:
        raise TrainingError(f"{url}: does not answer as Prometheus does ({reason(error)}); name "
                            "its address, such as http://prometheus:9090") from error


class CanaryLine(msgspec.Struct):
    """The fields of a `fraud.decision.Decision` that the rates need."""

    decided_at: int
    transaction_id: str
    decision: str
    model_version: str
    model_decision: str = ""


def of_log(paths: Iterable[Path], labels: pd.DataFrame | None, versions: VersionPair, since: int
           ) -> dict[str, RatePair]:
    """Return reviews, declines and, with labels, false declines of decision logs.

    Args:
        labels: transaction_id and is_fraud, once each; see `labels.latest_labels`.
        since: ms since the epoch; earlier decisions do not count.

    Raises:
        TrainingError: a file cannot be read.
    """
    decisions: dict[str, tuple[str, str]] = {}      # version and decision of the model alone
    line: CanaryLine
    for line in decision_log.read_decisions(map(str, paths), CanaryLine):
        if line.decided_at >= since and line.model_version in versions:
            decisions[line.transaction_id] = (line.model_version,
                                              line.model_decision or line.decision)
    payments = Counter(version for version, _ in decisions.values())
    counts = Counter(decisions.values())
    rates = {name: versions.pair(lambda version, name=name: Rate(       # type: ignore[misc]
        counts[version, name.removesuffix("s")], payments[version]))
        for name in ("reviews", "declines")}
    if labels is None:
        return rates
    labelled: Counter[tuple[str, int]] = Counter()
    for transaction_id, is_fraud in zip(labels["transaction_id"], labels["is_fraud"], strict=True):
        version, decision = decisions.get(transaction_id, ("", ""))
        labelled[version, int(is_fraud)] += decision == "decline"
    return rates | {"false_declines": versions.pair(lambda version: Rate(
        labelled[version, 0], labelled[version, 0] + labelled[version, 1]))}
