import pytest

from fraud.training.errors import TrainingError
from fraud.training.registry import Registry, publication
from tests.fraud.training.registry.test_registry import ran
from tests.fraud.training.registry.test_rules_command import TOML

pytestmark = pytest.mark.usefixtures("place")


def facts() -> list[tuple[str, ...]]:
    return [(change.action, change.before, change.after, change.reason)
            for change in Registry().history()]


def test_every_change_is_kept_with_user_time_and_reason(register, policy, place, capsys):
    (place / "rules.toml").write_text(TOML)
    registry = Registry()
    registry.promote(register(2), "good")
    for number, reason in (("1", "the pilot"), ("2", "a retry")):
        registry.promote(number, reason)
    registry.rollback("alarms")
    registry.challenge("2", "again")
    registry.end_challenge("enough")
    registry.end_challenge("nothing to end")
    registry.change_policy("1", policy("1.2", 0.9), "fewer declines")
    ran(capsys, "rules", "--rules", "rules.toml", "--reason", "a wave")
    assert facts() == [
        ("promote", "", "2", "good"), ("promote", "2", "1", "the pilot"),
        ("promote", "1", "2", "a retry"), ("rollback", "2", "1", "alarms"),
        ("challenge", "", "2", "again"), ("end-challenge", "2", "", "enough"),
        ("policy", "1.1", "1.2", "fewer declines"), ("rules", "", "1", "a wave")]
    history = registry.history()
    assert {change.by for change in history} == {"ann"}
    assert [change.at for change in history] == sorted(change.at for change in history)
    assert history[6].model_version == "1"
    assert history[6].file == publication.published("models").folder
    shown = ran(capsys, "history").splitlines()
    assert len(shown) == 9 and shown[7].endswith("1.1       1.2  fewer declines (version 1)")


def test_a_second_promotion_keeps_the_reason_of_the_first(register):
    registry = Registry()
    registry.promote(register(), "first")
    registry.promote("1", "second")
    assert [reason for *_, reason in facts()] == ["first", "second"]


def test_a_promotion_against_the_gate_says_so(register, tags, capsys):
    tags |= {"gate": "refused"}
    Registry().promote(register(), "the pilot was good", force=True)
    assert [change.forced for change in Registry().history()] == [True]
    assert "(against the gate)" in ran(capsys, "history")


def test_the_promotion_of_a_challenger_ends_its_challenge(register):
    registry = Registry()
    registry.promote(register(2), "good")
    registry.challenge("1", "again")
    registry.promote("1", "better in shadow")
    assert facts()[2:] == [("promote", "2", "1", "better in shadow"),
                           ("end-challenge", "1", "", "promoted")]


def test_what_failed_is_no_change(register, monkeypatch, capsys):
    register()
    with monkeypatch.context() as patch:
        patch.setenv("FRAUD_MODEL", "/proc/models")
        with pytest.raises(TrainingError):
            Registry().promote("1", "first")
    assert facts() == []
    assert ran(capsys, "history") == "nothing was changed yet\n"


def test_the_policy_of_a_version_that_does_not_serve_names_no_published_file(register, policy):
    Registry().promote(register(2), "first")
    Registry().change_policy("1", policy("1.2", 0.9), "for later")
    change = Registry().history()[-1]
    assert (change.model_version, change.file) == ("1", "")


def test_rules_in_a_folder_of_their_own_are_in_the_history_too(register, place, monkeypatch,
                                                               capsys):
    (place / "rules.toml").write_text(TOML)
    monkeypatch.setenv("FRAUD_RULES", "elsewhere")
    Registry().promote(register(), "first")
    ran(capsys, "rules", "--rules", "rules.toml", "--reason", "a wave")
    assert [action for action, *_ in facts()] == ["promote", "rules"]
