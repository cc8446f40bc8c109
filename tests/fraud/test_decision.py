import msgspec
import pytest

from fraud.bundle import Thresholds
from fraud.decision import Answer, Decision, answered, kept_decision
from fraud.reasons import Reason
from tests.factories import NOON, payment

LEVELS = Thresholds(0.5, 0.9)
REASONS = [Reason(code, "a sentence", 1.5, {"amount": 100.0}, {"amount": 20.0})
           for code in ("list:review", "amount-against-balance", "rule:large")]
ANSWER = Answer("t-1", 0.75, "review", "rule", LEVELS, REASONS, "partial", ["month"], True, False,
                "3", "3.1", "7")


def test_an_answer_has_the_fields_of_its_decision():
    decision = Decision(
        NOON + 5, "t-1", NOON, "TRANSFER", 100_00, "C1", "C2", None, None, "partial", ["month"],
        True, 12, 0, None, [], 0.75, "review", REASONS, False, "m" * 64, "3", "p" * 64, "3.1",
        LEVELS, "rule", rules_version="7")
    body, logged = answered(decision)
    assert msgspec.json.decode(body, type=Answer) == ANSWER
    assert logged is decision


@pytest.mark.parametrize("given", [
    payment(), payment(destination=None, origin_balance_cents=None, destination_balance_cents=5)])
def test_the_line_of_a_kept_answer_has_what_answer_and_payment_tell(given):
    decision = kept_decision(given, msgspec.json.encode(ANSWER), NOON + 5)
    assert decision == Decision(
        decided_at=NOON + 5, transaction_id="t-1", event_time=NOON, type="TRANSFER",
        amount_cents=100_00, origin="C1", destination=given.destination,
        origin_balance_cents=given.origin_balance_cents,
        destination_balance_cents=given.destination_balance_cents, history="partial",
        unknown_windows=["month"], late=True, store_sequence=None, recording_since=None,
        counts=None, features=[], score=0.75, decision="review", reasons=REASONS,
        idempotent=False, model_digest="", model_version="3", policy_digest="",
        policy_version="3.1", thresholds=LEVELS, decided_by="rule",
        applied=["list:review", "rule:large"], rules_version="7")
