import msgspec
import pytest

from fraud.bundle import Thresholds
from fraud.clock import DAY_MS
from fraud.decision import Decision
from fraud.features import DEFAULT
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, RuleSet
from fraud.training.errors import TrainingError
from fraud.training.registry import publication
from fraud.training.registry.backtest import Hits, backtest, of_files, report

NOW = 1_704_103_200_000
LARGE = Rule("large", "decline", "why", "ana", (Condition("amount", ">=", 100.0),), dry_run=True)
NEVER = Rule("never", "review", "why", "ana", (Condition("amount", "<", 0.0),))
MULE = ListEntry("cd" * 16, "review", "a mule", "ana")
RULES = RuleSet(1, NOW, "ana", "", (LARGE, NEVER), (MULE,))


def decision(name: str, amount: float, made: str = "approve", day: int = 0, **changes) -> Decision:
    values = {
        "decided_at": NOW, "history": "full", "unknown_windows": [], "late": False,
        "store_sequence": None, "recording_since": None, "counts": None, "score": 0.5,
        "idempotent": True, "model_digest": "", "model_version": "1", "policy_digest": "",
        "policy_version": "1.1",
        "thresholds": Thresholds(0.5, 0.9), "transaction_id": name,
        "event_time": NOW + day * DAY_MS, "type": "TRANSFER",
        "amount_cents": round(100 * amount), "origin": "ab" * 16, "destination": "ef" * 16,
        "origin_balance_cents": None, "destination_balance_cents": None, "reasons": [],
        "features": [None] * len(DEFAULT.names), "decision": made, **changes}
    return Decision(**values)


LOG = [
    decision("a", 500.0), decision("b", 200.0), decision("c", 50.0), decision("d", 900.0, "review"),
    decision("e", 70.0, destination="cd" * 16, day=2), decision("a", 500.0),
    decision("f", 300.0, "decline", model_decision="approve")]
LABELS = {"a": 1, "b": 0, "d": 1, "e": 0, "f": 1}


def test_hits_are_what_the_model_alone_let_pass():
    result = backtest(RULES, DEFAULT, LOG, LABELS, NOW)
    assert result.hits == {
        "list:review": Hits(1, 0, 0, 0.0, 1, 70.0),
        "rule:large": Hits(4, 1, 2, 800.0, 1, 200.0), "rule:never": Hits()}
    assert (result.payments, result.labelled, result.days) == (6, 5, 2.0)
    assert result.model == {"approve": 5, "review": 1, "decline": 0}
    assert result.together == {"approve": 1, "review": 1, "decline": 4}


def test_the_report_has_a_line_each_and_the_load_on_reviewers():
    lines = report(backtest(RULES, DEFAULT, LOG, LABELS, NOW)).splitlines()
    assert lines[0] == "6 payments in 2.0 days, 5 of them labelled"
    [large] = [line.split() for line in lines if line.startswith("rule:large")]
    assert large == ["rule:large", "2.0", "25%", "2", "800.00", "1", "200.00"]
    assert [line.split()[-2:] for line in lines[-2:]] == [["0.5", "0.0"], ["0.5", "2.0"]]


def test_a_log_without_decisions_is_an_error():
    with pytest.raises(TrainingError, match="hold no decision"):
        backtest(RULES, DEFAULT, [], {}, NOW)


def test_files_are_read_and_rules_checked(place, make_bundle):
    make_bundle(place / "1", version="1")
    publication.publish(place / "1", "fraud-detector", "models")
    (place / "log").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in LOG))
    (place / "labels.csv").write_text(
        "transaction_id,is_fraud,label_time\na,0,1\na,1,2\nb,0,1\n")
    result = of_files(RULES, ["log"], place / "labels.csv")
    assert result.hits["rule:large"].frauds_caught == 1 and result.labelled == 2
    assert of_files(RULES, ["log"], None).labelled == 0
    wrong = msgspec.structs.replace(LARGE, all=(Condition("amont", ">", 1.0),))
    with pytest.raises(RulesError, match="field 'amont' is unknown"):
        of_files(msgspec.structs.replace(RULES, rules=(wrong,)), ["log"], None)
