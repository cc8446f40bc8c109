"""Decisions happen once, leave a label, and can be undone while it is here."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest
from sqlalchemy import select

from desk import deciding, worklist
from desk.deciding import DecidingError
from desk.tables import Case, Delivery, TrailEntry
from tests.desk.running import NOW, account, decision, write_log

MINUTE = 60_000


@pytest.fixture(autouse=True)
def three_cases(intake, tmp_path):
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", amount_cents=number * 1_000_00) for number in (1, 2, 3)))
    intake.read()


def decide(database, settings, person, ids, outcome="fraud", now=NOW) -> list[int]:
    with database.writing() as session:
        return deciding.decide(session, settings, person, ids, outcome, "a note", now)


def waiting(database) -> list[dict]:
    with database.reading() as session:
        return [msgspec.json.decode(each.body) for each in session.scalars(
            select(Delivery).where(Delivery.cancelled_at.is_(None)).order_by(Delivery.id))]


def case(database, number: int) -> Case:
    with database.reading() as session:
        return session.get(Case, number)


def test_a_decision_leaves_a_label_and_a_trail(database, settings, ana):
    assert decide(database, settings, ana, [1]) == [1]
    assert waiting(database) == [{
        "transaction_id": "t-1", "is_fraud": 1, "label_time": NOW, "source": "desk",
        "origin_pseudonym": account("C1"), "destination_pseudonym": account("C2")}]
    with database.reading() as session:
        [entry] = session.scalars(select(TrailEntry).where(TrailEntry.action == "decided"))
    assert (entry.person, entry.case_id, entry.detail) == ("ana", 1, "fraud: a note")


def test_a_case_is_decided_once(database, settings, ana, ben):
    decide(database, settings, ana, [1])
    assert decide(database, settings, ben, [1], "legitimate") == []
    assert decide(database, settings, ana, [1], "legitimate") == []
    assert len(waiting(database)) == 1


def test_a_case_that_somebody_else_has_taken_is_not_decided(database, settings, ana, ben):
    with database.writing() as session:
        worklist.take(session, settings, ben, 2, NOW)
    assert decide(database, settings, ana, [1, 2, 3]) == [1, 3]
    assert case(database, 2).status == "open"


def test_frauds_of_an_incident_have_its_id(database, settings, ana):
    decide(database, settings, ana, [3, 1])
    assert {label["incident_id"] for label in waiting(database)} == {"desk-1"}


def test_unsure_leaves_no_label(database, settings, ana):
    assert decide(database, settings, ana, [1], "unsure") == [1]
    assert waiting(database) == []


@pytest.mark.parametrize(("outcome", "note"), [("maybe", ""), ("fraud", "x" * 2_001)])
def test_a_decision_that_cannot_be_made_is_an_error(database, settings, ana, outcome, note):
    with pytest.raises(DecidingError), database.writing() as session:
        deciding.decide(session, settings, ana, [1], outcome, note, NOW)


def test_undo_takes_back_the_label(database, settings, ana):
    decide(database, settings, ana, [1, 2])
    with database.writing() as session:
        deciding.undo(session, settings, ana, [1, 2], NOW + MINUTE - 1)
    assert waiting(database) == []
    assert case(database, 1).status == "open"
    assert decide(database, settings, ana, [1], "legitimate", NOW + MINUTE) == [1]
    assert [label["is_fraud"] for label in waiting(database)] == [0]


def test_undo_is_refused_after_its_time_and_to_others_and_then_nothing_changes(
        database, settings, ana, ben):
    decide(database, settings, ana, [1])
    decide(database, settings, ana, [2], now=NOW + MINUTE)
    for person, now in ((ben, NOW), (ana, NOW + MINUTE + 1)):
        with pytest.raises(DecidingError), database.writing() as session:
            deciding.undo(session, settings, person, [2, 1], now)
    assert [case(database, number).status for number in (1, 2)] == ["closed", "closed"]
    assert len(waiting(database)) == 2


def test_a_label_that_is_leaving_cannot_be_undone(database, settings, ana):
    decide(database, settings, ana, [1])
    with database.writing() as session:
        session.scalars(select(Delivery)).one().attempts = 1
    with pytest.raises(DecidingError, match="leaving"), database.writing() as session:
        deciding.undo(session, settings, ana, [1], NOW + 1)


def test_a_large_amount_needs_a_second_person(database, settings, ana, ben):
    settings = msgspec.structs.replace(settings, desk_four_eyes_amount=2_000)
    decide(database, settings, ana, [1, 2])
    assert [case(database, number).status for number in (1, 2)] == ["closed", "second"]
    assert len(waiting(database)) == 1
    with pytest.raises(DecidingError), database.writing() as session:
        deciding.answer_proposal(session, settings, ana, 2, "fraud", True, NOW)
    with database.writing() as session:
        deciding.answer_proposal(session, settings, ben, 2, "fraud", True, NOW + MINUTE)
    assert [label["label_time"] for label in waiting(database)] == [NOW, NOW + MINUTE]
    assert case(database, 2).confirmed_by == ben.id


def test_an_incident_keeps_its_id_for_the_second_person(database, settings, ana, ben):
    settings = msgspec.structs.replace(settings, desk_four_eyes_amount=2_000)
    decide(database, settings, ana, [1, 2, 3])
    with database.writing() as session:
        deciding.answer_proposal(session, settings, ben, 2, "fraud", True, NOW)
        deciding.answer_proposal(session, settings, ben, 3, "fraud", False, NOW)
    assert [label["incident_id"] for label in waiting(database)] == ["desk-1", "desk-1"]
    assert [case(database, number).incident_id for number in (2, 3)] == ["desk-1", None]


def test_a_second_person_who_disagrees_puts_the_case_back(database, settings, ana, ben):
    settings = msgspec.structs.replace(settings, desk_four_eyes_amount=2_000)
    decide(database, settings, ana, [2])
    with database.writing() as session:
        deciding.answer_proposal(session, settings, ben, 2, "fraud", False, NOW)
    assert (case(database, 2).status, case(database, 2).outcome) == ("open", None)
    assert waiting(database) == []


def test_a_second_person_agrees_only_with_the_proposal_that_was_read(
        database, settings, ana, ben):
    settings = msgspec.structs.replace(settings, desk_four_eyes_amount=2_000)
    decide(database, settings, ana, [2])
    with database.writing() as session:
        deciding.undo(session, settings, ana, [2], NOW + 1)
    decide(database, settings, ana, [2], "legitimate", NOW + 2)
    with pytest.raises(DecidingError, match="changed"), database.writing() as session:
        deciding.answer_proposal(session, settings, ben, 2, "fraud", True, NOW + 3)
    assert (case(database, 2).status, waiting(database)) == ("second", [])


# From a state and an action of the trail to the next state.
STATES = {("open", "proposed"): "second", ("second", "agreed"): "closed",
          ("second", "disagreed"): "open", ("second", "undone"): "open",
          ("closed", "undone"): "open", ("closed", "reopened"): "open"}


def test_actions_of_several_people_at_once_happen_one_after_the_other(
        database, settings, ana, ben):
    settings = msgspec.structs.replace(settings, desk_four_eyes_amount=2_000)

    def act(seed: int) -> None:
        chance, person = random.Random(seed), (ana, ben)[seed % 2]
        for _ in range(60):
            outcome = chance.choice(("fraud", "legitimate"))
            with suppress(DecidingError), database.writing() as session:
                match chance.randrange(4):
                    case 0:
                        deciding.decide(session, settings, person, [2], outcome, "", NOW)
                    case 1:
                        deciding.undo(session, settings, person, [2], NOW + 1)
                    case 2:
                        deciding.answer_proposal(session, settings, person, 2, outcome,
                                                 chance.random() < 0.7, NOW)
                    case _:
                        deciding.reopen(session, person, 2)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    with database.reading() as session:
        entries = session.scalars(select(TrailEntry).where(TrailEntry.case_id == 2)
                                  .order_by(TrailEntry.id)).all()
    state, labels = "open", 0
    for entry in entries:
        labels = 0 if entry.action == "undone" else labels + (entry.action == "agreed")
        state = STATES[state, entry.action]
    assert state == case(database, 2).status
    assert {"proposed", "undone"} <= {entry.action for entry in entries}
    assert len(waiting(database)) == labels
    if state == "closed":
        assert waiting(database)[-1]["is_fraud"] == (case(database, 2).outcome == "fraud")


def test_a_reopened_case_gets_a_later_label(database, settings, ana):
    decide(database, settings, ana, [1])
    with database.writing() as session:
        deciding.reopen(session, ana, 1)
    decide(database, settings, ana, [1], "legitimate", NOW + MINUTE)
    assert [(label["is_fraud"], label["label_time"]) for label in waiting(database)] == [
        (1, NOW), (0, NOW + MINUTE)]


@pytest.mark.parametrize("second", ["legitimate", "unsure"])
def test_undo_of_a_reopened_case_leaves_its_earlier_label(database, settings, ana, second):
    decide(database, settings, ana, [1])
    with database.writing() as session:
        deciding.reopen(session, ana, 1)
    decide(database, settings, ana, [1], second, NOW + 10)
    with database.writing() as session:
        deciding.undo(session, settings, ana, [1], NOW + 20)
    assert [(label["is_fraud"], label["label_time"]) for label in waiting(database)] == [(1, NOW)]


def test_a_reviewed_payment_leaves_an_event_where_a_webhook_is_set(database, settings, ana):
    settings = msgspec.structs.replace(settings, desk_webhook="http://caller/")
    decide(database, settings, ana, [1], "legitimate")
    event = waiting(database)[1]
    assert event["data"] == {"transaction_id": "t-1", "outcome": "legitimate", "release": True}
    assert (event["id"], event["specversion"]) == (f"1-{NOW}", "1.0")
