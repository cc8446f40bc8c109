"""Nothing that was given to the outbox is lost, and what is refused holds up nothing."""

import pytest
from sqlalchemy import select

from desk import outbox
from desk.outbox import Outbox
from desk.sinks import DeliveryError
from desk.tables import Case, Delivery
from tests.desk.running import NOW, decision, write_log


class Receiver:
    """A sink that takes entries, is away, or refuses some of them."""

    def __init__(self) -> None:
        self.taken, self.refused, self.away = [], set(), False

    def send(self, entries) -> None:
        if self.away:
            raise DeliveryError("away")
        if self.refused.intersection(entry.body for entry in entries):
            raise DeliveryError("refused", True)
        self.taken += [entry.body for entry in entries]

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def labels(database, receiver):
    return Outbox(database, "label", receiver)


@pytest.fixture(autouse=True)
def entries(intake, database, tmp_path):
    write_log(tmp_path / "decisions.jsonl", decision())
    intake.read()
    with database.writing() as session:
        [case] = session.scalars(select(Case))
        session.add_all(Delivery(case_id=case.id, kind="label", body=body, send_from=send_from)
                        for body, send_from in (("a", 0), ("b", 0), ("c", NOW + 3_600_000)))
        session.add(Delivery(case_id=case.id, kind="label", body="d", send_from=0, cancelled_at=1))


def test_what_is_due_and_not_cancelled_is_sent_once(labels, receiver):
    assert (labels.send(), labels.send()) == (2, 0)
    assert receiver.taken == ["a", "b"]


def test_a_receiver_that_is_away_gets_it_later(labels, receiver, database):
    receiver.away = True
    with pytest.raises(DeliveryError):
        labels.send()
    assert outbox.problem(database) == (2, "away")
    receiver.away = False
    assert labels.send() == 2
    assert (receiver.taken, outbox.problem(database)) == (["a", "b"], None)


def test_one_that_is_refused_does_not_hold_up_the_others(labels, receiver, database):
    receiver.refused = {"a"}
    with pytest.raises(DeliveryError):
        labels.send()
    assert receiver.taken == ["b"]
    assert outbox.problem(database) == (1, "refused")


def test_after_a_kill_between_sending_and_noting_it_is_sent_again(labels, receiver, monkeypatch):
    monkeypatch.setattr(labels, "_finish", lambda entries: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        labels.send()
    monkeypatch.undo()
    assert labels.send() == 2
    assert receiver.taken == ["a", "b"] * 2
