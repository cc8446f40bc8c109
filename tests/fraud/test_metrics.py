import msgspec
from prometheus_client import REGISTRY

from fraud import bundle, metrics
from fraud.scorer import Answered, Decision

DECISION = Decision(
    decided_at=0, transaction_id="t", event_time=0, type="TRANSFER", amount_cents=12_345,
    origin="", destination="", origin_balance_cents=0, destination_balance_cents=0, history="full",
    late=False, sequence=1, recording_since=0, counts=None, features=[], score=0.9,
    decision="review", reasons=[], idempotent=True, model_digest="", model_version="1",
    policy_digest="", policy_version="1.1", thresholds=bundle.Thresholds(0.5, 0.95))


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_money_is_counted_by_decision_once_each():
    before = value("fraud_amount_total", decision="review")
    declined = value("fraud_amount_total", decision="decline")
    repeat = Answered(b"", None)
    metrics.observe([Answered(b"", DECISION), repeat])
    assert value("fraud_amount_total", decision="review") - before == 123.45
    assert value("fraud_amount_total", decision="decline") == declined


def test_the_age_of_the_model_that_serves_is_told(tmp_path, make_bundle):
    make_bundle(tmp_path / "one", trained_at=1_704_103_200_000)
    make_bundle(tmp_path / "two", version="2", trained_at=1_704_103_500_000)
    one, two = (bundle.load(tmp_path / name) for name in ("one", "two"))
    metrics.name_model(one)
    assert value("fraud_model_trained_timestamp_seconds") == 1_704_103_200
    metrics.name_model(two, one)
    assert value("fraud_model_trained_timestamp_seconds") == 1_704_103_500


def test_a_bundle_that_does_not_say_when_it_was_trained_has_no_age(tmp_path, make_bundle):
    make_bundle(tmp_path)
    path = tmp_path / bundle.MANIFEST_FILE
    told = msgspec.json.decode(path.read_bytes())
    del told["trained_at"]
    path.write_bytes(msgspec.json.encode(told))
    metrics.name_model(bundle.load(tmp_path))
    assert value("fraud_model_trained_timestamp_seconds") == 0
