"""Changes of the aliases champion and challenger, together with the published pointer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from fraud.bundle import CHALLENGER_FILE, sha256
from fraud.training import settings
from fraud.training.errors import TrainingError
from fraud.training.registry import canary, evidence, publication
from fraud.training.registry.bundle_writer import NAME
from fraud.training.registry.versions import (
    CHALLENGER, CHAMPION, Version, Versions, number_of, signature)


class GateOverride(NamedTuple):
    """Ways past a gate that refused a version."""

    force: bool = False             # all the same; that is recorded
    evidence: Path | None = None    # a report of shadow scores, see `evidence`


NO_OVERRIDE = GateOverride()


def promote(versions: Versions, number: str, reason: str, share: float = canary.WHOLE,
            override: GateOverride = NO_OVERRIDE) -> None:
    """Make a version the champion: publish its bundle, record user, time and reason.

    Args:
        share: percent of the accounts that it decides for; the champion stays below 100.
        override: for a version that the gate refused.

    Raises:
        TrainingError: there is no such version, the gate refused it, or it cannot be published;
            the champion stays.
    """
    previous, version = number_of(versions.champion()), versions.version(number)
    tags = _passed(versions, version, override)
    if share != canary.WHOLE:
        canary.start(versions, version, share, reason, tags)
        return
    if previous != number:
        tags["previous_champion"] = previous
    set_champion(versions, version, reason, tags)


def _passed(versions: Versions, version: Version, override: GateOverride) -> dict[str, str]:
    """Return tags that say how a version passed; a canary that is promoted further has passed."""
    if override.evidence:
        return _passed_on_evidence(versions, version, override.evidence)
    running = canary.running()
    if not version.is_refused or (running and running.version == version.number):
        return {}
    if not override.force:
        raise TrainingError(f"version {version.number} was refused by the gate "
                            f"({version.tags['gate_reason']}); give --evidence of shadow scores, "
                            "or --force to promote it all the same")
    return {"promotion_forced": "yes"}


def _passed_on_evidence(versions: Versions, version: Version, report: Path) -> dict[str, str]:
    measured = evidence.load_evidence(report)
    evidence.check(measured, versions, version)
    decision = evidence.decide(measured, settings.load(settings.FILE))
    if not decision.promote:
        raise TrainingError(f"{report}: version {version.number} does not pass the gate on live "
                            f"payments: {decision.reason}")
    versions.client.log_artifact(version.run_id, report, evidence.ARTIFACT)
    return {"evidence_reason": decision.reason, "evidence_sha256": sha256(report.read_bytes())}


def rollback(versions: Versions, reason: str) -> str:
    """End the canary, or else restore the previous champion; returns the champion's number.

    Raises:
        TrainingError: there is neither.
    """
    if canary.end(versions, reason):
        return number_of(versions.champion())
    champion = versions.champion()
    previous = champion.tags.get("previous_champion", "") if champion else ""
    if not previous:
        raise TrainingError("there is no earlier champion to roll back to; promote a version by "
                            "its number")
    set_champion(versions, versions.version(previous), reason, {})
    return previous


def challenge(versions: Versions, number: str, reason: str) -> None:
    """Let a version score in shadow; record user, time and reason.

    Raises:
        TrainingError: there is no such version, it is the champion, or it cannot be published.
    """
    if number == number_of(versions.champion()):
        raise TrainingError(f"version {number} is the champion; name another version")
    with tempfile.TemporaryDirectory() as directory:
        versions.export(number, Path(directory))
        publication.publish(Path(directory), NAME, publication.target(), CHALLENGER_FILE)
    versions.client.set_registered_model_alias(NAME, CHALLENGER, number)
    versions.tag(number, {**signature("challenged"), "challenge_reason": reason})


def end_challenge() -> None:
    """Let no version score in shadow."""
    publication.remove(publication.target(), CHALLENGER_FILE)


def name_challenger(versions: Versions, number: str) -> None:
    """Mark a version as the one that the gate refused last; it may be promoted by hand."""
    versions.client.set_registered_model_alias(NAME, CHALLENGER, number)


def set_champion(versions: Versions, version: Version, reason: str, tags: dict[str, str]) -> None:
    """Name the champion and publish it: if either fails, registry and pointer keep the old one.

    A canary ends with the champion that it was compared with.
    """
    client, previous = versions.client, versions.champion()
    with tempfile.TemporaryDirectory() as directory:
        versions.export(version.number, Path(directory))
        client.set_registered_model_alias(NAME, CHAMPION, version.number)
        try:
            publication.publish(Path(directory), NAME, publication.target())
        except BaseException:
            _restore(versions, previous)
            raise
    canary.remove()
    versions.tag(version.number, {**tags, **signature("promoted"), "promotion_reason": reason})
    if number_of(versions.with_alias(CHALLENGER)) == version.number:
        client.delete_registered_model_alias(NAME, CHALLENGER)
        end_challenge()


def _restore(versions: Versions, previous: Version | None) -> None:
    if previous is None:
        versions.client.delete_registered_model_alias(NAME, CHAMPION)
    else:
        versions.client.set_registered_model_alias(NAME, CHAMPION, previous.number)
