"""Evidence from shadow scores, with which a version passes the gate on live payments.

`python -m monitoring.shadow` measures it; a promotion checks it against the registry, and decides
again by the settings of now.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from fraud import bundle, clock
from fraud.errors import JSON_ERRORS
from fraud.training.errors import TrainingError
from fraud.training.evaluation import gate
from fraud.training.evaluation.gate import Comparison, PromotionDecision
from fraud.training.evaluation.paired_bootstrap import Differences
from fraud.training.files import reason
from fraud.training.registry.versions import (
    BUNDLE_DIGEST, POLICY_DIGEST, Version, Versions, number_of)
from fraud.training.settings import TrainingSettings

ARTIFACT = "evidence"       # of a version's run
AGAIN = "make the report again with python -m monitoring.shadow"


class ScoredVersion(msgspec.Struct, frozen=True):
    """A version, as decision lines name it."""

    version: str
    model_digest: str           # sha256 of bundle.json
    policy_digest: str          # sha256 of policy.json


class ShadowEvidence(msgspec.Struct, frozen=True):
    """A challenger against the champion, on labelled payments that both scored."""

    champion: ScoredVersion
    challenger: ScoredVersion
    first_time: int             # event_time of the first and the last of them, ms; 0: none
    last_time: int
    labelled: int
    frauds: int
    incidents: int              # of these frauds
    f1: float                   # of the challenger; 0 without differences
    auprc: float
    differences: Differences | None     # None unless some are fraud and some are not


class EvidenceReport(msgspec.Struct, frozen=True):
    """The part of a report of `monitoring.shadow` that is evidence."""

    evidence: ShadowEvidence


def load_evidence(path: Path) -> ShadowEvidence:
    """Load the evidence of a report.

    Raises:
        TrainingError: it cannot be read, or is not such a report.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=EvidenceReport).evidence
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); name a report.json of "
                            "monitoring.shadow") from error
    except JSON_ERRORS as error:
        raise TrainingError(f"{path}: is not a report of shadow scores ({error}); {AGAIN}"
                            ) from error


def decide(evidence: ShadowEvidence, settings: TrainingSettings) -> PromotionDecision:
    """Decide by the floors and the non-inferiority test of the gate."""
    comparison = Comparison(f"champion {evidence.champion.version}", evidence.incidents,
                            evidence.first_time, evidence.last_time, evidence.differences)
    if evidence.differences is None or evidence.incidents < settings.gate.incidents:
        return gate.decide_between(comparison, settings.gate)
    return gate.decide_by("live", evidence.f1, evidence.auprc, comparison, settings.floors,
                          settings.gate)


def check(evidence: ShadowEvidence, versions: Versions, candidate: Version) -> None:
    """Check that evidence is about a version and the champion, as they are registered now.

    Raises:
        TrainingError: it is about others, or about payments that one of them was tuned on.
    """
    champion = versions.champion()
    for role, measured, registered in (("challenger", evidence.challenger, candidate),
                                       ("champion", evidence.champion, champion)):
        _check_identity(role, measured, registered)
        _check_new_to(measured.version, versions, evidence.first_time)


def _check_identity(role: str, measured: ScoredVersion, registered: Version | None) -> None:
    if measured.version != number_of(registered):
        raise TrainingError(f"the evidence is about {role} {measured.version}, not version "
                            f"{number_of(registered) or 'none'}; {AGAIN}")
    tags = registered.tags if registered else {}
    for name, digest, tag in (("model", measured.model_digest, BUNDLE_DIGEST),
                              ("policy", measured.policy_digest, POLICY_DIGEST)):
        if digest != tags.get(tag):
            raise TrainingError(f"the evidence is about another {name} of version "
                                f"{measured.version}: its sha256 is {digest}, that of the registry "
                                f"{tags.get(tag)}; challenge it again, then {AGAIN}")


def _check_new_to(number: str, versions: Versions, first_time: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        versions.export(number, Path(directory))
        tuned_until = bundle.load(Path(directory)).manifest.tuned_until
    if not tuned_until:
        raise TrainingError(f"version {number} does not say until when it was tuned, so no payment "
                            "is certain to be new to it; promote it with --force")
    if first_time < tuned_until:
        raise TrainingError(f"the evidence begins on {clock.utc_second(first_time)}, but version "
                            f"{number} was tuned on payments until {clock.utc_second(tuned_until)};"
                            f" {AGAIN} --since {clock.utc_day(tuned_until + clock.DAY_MS)}")
