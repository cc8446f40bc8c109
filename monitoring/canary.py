"""Guard of a canary: compares it with the champion, and ends it beyond limits.

    python -m monitoring.canary --prometheus http://prometheus:9090
    python -m monitoring.canary --decisions decisions.jsonl --labels labels.csv

One look and no more: a scheduler, such as a CronJob of Kubernetes, runs it every few minutes.
Prometheus has errors, slow calls, reviews and declines; decision logs have reviews and declines,
and with labels false declines. monitoring/canary.toml has the limits. They are tested sequentially:
however often the guard looks, it ends a version as good as the champion with a probability of at
most `false_alarm`. A canary that it ends is ended as by `registry rollback`, with the reason on
record (`registry show`).

Exit codes: 0 no canary, or within its limits; 2 a user error; 3 beyond, and ended unless --dry-run.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from fraud import clock
from fraud.bundle import CanaryPointer
from fraud.command_line import Arguments, command, parser
from fraud.training.errors import TrainingError
from fraud.training.registry import Registry, canary, publication
from monitoring import canary_rates, labels, settings
from monitoring.canary_rates import RatePair, VersionPair
from monitoring.sequential import log_evidence
from monitoring.settings import CanaryLimits, read_settings

ENDED = 3


def excesses(rates: Mapping[str, RatePair], limits: CanaryLimits) -> list[str]:
    """Return a sentence for each limit that the canary is surely beyond."""
    most, least = limits.most.by_name(), limits.least.by_name()
    bound = math.log((len(most) + len(least)) / limits.false_alarm)     # each has its part of it
    sentences = []
    for name, (ours, theirs) in rates.items():
        if log_evidence(ours, theirs, most[name], limits.design_effect) >= bound:
            sentences.append(f"{_described(name, ours.share, theirs.share)}, more than "
                             f"{most[name]:g} times")
        if name in least and log_evidence(
                theirs, ours, 1 / least[name], limits.design_effect) >= bound:
            sentences.append(f"{_described(name, ours.share, theirs.share)}, less than "
                             f"{least[name]:g} times")
    return sentences


def _described(name: str, ours: float, theirs: float) -> str:
    return f"{name.replace('_', ' ')} {ours:.3%} against {theirs:.3%} of the champion"


def _table(rates: Mapping[str, RatePair], versions: VersionPair) -> Iterator[str]:
    canary_title, champion_title = (f"{role} {version}" for role, version in
                                    zip(("canary", "champion"), versions, strict=True))
    yield f"{'':<16}{canary_title:>24}{champion_title:>24}"
    for name, pair in rates.items():
        cells = (f"{rate.share:.3%} of {rate.trials:,.0f}" if rate.trials else "none yet"
                 for rate in pair)
        yield f"{name.replace('_', ' '):<16}" + "".join(f"{cell:>24}" for cell in cells)


@command
def main(arguments: Arguments) -> int:
    options = parser("python -m monitoring.canary", __doc__)
    options.add_argument("--prometheus", metavar="URL", help="address of Prometheus")
    options.add_argument("--decisions", type=Path, nargs="+", metavar="LOG",
                         help="decision logs since the start of the canary")
    options.add_argument("--labels", nargs="+",
                         help="CSV or Parquet files, or kafka:TOPIC, see monitoring.labels")
    options.add_argument("--limits", type=Path, default=settings.FOLDER / "canary.toml",
                         help="(default: monitoring/canary.toml)")
    options.add_argument("--dry-run", action="store_true", help="end nothing")
    return _run(options.parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    if not (options.prometheus or options.decisions) or options.labels and not options.decisions:
        raise TrainingError("there is nothing to compare; give --prometheus or --decisions, and "
                            "--labels only with the latter")
    limits = read_settings(options.limits, CanaryLimits)
    running, champion = canary.running(), publication.published(publication.target())
    if running is None or champion is None:
        print(f"{publication.target()} has no canary")
        return 0
    versions = VersionPair(running.version, champion.version)
    rates = _rates(options, versions, running, limits)
    print(*_table(rates, versions), sep="\n")
    reasons = "; ".join(excesses(rates, limits))
    if not reasons:
        print(_within(running, limits))
        return 0
    print(f"canary {running.version} is beyond its limits: {reasons}")
    if not options.dry_run:
        canary.end(Registry(), f"the guard ended it: {reasons}")
        print(f"it is ended; {publication.target()} serves {champion.version}")
    return ENDED


def _rates(options: argparse.Namespace, versions: VersionPair, running: CanaryPointer,
           limits: CanaryLimits) -> dict[str, RatePair]:
    """Return the rates of Prometheus, and those of the logs, which are exact."""
    now, rates = clock.now_ms(), {}
    if options.prometheus:
        seconds = max(1, (now - running.since) // 1_000)
        rates = canary_rates.of_prometheus(options.prometheus, versions, seconds,
                                           limits.slow_seconds)
    if options.decisions:
        known = labels.latest_labels(labels.read_labels(*options.labels), now).table if (
            options.labels) else None
        rates |= canary_rates.of_log(options.decisions, known, versions, running.since)
    return rates


def _within(running: CanaryPointer, limits: CanaryLimits) -> str:
    hours = (clock.now_ms() - running.since) / clock.HOUR_MS
    line = f"canary {running.version} is within its limits after {hours:.1f} hours"
    if hours < limits.window_hours:
        return line
    return f"{line}: promote it further, with a larger --share or to all"


if __name__ == "__main__":
    main()
