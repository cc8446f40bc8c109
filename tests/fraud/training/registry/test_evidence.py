"""Promotion of a version that the gate refused, on evidence of shadow scores."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from fraud.clock import DAY_MS
from fraud.training.errors import TrainingError
from fraud.training.evaluation.paired_bootstrap import Differences
from fraud.training.registry import Registry, __main__ as command, evidence, publication, tracking
from fraud.training.registry.evidence import ScoredVersion, ShadowEvidence

TUNED = 1_704_067_200_000       # 2024-01-01T00:00:00Z
GOOD = Differences(0.01, 0.01, -0.005, -0.005, 0.6)


@pytest.fixture
def two_versions(logged, tags, make_bundle):
    """Champion 1, and version 2, which the gate refused."""
    for gate in ("passed", "refused"):
        with Registry().registered(
                logged(), tags | {"gate": gate, "gate_reason": "too few incidents"},
                lambda number, directory: make_bundle(directory, version=number,
                                                      tuned_until=TUNED)):
            pass
    Registry().promote("1", "first")


def scored(number: str) -> ScoredVersion:
    tags = Registry().version(number).tags
    return ScoredVersion(number, tags["bundle_sha256"], tags["policy_sha256"])


@pytest.fixture
def good(two_versions) -> ShadowEvidence:
    return ShadowEvidence(
        champion=scored("1"), challenger=scored("2"), first_time=TUNED,
        last_time=TUNED + 10 * DAY_MS, labelled=9_000, frauds=600, incidents=300, f1=0.8,
        auprc=0.8, differences=GOOD)


@pytest.fixture
def report(place):
    """Writes a report with evidence: `report(evidence)`."""
    def write(measured: ShadowEvidence):
        path = place / "report.json"
        path.write_bytes(msgspec.json.encode({"summary": "-", "evidence": measured}))
        return path

    return write


def serving() -> str:
    return publication.published("models").version


def test_a_refused_version_is_promoted_on_evidence_which_is_kept(good, report, capsys, place):
    command.main(["promote", "2", "--evidence", str(report(good)), "--reason", "good in shadow"])
    assert capsys.readouterr().out == "models serves 2\n"
    tags = Registry().champion().tags
    assert tags["evidence_reason"].startswith("not worse than champion 1 by more than")
    assert tags["promotion_reason"] == "good in shadow" and "promotion_forced" not in tags
    run = Registry().version("2").run_id
    kept = tracking.connect().download_artifacts(run, "evidence/report.json", str(place))
    assert json.loads(Path(kept).read_text())["evidence"]["incidents"] == 300


@pytest.mark.parametrize(("change", "problem"), [
    ({"incidents": 149, "frauds": 149}, "insufficient evidence: 149 incidents"),
    ({"differences": None, "frauds": 0, "incidents": 0}, "insufficient evidence: 0 incidents"),
    ({"f1": 0.1}, "live F1 0.1000 is below its floor"),
    ({"differences": GOOD._replace(f1_bound=-0.05)}, "may be worse than champion 1"),
    ({"differences": GOOD._replace(auprc_bound=-0.05)}, "in AUPRC"),
    ({"first_time": TUNED - 1}, "was tuned on payments until 2024-01-01 00:00:00 UTC; make the "
                                "report again with python -m monitoring.shadow --since 2024-01-02"),
    ({"challenger": ScoredVersion("3", "", "")}, "is about challenger 3, not version 2"),
    ({"champion": ScoredVersion("3", "", "")}, "is about champion 3, not version 1")])
def test_evidence_that_does_not_pass_the_gate_promotes_nothing(good, report, change, problem):
    with pytest.raises(TrainingError, match=problem):
        Registry().promote("2", "why", evidence=report(replace(good, **change)))
    assert serving() == "1" and "evidence_sha256" not in Registry().version("2").tags


@pytest.mark.parametrize("role", ["champion", "challenger"])
@pytest.mark.parametrize("part", ["model", "policy"])
def test_evidence_about_another_model_or_policy_of_the_same_version_is_refused(
        good, report, role, part):
    other = replace(getattr(good, role), **{f"{part}_digest": "f" * 64})
    with pytest.raises(TrainingError, match=f"another {part} of version .*: its sha256 is ffff"):
        Registry().promote("2", "why", evidence=report(replace(good, **{role: other})))
    assert serving() == "1"


@pytest.mark.parametrize("content", [b"", b"{", b'{"evidence": {}}', b"\xff"])
def test_a_file_that_is_not_a_report_is_refused(two_versions, place, content):
    path = place / "report.json"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="is not a report of shadow scores"):
        evidence.load_evidence(path)
    with pytest.raises(TrainingError, match=r"none.json: cannot be read \(No such file"):
        evidence.load_evidence(place / "none.json")


def test_a_version_that_does_not_say_until_when_it_was_tuned_has_no_evidence(
        register, report, good):
    third = register()
    measured = replace(good, challenger=scored(third))
    with pytest.raises(TrainingError, match="does not say until when it was tuned"):
        Registry().promote(third, "why", evidence=report(measured))


def test_force_and_evidence_exclude_each_other(good, report):
    with pytest.raises(SystemExit):
        command.main(["promote", "2", "--force", "--evidence", str(report(good)), "--reason", "r"])
    assert serving() == "1"
