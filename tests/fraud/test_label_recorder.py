"""Labels on every store: a fraud counts once, whatever is repeated."""

import random

import msgspec
import pytest
from prometheus_client import REGISTRY

from fraud.clock import DAY_MS, now_ms
from fraud.history import KnownFraud, StoreUnavailable
from fraud.label_recorder import LabelOutcome, LabelRecorder
from fraud.labels import InvalidLabel, Label
from fraud.logs import LabelLogError
from fraud.pseudonym import pseudonym, with_pseudonyms
from fraud.settings import Settings
from fraud.stores.memory import MemoryStore
from fraud.training.label_table import read_label_table
from fraud.training.parity.recount import recounted
from fraud.windows import COUNT_NAMES
from tests.factories import NOON, payment

KEY = b"key"
C1, C2, C3 = (pseudonym(KEY, name) for name in ("C1", "C2", "C3"))


@pytest.fixture
def log(tmp_path):
    return tmp_path / "labels.jsonl"


@pytest.fixture
def recorder(store, log):
    return LabelRecorder(store, KEY, Settings(label_log=str(log)))


def label(transaction_id: str = "a", is_fraud: int = 1, **changes) -> Label:
    return Label(transaction_id, is_fraud, **{"label_time": NOON, **changes})


def claim(store, *payments) -> list:
    return store.claim([with_pseudonyms(KEY, each) for each in payments], NOON)


def frauds(store, origin: str, destination: str = "new") -> dict[str, int]:
    """The known frauds that a payment between two accounts sees, without those that are 0."""
    [result] = claim(store, payment(f"seen-{random.random()}", NOON, origin=origin,
                                    destination=destination))
    return {name: value for name, value in zip(COUNT_NAMES, result.counts, strict=True)
            if "_frauds_" in name and value}


def outcomes() -> dict[str, float]:
    names = ("counted", "repeated", "unknown", "legitimate")
    return {name: REGISTRY.get_sample_value("fraud_labels_total", {"outcome": name}) or 0.0
            for name in names}


SENT = {"origin_frauds_sent_week": 1, "origin_frauds_sent_month": 1}
RECEIVED = {"origin_frauds_received_week": 1, "origin_frauds_received_month": 1}


@pytest.mark.parametrize("accounts", [
    {}, {"origin": "C1", "destination": "C2"},
    {"origin_pseudonym": C1, "destination_pseudonym": C2}])
def test_a_fraud_counts_once_on_the_accounts_of_the_label_or_of_its_payment(
        store, recorder, log, accounts):
    before = outcomes()
    claim(store, payment("a"))
    assert recorder.record([label(**accounts)]) == LabelOutcome(1, 1, [])
    assert recorder.record([label(**accounts), label(**accounts)]) == LabelOutcome(2, 0, [])
    assert (frauds(store, "C1"), frauds(store, "C2")) == (SENT, RECEIVED)
    line = {"transaction_id": "a", "is_fraud": 1, "label_time": NOON, "origin_pseudonym": C1,
            "destination_pseudonym": C2}
    assert [msgspec.json.decode(text) for text in log.read_bytes().splitlines()] == [line] * 3
    assert {name: value - before[name] for name, value in outcomes().items()} == {
        "counted": 1, "repeated": 2, "unknown": 0, "legitimate": 0}


def test_the_accounts_of_the_label_are_preferred_to_those_of_the_payment(store, recorder):
    claim(store, payment("a"))
    recorder.record([label(origin="C3")])
    assert (frauds(store, "C3"), frauds(store, "C1"), frauds(store, "C2")) == (SENT, {}, {})


def test_a_label_of_unknown_accounts_is_kept_and_counts_once_they_are_known(store, recorder, log):
    before = outcomes()
    given = [label("a"), label("b", 0), label("c", origin="C3")]
    assert recorder.record(given) == LabelOutcome(3, 1, ["a"])
    assert read_label_table(log)["transaction_id"].tolist() == ["a", "b", "c"]
    assert {name: value - before[name] for name, value in outcomes().items()} == {
        "counted": 1, "repeated": 0, "unknown": 1, "legitimate": 1}
    claim(store, payment("a"))
    assert recorder.record(given) == LabelOutcome(3, 1, [])
    assert frauds(store, "C1") == SENT


