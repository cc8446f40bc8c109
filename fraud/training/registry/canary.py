"""Canaries: a version that decides for a share of the accounts, before it becomes champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from fraud import clock
from fraud.bundle import CANARY_FILE, CanaryPointer
from fraud.training import files
from fraud.training.errors import TrainingError
from fraud.training.registry import publication
from fraud.training.registry.bundle_writer import NAME
from fraud.training.registry.versions import Version, Versions, number_of, signature

WHOLE = 100.0       # percent


def running() -> CanaryPointer | None:
    """Return the pointer of the canary; None without one."""
    return publication.published(publication.target(), CANARY_FILE, CanaryPointer)


def start(versions: Versions, version: Version, share: float, reason: str,
          tags: dict[str, str]) -> None:
    """Let a version decide for a share of the accounts; record user, time and reason.

    A larger share of the same version keeps its accounts and adds others.

    Args:
        share: percent.
        tags: recorded too.

    Raises:
        TrainingError: the share is not above 0, there is no champion or the version is it, or it
            cannot be published.
    """
    if not 0 < share < WHOLE:
        raise TrainingError(f"share is {share:g}; give a percentage above 0, up to 100")
    champion = number_of(versions.champion())
    if champion in ("", version.number):
        raise TrainingError(f"version {version.number} cannot decide for a share of the accounts: "
                            f"the champion is {champion or 'none'}; promote it without --share")
    target, now = publication.target(), clock.now_ms()
    with tempfile.TemporaryDirectory() as directory:
        versions.export(version.number, Path(directory))
        pointer = publication.add_bundle(Path(directory), NAME, target)
    publication.write_pointer(CanaryPointer(
        **msgspec.structs.asdict(pointer), share=share, since=now), target, CANARY_FILE)
    versions.tag(version.number, {**tags, **signature("canary"), "canary_reason": reason,
                                  "canary_share": f"{share:g}"})


def end(versions: Versions, reason: str) -> str | None:
    """Let the champion decide for all accounts again; returns the version that decided for some.

    The pointer is removed first: a registry that does not answer stops no rollback.

    Raises:
        TrainingError: the pointer cannot be removed, or the reason cannot be recorded.
    """
    from mlflow.exceptions import MlflowException

    pointer = running()
    if pointer is None:
        return None
    remove()
    try:
        versions.tag(pointer.version, {**signature("canary_ended"), "canary_end_reason": reason})
    except MlflowException as error:
        raise TrainingError(f"canary {pointer.version} is ended, but the registry does not record "
                            f"why ({files.reason(error)}); check MLFLOW_TRACKING_URI") from error
    return pointer.version


def remove() -> None:
    """Remove the pointer of the canary, if there is one."""
    publication.remove(publication.target(), CANARY_FILE)
