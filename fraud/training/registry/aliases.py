"""Changes of the aliases champion and challenger, together with the published pointer."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fraud.bundle import CHALLENGER_FILE
from fraud.training.errors import TrainingError
from fraud.training.registry import publication
from fraud.training.registry.bundle_writer import NAME
from fraud.training.registry.versions import (
    CHALLENGER, CHAMPION, Version, Versions, number_of, signature)


def promote(versions: Versions, number: str, reason: str, force: bool = False) -> None:
    """Make a version the champion: publish its bundle, record user, time and reason.

    Args:
        force: promote even a version that the gate refused; that is recorded too.

    Raises:
        TrainingError: there is no such version, the gate refused it, or it cannot be published;
            the champion stays.
    """
    previous, version = number_of(versions.champion()), versions.version(number)
    if version.is_refused and not force:
        raise TrainingError(f"version {number} was refused by the gate "
                            f"({version.tags['gate_reason']}); use --force to promote it "
                            "all the same")
    tags = {} if previous == number else {"previous_champion": previous}
    if version.is_refused:
        tags["promotion_forced"] = "yes"
    set_champion(versions, version, reason, tags)


def rollback(versions: Versions, reason: str) -> str:
    """Restore the previous champion; returns its number.

    Raises:
        TrainingError: there is none.
    """
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
    """Name the champion and publish it: if either fails, registry and pointer keep the old one."""
    client, previous = versions.client, versions.champion()
    with tempfile.TemporaryDirectory() as directory:
        versions.export(version.number, Path(directory))
        client.set_registered_model_alias(NAME, CHAMPION, version.number)
        try:
            publication.publish(Path(directory), NAME, publication.target())
        except BaseException:
            _restore(versions, previous)
            raise
    versions.tag(version.number, {**tags, **signature("promoted"), "promotion_reason": reason})
    if number_of(versions.with_alias(CHALLENGER)) == version.number:
        client.delete_registered_model_alias(NAME, CHALLENGER)
        end_challenge()


def _restore(versions: Versions, previous: Version | None) -> None:
    if previous is None:
        versions.client.delete_registered_model_alias(NAME, CHAMPION)
    else:
        versions.client.set_registered_model_alias(NAME, CHAMPION, previous.number)