def test_a_label_of_0_counts_nothing_and_takes_nothing_back(store, recorder):
    claim(store, payment("a"))
    recorder.record([label(), label(is_fraud=0, label_time=NOON + 1)])
    assert recorder.record([label(label_time=NOON + 2)]) == LabelOutcome(1, 0, [])
    assert frauds(store, "C1") == SENT


def test_no_labels_are_no_work(recorder):
    assert recorder.record([]) == LabelOutcome(0, 0, [])


def test_labels_sent_twice_and_out_of_order_count_as_the_recount_says(store, recorder):
    chance = random.Random(7)
    payments = [payment(f"t{index}", NOON + index * DAY_MS // 8, origin=f"C{chance.randrange(9)}",
                        destination=f"C{chance.randrange(9)}") for index in range(200)]
    labels = [label(each.transaction_id, label_time=each.event_time + chance.randrange(2 * DAY_MS))
              for each in payments]
    events = []         # what counts, in the order in which it came
    labelled: set[str] = set()

    def send(*given: Label) -> None:
        for each in given:
            recorder.record([each])
            accounts = with_pseudonyms(KEY, payments[int(each.transaction_id[1:])])
            if each.transaction_id not in labelled:
                events.append(KnownFraud(each.transaction_id, each.label_time, accounts.origin,
                                         accounts.destination))
            labelled.add(each.transaction_id)

    claimed = []
    for index, each in enumerate(payments):
        claimed += claim(store, each)
        events.append(with_pseudonyms(KEY, each))
        send(*chance.sample(labels[:index + 1], 1))
        claim(store, *payments[max(0, index - 3):index + 1])       # repeats
        send(*chance.sample(labels[:index + 1], 1))
    send(*chance.sample(labels, 200), *chance.sample(labels, 200))
    last = [payment(f"last{index}", payments[-1].event_time + 2 * DAY_MS, origin=f"C{index}",
                    destination=f"C{(index + 1) % 9}") for index in range(9)]
    claimed += claim(store, *last)
    events += [with_pseudonyms(KEY, each) for each in last]
    assert [each.counts for each in claimed] == list(recounted(events))
    assert claimed[-1].counts[COUNT_NAMES.index("origin_frauds_sent_month")] > 10


class FailingStore(MemoryStore):
    """A store that does not answer at first."""

    failing = True

    def label(self, frauds):
        if self.failing:
            raise StoreUnavailable("it failed")
        return super().label(frauds)


def test_labels_that_failed_may_be_recorded_again(log):
    store = FailingStore(10 ** 9, 100, 10_000)
    recorder = LabelRecorder(store, KEY, Settings(label_log=str(log)))
    claim(store, payment("a"))
    with pytest.raises(StoreUnavailable, match="it failed"):
        recorder.record([label()])
    assert not log.exists()
    store.failing = False
    log.mkdir()
    with pytest.raises(LabelLogError, match=r"FRAUD_LABEL_LOG is '.*': cannot be written \(Is a"):
        recorder.record([label()])
    log.rmdir()
    assert recorder.record([label()]) == LabelOutcome(1, 0, [])
    assert len(log.read_bytes().splitlines()) == 1 and frauds(store, "C1") == SENT


def test_a_label_ahead_of_the_clock_is_refused_except_in_a_replay():
    store, ahead = MemoryStore(1, 1, 1_000), now_ms() + 600_000
    body = msgspec.json.encode(label(label_time=ahead))
    with pytest.raises(InvalidLabel, match=f"label_time is {ahead}, .* later than the clock"):
        LabelRecorder(store, KEY, Settings()).parse(body)
    assert LabelRecorder(store, KEY, Settings(clock="event")).parse(body).label_time == ahead
