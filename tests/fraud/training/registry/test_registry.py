import json
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud import bundle
from fraud.training.errors import TrainingError
from fraud.training.registry import (
    Registry, __main__ as command, publication, reference, tracking, versions)

pytestmark = pytest.mark.usefixtures("place")


def serving() -> str | None:
    pointer = publication.published("models")
    return pointer.version if pointer else None


def champion() -> str | None:
    version = Registry().champion()
    return version.number if version else None


def ran(capsys, *arguments: str) -> str:
    command.main(list(arguments))
    return capsys.readouterr().out


# Registering.

def test_a_registered_version_has_its_bundle_and_its_lineage(place, register, tags):
    number = register()
    (version,) = Registry().versions()
    Registry().export(number, place / "copy")
    loaded = bundle.load(place / "copy", expected_digest=version.tags["bundle_sha256"])
    assert loaded.manifest.version == number == "1"
    assert {name: version.tags[name] for name in tags} == tags
    assert champion() is None


def test_nothing_stays_registered_where_the_bundle_cannot_be_made(logged, tags):
    def fails(number, directory):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Registry().registered(logged(), tags, fails):
        pass
    assert Registry().versions() == []


def test_nothing_stays_registered_where_what_follows_fails(register, make_bundle, logged, tags):
    register()
    with pytest.raises(KeyboardInterrupt), Registry().registered(
            logged(), tags, lambda number, directory: make_bundle(directory, version=number)):
        raise KeyboardInterrupt
    assert [version.number for version in Registry().versions()] == ["1"]


# Promoting.

def test_a_promoted_version_is_champion_and_served_and_says_who_promoted_it_and_why(register):
    Registry().promote(register(), "fewer false alarms")
    tags = Registry().champion().tags
    assert champion() == serving() == "1"
    assert (tags["promoted_by"], tags["promotion_reason"]) == ("ann", "fewer false alarms")
    assert tags["promoted_at"].endswith("+00:00")
    assert tags["previous_champion"] == ""


def test_a_promotion_that_cannot_publish_leaves_the_champion(register, monkeypatch):
    register(2)
    for before in (None, "1"):
        if before:
            Registry().promote(before, "first")
        with monkeypatch.context() as patch:
            patch.setenv("FRAUD_MODEL", "/proc/models")
            with pytest.raises(TrainingError, match="/proc/models: cannot be written to"):
                Registry().promote("2", "better")
        assert champion() == serving() == before
    assert "promotion_reason" not in Registry().versions()[0].tags


def test_a_version_that_the_gate_refused_is_promoted_only_by_force_and_that_is_recorded(
        register, tags):
    Registry().promote(register(), "first")
    tags |= {"gate": "refused", "gate_reason": "insufficient evidence"}
    refused = register()
    with pytest.raises(TrainingError, match="refused by the gate .insufficient evidence.*--force"):
        Registry().promote(refused, "I want it")
    assert Registry().champion().number == "1"
    Registry().promote(refused, "the pilot was good", force=True)
    assert Registry().champion().number == refused
    assert Registry().champion().tags["promotion_forced"] == "yes"
    Registry().rollback("it was not")
    assert "promotion_forced" not in Registry().champion().tags


def test_uses_of_each_window_are_counted(place):
    assert [Registry().count_gate_use(window * 64) for window in "aabab"] == [1, 2, 1, 3, 2]


def test_the_challenger_is_the_version_that_was_refused_until_it_is_promoted(capsys, register):
    Registry().promote(register(), "first")
    Registry().name_challenger(register())
    assert "2  challenger" in ran(capsys, "list")
    Registry().promote("2", "by hand")
    assert "challenger" not in ran(capsys, "list")


def test_rolling_back_goes_to_the_champion_before_step_by_step(register):
    register(3)
    for version in ("1", "2", "3", "3"):
        Registry().promote(version, "next")
    assert Registry().rollback("alarms tripled") == champion() == serving() == "2"
    assert Registry().champion().tags["promotion_reason"] == "alarms tripled"
    assert Registry().rollback("still") == champion() == serving() == "1"
    with pytest.raises(TrainingError, match="there is no earlier champion to roll back to"):
        Registry().rollback("more")
    assert champion() == serving() == "1"


# The command.

