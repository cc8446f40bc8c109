"""Comparison of two registered versions: test, thresholds, features, settings, data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from fraud import bundle, clock
from fraud.bundle import Manifest, Policy
from fraud.training.registry.versions import Version, Versions

PARENT = "mlflow.parentRunId"       # MLflow's tag of a child run
INTERVALS = {"test_f1": ("test_f1_low", "test_f1_high")}
COLUMN = 36                         # characters; longer values stand below each other
SEPARATE = {"test_f1_low", "test_f1_high"}      # shown with the metric that they bound


class VersionFacts(NamedTuple):
    """A version with its bundle and the metrics and settings of its run."""

    version: Version
    manifest: Manifest
    policy: Policy
    metrics: Mapping[str, float]
    settings: Mapping[str, str]


def compare(versions: Versions, first: str, second: str) -> str:
    """Return two versions side by side; a `*` marks rows that differ.

    Raises:
        TrainingError: there is no such version, or its artifacts are missing or changed.
    """
    pair = _facts(versions, first), _facts(versions, second)
    sections = {"": _origin(*pair), "test period": _test(*pair), "thresholds": _thresholds(*pair),
                "features": _features(*pair), "settings that differ": _settings(*pair)}
    lines = [_line("version", first, second)]
    for title, rows in sections.items():
        lines += ["", *([title] if title else []), *rows]
    tested = [(facts.manifest.data_digest, facts.manifest.tuned_until) for facts in pair]
    if tested[0] != tested[1]:
        lines += ["", "They were tested on different payments: their metrics cannot be compared "
                  "with each other."]
    return "\n".join(lines)


def _facts(versions: Versions, number: str) -> VersionFacts:
    version = versions.version(number)
    with tempfile.TemporaryDirectory() as directory:
        versions.export(number, Path(directory))
        loaded = bundle.load(directory)
    run = versions.client.get_run(version.run_id)
    parent = run.data.tags.get(PARENT)
    settings = versions.client.get_run(parent).data.params if parent else {}
    return VersionFacts(version, loaded.manifest, loaded.policy, run.data.metrics,
                        {**settings, **run.data.params})


def _origin(*pair: VersionFacts) -> Iterable[str]:
    for name in ("framework", "data_file", "data_digest", "data_md5", "mapping_digest",
                 "git_commit", "metaflow_run"):
        yield _line(name, *(getattr(facts.manifest, name) for facts in pair))
    for name in ("trained_at", "tuned_until"):
        times = [getattr(facts.manifest, name) for facts in pair]
        yield _line(name, *(clock.utc_minute(time) if time else "" for time in times))
    for name in ("gate", "gate_reason", "promotion_reason"):
        yield _line(name, *(facts.version.tags.get(name, "") for facts in pair))


def _test(*pair: VersionFacts) -> Iterable[str]:
    names = sorted({name for facts in pair for name in facts.metrics
                    if name.startswith("test_")} - SEPARATE)
    for name in names:
        yield _line(name, *(_metric(name, facts.metrics) for facts in pair))


def _metric(name: str, metrics: Mapping[str, float]) -> str:
    if name not in metrics:
        return ""
    text = f"{metrics[name]:,.4f}".rstrip("0").rstrip(".")
    bounds = [f"{metrics[bound]:.4f}" for bound in INTERVALS.get(name, ()) if bound in metrics]
    return f"{text} ({' to '.join(bounds)})" if bounds else text


def _thresholds(*pair: VersionFacts) -> Iterable[str]:
    policies = [facts.policy for facts in pair]
    yield _line("policy", *(policy.version for policy in policies))
    for name in bundle.Thresholds.__struct_fields__:
        yield _line(name, *(str(getattr(policy.model, name)) for policy in policies))
    yield _line("alerts_per_day", *(f"{policy.alerts_per_day:g}" for policy in policies))


def _features(*pair: VersionFacts) -> Iterable[str]:
    names = [facts.manifest.model.features for facts in pair]
    yield _line("number", *(str(len(each)) for each in names))
    for name in dict.fromkeys([*names[0], *names[1]]):
        if not all(name in each for each in names):
            yield _line(name, *("yes" if name in each else "no" for each in names))
    yield _line("types", *(" ".join(facts.manifest.types) for facts in pair))


def _settings(*pair: VersionFacts) -> Iterable[str]:
    names = sorted({name for facts in pair for name in facts.settings})
    rows = {name: [facts.settings.get(name, "") for facts in pair] for name in names}
    different = {name: values for name, values in rows.items() if values[0] != values[1]}
    for name, values in different.items():
        yield _line(name, *values)
    if not different:
        yield f"  none of {len(rows)}"


def _line(name: str, first: str, second: str) -> str:
    mark = " " if first == second else "*"
    if max(len(first), len(second)) > COLUMN:
        return f"{mark} {name}\n      {first}\n      {second}"
    return f"{mark} {name:<34}{first:<{COLUMN}}  {second}".rstrip()
