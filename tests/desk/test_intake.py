"""Each payment is taken in once, with its case, whatever is repeated or broken."""

from contextlib import closing

import msgspec
import pytest
from sqlalchemy import func, select

from desk.database import Database
from desk.intake import Intake, logged_decision
from desk.settings import read_desk_settings
from desk.tables import Case, DecidedPayment
from tests.desk.running import decision, write_log


def counts(database: Database) -> tuple[int, int]:
    """Payments and cases."""
    with database.reading() as session:
        return tuple(session.scalar(select(func.count()).select_from(table))
                     for table in (DecidedPayment, Case))


@pytest.fixture
def log(tmp_path):
    return tmp_path / "decisions.jsonl"


def test_a_review_is_a_case_with_its_expected_loss(intake, database, log):
    write_log(log, decision("t-1", applied=["rule:night", "list:deny"]),
              decision("t-2", decision="approve", shadow=None))
    assert intake.read() == 2
    with database.reading() as session:
        [case] = session.scalars(select(Case))
        assert (case.transaction_id, case.kind, case.status) == ("t-1", "review", "open")
        assert (case.expected_loss, case.rules) == (50.0, ",rule:night,list:deny,")
        assert case.due_at - case.opened_at == 24 * 3_600_000
        assert logged_decision(case.payment) == decision(
            "t-1", applied=["rule:night", "list:deny"])


def test_it_goes_on_where_it_stopped_and_repeats_change_nothing(intake, settings, database, log):
    write_log(log, *(decision(f"t-{number}") for number in range(700)))
    assert intake.read() == 700
    write_log(log, decision("t-5"), decision("t-700"), decision("t-700"))
    assert Intake(settings, database).read() == 3
    assert counts(database) == (701, 701)


def test_a_line_that_is_no_decision_is_left_out(intake, database, log):
    log.write_bytes(b'not json\n{"transaction_id": "t"}\n\xff\xfe\n'
                    + msgspec.json.encode(decision("t-1")) + b"\n")
    assert intake.read() == 4
    assert counts(database) == (1, 1)


@pytest.mark.parametrize("damage", [
    (b'"amount_cents":10000', b'"amount_cents":1' + b"0" * 30),
    (b'"decided_at":', b'"decided_at":9'),
    (b'"origin":', b'"deep":' + b"[" * 3_000 + b"]" * 3_000 + b',"origin":')],
    ids=["large", "distant", "deep"])
def test_a_damaged_line_does_not_hold_up_those_after_it(intake, database, log, damage):
    line = msgspec.json.encode(decision("t-2"))
    damaged = line.replace(*damage)
    assert damaged != line
    lines = [msgspec.json.encode(decision("t-1")), damaged, msgspec.json.encode(decision("t-3"))]
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert intake.read() == 3
    assert counts(database) == (2, 2)


def test_a_share_of_approvals_and_declines_is_sampled(database, settings, log):
    settings = msgspec.structs.replace(settings, desk_sample_share=0.2)
    write_log(log, *(decision(f"t-{number}", decision=("approve", "decline")[number % 2])
                     for number in range(2_000)))
    Intake(settings, database).read()
    with database.reading() as session:
        kinds = dict(session.execute(select(Case.kind, func.count()).group_by(Case.kind)).all())
    assert kinds.keys() == {"approve", "decline"}
    assert all(150 < count < 250 for count in kinds.values())


def test_a_batch_that_fails_is_read_again(intake, database, log, monkeypatch):
    write_log(log, *(decision(f"t-{number}") for number in range(1_200)))
    add, calls = intake.add, []

    def fail_once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("the disk is full")
        add(*arguments)

    monkeypatch.setattr(intake, "add", fail_once)
    with pytest.raises(OSError):
        intake.read()
    intake.read()
    assert counts(database) == (1_200, 1_200)


@pytest.mark.slow
def test_a_topic_is_read_and_goes_on_where_it_stopped(broker, database):
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    with KafkaAdminClient(bootstrap_servers=broker) as admin:
        topic = f"decision-log-{database.engine.dialect.name}"
        admin.create_topics([NewTopic(topic, 2, 1)])
    settings = read_desk_settings({"FRAUD_BROKERS": broker,
                                   "FRAUD_DESK_DECISIONS": f"kafka:{topic}"})

    def send(*numbers: int) -> None:
        with KafkaProducer(bootstrap_servers=broker) as producer:
            for number in numbers:
                producer.send(topic, msgspec.json.encode(decision(f"t-{number}")),
                              partition=number % 2)
            producer.flush()

    def read() -> int:
        with closing(Intake(settings, database)) as intake:
            return intake.read()

    send(*range(20))
    assert read() == 20
    send(20, 21, 22)
    assert read() == 3
    assert counts(database) == (23, 23)