def test_the_list_shows_versions_newest_first_and_what_is_served(capsys, register):
    assert "no version is registered yet" in ran(capsys, "list")
    Registry().promote(register(), "good enough")
    register()
    lines = ran(capsys, "list").splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["2", "1"]
    assert "it is good" in lines[1]
    assert "champion" in lines[2] and "0.9123" in lines[2] and "good enough" in lines[2]
    assert lines[3] == "models serves 1"


def test_the_list_says_where_pointer_and_registry_disagree(capsys, place, register, make_bundle):
    Registry().promote(register(), "first")
    make_bundle(place / "other", version="9")
    publication.publish(place / "other", "fraud-detector", "models")
    assert "models serves 9, but the champion is 1" in ran(capsys, "list")


def test_a_version_shows_its_lineage(capsys, register):
    register()
    facts, again = ran(capsys, "show", "1").split("\n\n")
    shown = dict(line.split(maxsplit=1) for line in facts.splitlines())
    assert shown["data_digest"] == "d" * 64
    assert shown["gate_reason"] == "it is good"
    assert len(shown["mlflow_run"]) == 32
    assert f"git checkout {'c' * 40}" in again


def test_the_champion_is_exported_unless_another_version_is_named(capsys, place, register):
    register(2)
    Registry().promote("1", "first")
    for arguments, version in (([], "1"), (["--version", "2"], "2")):
        said = ran(capsys, "export", "--out", "out", *arguments)
        assert said == f"version {version} is in out\n"
        assert json.loads((place / "out/bundle.json").read_text())["version"] == version


def test_what_the_champion_saw_is_copied_unless_another_version_is_named(capsys, place, register):
    register(2)
    Registry().promote("1", "first")
    pq.write_table(pa.table({"score": [0.5]}), place / "validated.parquet")
    for arguments, version in (([], "1"), (["--version", "2"], "2")):
        Registry().keep_reference(version, place / "validated.parquet")
        said = ran(capsys, "reference", "--out", "out", *arguments)
        assert said == f"the reference of version {version} is out/reference.parquet\n"
        kept = pq.read_table(place / "out/reference.parquet")
        assert kept.schema.metadata[reference.VERSION] == version.encode()


def test_the_champion_gets_other_thresholds_without_retraining(capsys, place, register, policy):
    register()
    Registry().promote("1", "first")
    before = publication.published("models")
    ran(capsys, "policy", "--policy", str(policy("1.2", 0.9)), "--reason", "fewer declines")
    now = publication.published("models")
    served = bundle.load(place / "models" / now.folder, now.sha256)
    assert (served.policy.version, served.policy.model.decline) == ("1.2", 0.9)
    assert bundle.load(place / "models" / before.folder).policy.version == "1.1"   # as it was
    tags = Registry().champion().tags
    assert (tags["policy_version"], tags["policy_reason"], tags["policy_by"]) == (
        "1.2", "fewer declines", "ann")


def test_changed_thresholds_stay_with_their_version(register, policy):
    register(2)
    Registry().promote("1", "first")
    Registry().change_policy("1", policy("1.2", 0.9), "fewer declines")
    Registry().promote("2", "second")
    Registry().rollback("back")
    assert publication.published("models").policy_sha256 == bundle.sha256(
        policy("1.2", 0.9).read_bytes())


def test_thresholds_of_another_version_than_the_champion_are_not_served(register, policy):
    register(2)
    Registry().promote("1", "first")
    before = publication.published("models")
    Registry().change_policy("2", policy("2.2", 0.9), "for later")
    assert publication.published("models") == before


def test_a_policy_that_cannot_be_published_leaves_the_one_before(register, policy, monkeypatch,
                                                                 place):
    register()
    Registry().promote("1", "first")
    monkeypatch.setenv("FRAUD_MODEL", "/proc/models")
    with pytest.raises(TrainingError, match="/proc/models: cannot be written to"):
        Registry().change_policy("1", policy("1.2", 0.9), "fewer declines")
    Registry().export("1", place / "out")
    assert bundle.load(place / "out").policy.version == "1.1"


@pytest.mark.parametrize(("version", "decline", "error", "message"), [
    ("1.1", 0.9, TrainingError, "its version 1.1 was used before"),
    ("1.2", 0.05, TrainingError, "review must be from 0 to 0.05 by score")])
