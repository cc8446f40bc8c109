import msgspec
import pytest
from prometheus_client import REGISTRY

from fraud import bundle, metrics
from fraud.decision import Answered, Decision
from fraud.history import StoreMemory, StoreUnavailable
from fraud.stores.memory import MemoryStore
from tests.factories import NOON, payment

DECISION = Decision(
    decided_at=0, transaction_id="t", event_time=0, type="TRANSFER", amount_cents=12_345,
    origin="", destination="", origin_balance_cents=0, destination_balance_cents=0, history="full",
    unknown_windows=[],
    late=False, store_sequence=1, recording_since=0, counts=None, features=[], score=0.9,
    decision="review", reasons=[], idempotent=True, model_digest="", model_version="1",
    policy_digest="", policy_version="1.1", thresholds=bundle.Thresholds(0.5, 0.95))


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_money_is_counted_by_decision_once_each():
    before = value("fraud_amount_total", decision="review")
    declined = value("fraud_amount_total", decision="decline")
    repeat = Answered(b"", None)
    metrics.observe([Answered(b"", DECISION), repeat])
    assert value("fraud_amount_total", decision="review") - before == pytest.approx(123.45)
    assert value("fraud_amount_total", decision="decline") == declined


def test_a_series_is_the_same_by_child_and_by_labels():
    review = metrics.child(metrics.AMOUNTS, "review")
    assert review is metrics.child(metrics.AMOUNTS, "review") is metrics.AMOUNTS.labels("review")
    assert review is not metrics.child(metrics.AMOUNTS, "decline")


def test_the_start_of_the_training_of_the_serving_model_is_published(tmp_path, make_bundle):
    make_bundle(tmp_path / "one", trained_at=1_704_103_200_000)
    make_bundle(tmp_path / "two", version="2", trained_at=1_704_103_500_000)
    first, second = (bundle.load(tmp_path / name) for name in ("one", "two"))
    metrics.name_model(first)
    assert value("fraud_model_trained_timestamp_seconds") == 1_704_103_200
    metrics.name_model(second, first)
    assert value("fraud_model_trained_timestamp_seconds") == 1_704_103_500


def test_a_bundle_without_the_start_of_its_training_publishes_zero(tmp_path, make_bundle):
    make_bundle(tmp_path)
    path = tmp_path / bundle.MANIFEST_FILE
    manifest = msgspec.json.decode(path.read_bytes())
    del manifest["trained_at"]
    path.write_bytes(msgspec.json.encode(manifest))
    metrics.name_model(bundle.load(tmp_path))
    assert value("fraud_model_trained_timestamp_seconds") == 0


class FullStore(MemoryStore):
    def memory(self) -> StoreMemory:
        return StoreMemory(used=90, limit=100)


class DeadStore(MemoryStore):
    def memory(self) -> StoreMemory:
        raise StoreUnavailable("Redis: no answer")


def test_the_memory_of_a_store_is_published_and_kept_while_it_does_not_answer():
    for kind in (FullStore, DeadStore, MemoryStore):
        metrics.measure_memory(metrics.TimedStore(kind(id_ttl_ms=1, max_ids=1, max_accounts=1)))
        assert value("fraud_history_memory_bytes") == 90
        assert value("fraud_history_memory_limit_bytes") == 100


def test_claims_and_finishes_of_a_timed_store_are_timed():
    store = metrics.TimedStore(MemoryStore(id_ttl_ms=1_000, max_ids=10, max_accounts=10))
    before = {trip: value("fraud_history_seconds_count", trip=trip) for trip in ("claim", "finish")}
    store.fill([], 7, NOON)
    claims = store.claim([payment("a")], NOON)
    assert claims[0].recording_since == 7
    assert store.finish(claims, [b"yes"]) == [b"yes"]
    assert store.answer("a") == b"yes"
    store.close()
    for trip in ("claim", "finish"):
        assert value("fraud_history_seconds_count", trip=trip) == before[trip] + 1


def test_a_trip_that_fails_is_timed_and_counted():
    class Unavailable:
        def claim(self, payments, now):
            raise StoreUnavailable("down")

    errors = value("fraud_history_errors_total", trip="claim")
    seconds = value("fraud_history_seconds_count", trip="claim")
    with pytest.raises(StoreUnavailable):
        metrics.TimedStore(Unavailable()).claim([], NOON)
    assert value("fraud_history_errors_total", trip="claim") == errors + 1
    assert value("fraud_history_seconds_count", trip="claim") == seconds + 1
