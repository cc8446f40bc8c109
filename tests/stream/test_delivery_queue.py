import sqlite3

import pytest

from fraud.settings import SettingsError
from fraud.webhooks import EncodedEvent
from stream.delivery_queue import DeliveryQueue
from stream.log_follower import LogPosition

EVENTS = [EncodedEvent(f"e-{number}", b"body %d" % number) for number in range(4)]
PLACE = LogPosition("ab", 3, 17)


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "webhook.db")


@pytest.fixture
def queue(path):
    queue = DeliveryQueue(path)
    yield queue
    queue.close()


def test_events_leave_in_their_order(queue):
    queue.add(EVENTS[:2], "log", PLACE)
    queue.add(EVENTS[1:3], "log", PLACE)        # one waits already
    left = []
    while queued := queue.first():
        left.append(queued.event)
        queue.remove(queued.number)
    assert left == EVENTS[:3] and len(queue) == 0


def test_events_and_position_are_kept(path, queue):
    assert queue.position("log") == LogPosition()
    queue.add(EVENTS, "log", PLACE)
    queue.close()
    again = DeliveryQueue(path)
    assert (len(again), again.position("log"), again.position("other")) == (
        4, PLACE, LogPosition())
    again.close()


def test_a_failure_keeps_neither_events_nor_position(queue):
    with pytest.raises(sqlite3.Error):
        queue.add([EVENTS[0], EncodedEvent(object(), b"")], "log", PLACE)
    assert len(queue) == 0 and queue.position("log") == LogPosition()


def test_refused_events_are_set_aside_up_to_a_limit_and_queued_again(queue):
    queue.add(EVENTS, "log", PLACE)
    for _ in range(3):
        queue.set_aside(queue.first().number, "400 no", limit=2)
    assert len(queue) == 1 and queue.first().event == EVENTS[3]
    assert queue.requeue_refused() == 2
    assert len(queue) == 3 and queue.requeue_refused() == 0


def test_a_second_process_is_refused(path, queue):
    queue.add(EVENTS, "log", PLACE)
    with pytest.raises(SettingsError, match="FRAUD_WEBHOOK_QUEUE is .* cannot be used .*locked"):
        DeliveryQueue(path)


@pytest.mark.parametrize("content", [b"not a database" * 100, None])
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "queue"
    path.write_bytes(content) if content else path.mkdir()
    with pytest.raises(SettingsError, match=f"FRAUD_WEBHOOK_QUEUE is '{path}', which cannot be"):
        DeliveryQueue(str(path))