def test_a_policy_that_is_none_or_has_no_version_of_its_own_is_refused(
        register, policy, version, decline, error, message):
    register()
    Registry().promote("1", "first")
    before = publication.published("models")
    with pytest.raises(error, match=message):
        Registry().change_policy("1", policy(version, decline), "a reason")
    assert publication.published("models") == before


def test_a_bundle_that_was_changed_in_the_registry_is_not_promoted(register, place):
    register()
    run = Registry().version("1").run_id
    Registry().export("1", place / "changed")
    manifest = place / "changed/bundle.json"
    manifest.write_text(manifest.read_text().replace('"xgboost"', '"xgboost "'))
    tracking.connect().log_artifact(run, manifest, versions.BUNDLE)
    with pytest.raises(TrainingError, match="version 1: sha256 of its bundle.json is .*, but"):
        Registry().promote("1", "a reason")
    assert champion() is serving() is None


def test_a_policy_that_was_changed_in_the_registry_is_not_promoted(register, policy):
    register()
    tracking.connect().log_artifact(Registry().version("1").run_id, policy("1.1", 1.0),
                                    versions.BUNDLE)
    with pytest.raises(TrainingError, match="version 1: sha256 of its policy.json is .*, but"):
        Registry().promote("1", "a reason")
    assert champion() is serving() is None


def test_the_version_of_a_policy_is_used_once(register, policy):
    register()
    for version in ("1.2", "1.3"):
        Registry().change_policy("1", policy(version, 0.9), "a reason")
    for version in ("1.1", "1.2", "1.3"):
        with pytest.raises(TrainingError, match=f"its version {version} was used before"):
            Registry().change_policy("1", policy(version, 0.8), "a reason")


def test_the_list_says_where_the_policy_that_serves_is_another(capsys, register, policy):
    register()
    Registry().promote("1", "first")
    before = publication.published("models")
    Registry().change_policy("1", policy("1.2", 0.9), "a reason")
    Path("models/champion.json").write_bytes(msgspec.json.encode(before))
    assert "models serves 1, but with another policy than the registry has" in ran(capsys, "list")


def test_promotion_and_rollback_say_what_is_served_then(capsys, register):
    register(2)
    assert ran(capsys, "promote", "1", "--reason", "a") == "models serves 1\n"
    assert ran(capsys, "promote", "2", "--reason", "b") == "models serves 2\n"
    assert ran(capsys, "rollback", "--reason", "c") == "models serves 1\n"


@pytest.mark.parametrize(("arguments", "message"), [
    (["show", "7"], "error: version 7 is not registered; registered versions: 1"),
    (["promote", "7", "--reason", "r"],
     "error: version 7 is not registered; registered versions: 1"),
    (["policy", "--policy", "none.json", "--version", "1", "--reason", "r"],
     "error: none.json: cannot be read (No such file or directory)"),
    (["rollback", "--reason", "r"], "error: there is no earlier champion to roll back to"),
    (["export", "--out", "out"], "error: there is no champion yet"),
    (["reference", "--out", "out"], "error: there is no champion yet"),
    (["reference", "--out", "out", "--version", "1"],
     "error: version 1: its reference cannot be copied"),
    (["export", "--out", "mlflow.db", "--version", "1"],
     "error: version 1: its bundle cannot be copied")])
def test_an_impossible_command_prints_one_line_and_changes_nothing(
        capsys, register, arguments, message):
    register()
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith(message) and error.count("\n") == 1
    assert champion() is serving() is None


def test_a_promotion_needs_a_reason(register):
    register()
    with pytest.raises(SystemExit):
        command.main(["promote", "1"])
    assert champion() is None


def test_a_server_that_does_not_answer_is_not_an_empty_registry(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit):
        command.main(["list"])
    assert "error: the MLflow registry does not answer" in capsys.readouterr().err


# Challengers.

def challenger() -> str | None:
    pointer = publication.published("models", "challenger.json")
    return pointer.version if pointer else None


def test_a_version_scores_in_shadow_until_the_challenge_ends(register, capsys):
    Registry().promote(register(), "good")
    second = register()
    out = ran(capsys, "challenge", second, "--reason", "newer payments")
    assert out == f"version {second} scores in shadow at models\n"
    assert (serving(), challenger()) == ("1", second)
    assert Registry().version(second).tags["challenge_reason"] == "newer payments"
    assert Registry().with_alias("challenger").number == second
    assert "has no challenger" in ran(capsys, "challenge", "--end")
    assert challenger() is None and serving() == "1"


def test_promotion_of_the_challenger_ends_the_challenge(register):
    registry = Registry()
    registry.promote(register(), "good")
    registry.challenge(register(), "newer payments")
    registry.promote("2", "better in shadow", force=True)
    assert (serving(), challenger(), registry.with_alias("challenger")) == ("2", None, None)


def test_the_champion_and_unknown_versions_cannot_challenge(register):
    registry = Registry()
    registry.promote(register(), "good")
    for number, problem in (("1", "version 1 is the champion"), ("7", "version 7 is not")):
        with pytest.raises(TrainingError, match=problem):
            registry.challenge(number, "why")
    assert challenger() is None


def test_a_challenge_needs_a_version_and_a_reason(register, capsys):
    with pytest.raises(SystemExit):
        command.main(["challenge", register()])
    assert "challenge needs a version and --reason, or --end" in capsys.readouterr().err


# Canaries.

def canary() -> tuple[str, float] | None:
    pointer = publication.published("models", "canary.json", bundle.CanaryPointer)
    return (pointer.version, pointer.share) if pointer else None


def test_a_version_decides_for_a_share_until_it_is_promoted_to_all(register, capsys):
    Registry().promote(register(), "good")
    second = register()
    out = ran(capsys, "promote", second, "--share", "10", "--reason", "good in shadow")
    assert out == "models serves 1, and 2 for 10 % of the accounts\n"
    assert (champion(), serving(), canary()) == ("1", "1", ("2", 10.0))
    tags = Registry().version(second).tags
    assert (tags["canary_by"], tags["canary_share"], tags["canary_reason"]) == (
        "ann", "10", "good in shadow")
    ran(capsys, "promote", second, "--share", "25", "--reason", "no alarms")
    assert canary() == ("2", 25.0)
    assert ran(capsys, "promote", second, "--share", "100", "--reason", "whole") == (
        "models serves 2\n")
    assert (champion(), canary()) == ("2", None)
    assert Registry().rollback("worse") == serving() == "1"


def test_rollback_ends_the_canary_and_leaves_the_champion(register, capsys):
    Registry().promote(register(), "good")
    Registry().promote(register(), "better", 10)
    assert ran(capsys, "rollback", "--reason", "declines doubled") == "models serves 1\n"
    assert (champion(), canary()) == ("1", None)
    tags = Registry().version("2").tags
    assert (tags["canary_ended_by"], tags["canary_end_reason"]) == ("ann", "declines doubled")


def test_promotion_of_another_version_ends_the_canary(register):
    Registry().promote(register(), "good")
    Registry().promote(register(), "better", 10)
    Registry().promote(register(), "retrained")
    assert (serving(), canary()) == ("3", None)


def test_a_canary_that_the_gate_refused_passes_once(register, tags):
    Registry().promote(register(), "good")
    tags |= {"gate": "refused", "gate_reason": "too few incidents"}
    second = register()
    with pytest.raises(TrainingError, match="refused by the gate"):
        Registry().promote(second, "why", 10)
    assert canary() is None
    Registry().promote(second, "by hand", 10, force=True)
    assert Registry().version(second).tags["promotion_forced"] == "yes"
    Registry().promote(second, "no alarms")
    assert serving() == second


@pytest.mark.parametrize(("share", "problem"), [
    (0, "share is 0; give a percentage above 0"), (-1, "share is -1"), (101, "share is 101"),
    (float("nan"), "share is nan")])
def test_a_share_is_a_percentage(register, share, problem):
    Registry().promote(register(), "good")
    with pytest.raises(TrainingError, match=problem):
        Registry().promote(register(), "why", share)
    assert canary() is None


def test_the_champion_is_no_canary_and_without_one_there_is_none(register):
    first = register()
    with pytest.raises(TrainingError, match="the champion is none; promote it without --share"):
        Registry().promote(first, "why", 10)
    Registry().promote(first, "good")
    with pytest.raises(TrainingError, match="the champion is 1; promote it without --share"):
        Registry().promote(first, "why", 10)
    assert canary() is None
