import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

import fraud.service
from fraud import bundle, shadow
from fraud.bundle import CanaryPointer
from fraud.rules.rule_set import Condition, ListEntry, Rule, RuleSet, key_check
from fraud.service import Service
from fraud.settings import Settings, SettingsError
from fraud.shadow import ShadowScorer
from fraud.training.registry import publication
from fraud.windows import COUNT_NAMES
from tests.factories import NOON, payment


def test_a_refresh_measures_the_memory_of_the_store_now_and_then(
        own_redis, bundle_directory, tmp_path, monkeypatch):
    def measured() -> tuple[float | None, ...]:
        return tuple(REGISTRY.get_sample_value(f"fraud_history_memory_{name}")
                     for name in ("bytes", "limit_bytes"))

    before = measured()
    service = Service(Settings(
        model=str(bundle_directory), history=own_redis("--maxmemory", "50mb").url,
        account_key="key", history_deadline_ms=5_000.0, decision_log=str(tmp_path / "log")),
        fallback_on_store_error=True)
    service.refresh()
    assert measured() == before         # it has just started
    monkeypatch.setattr(fraud.service, "MEASURE_SECONDS", 0.0)
    service.refresh()
    service.close()
    used, limit = measured()
    assert 0 < used < limit == 50 * 2 ** 20


@pytest.fixture
def logged(bundle_directory, tmp_path):
    """Scores payments in a new service with a key; gives the lines of the decision log."""
    def logged(key: str, *payments) -> list[dict]:
        log = tmp_path / "decisions.jsonl"
        service = Service(Settings(model=str(bundle_directory), account_key=key,
                                   decision_log=str(log), clock="event"),
                          fallback_on_store_error=True)
        service.score(payments)
        service.close()
        lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
        log.unlink()
        return lines

    return logged


def test_the_log_names_accounts_by_a_keyed_digest(logged):
    first, second = logged("k", payment("a"), payment("b", origin="C2", destination="C1"))
    assert (first["origin"], first["destination"]) == (second["destination"], second["origin"])
    assert first["origin"] != first["destination"] and "C1" not in str(first)
    assert second["counts"][COUNT_NAMES.index("origin_knows_other")] == 1
    assert logged("other", payment("a"))[0]["origin"] != first["origin"]
    assert logged("", payment("a"))[0]["origin"] != logged("", payment("a"))[0]["origin"]
    assert logged("k", payment("a", destination=None))[0]["destination"] is None


@pytest.mark.parametrize("url", [
    "redis://me:secret@localhost", "dynamodb://table", "memory:///file"])
def test_a_store_that_outlives_the_process_needs_a_key(bundle_directory, url):
    with pytest.raises(SettingsError, match="FRAUD_ACCOUNT_KEY is not set.*openssl rand") as caught:
        Service(Settings(model=str(bundle_directory), history=url), fallback_on_store_error=True)
    assert "secret" not in str(caught.value)


def test_a_service_follows_a_canary_until_it_ends(make_bundle, tmp_path):
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    folder = str(tmp_path / "models")
    publication.publish(tmp_path / "1", "fraud-detector", folder)
    service = Service(Settings(model=folder, decision_log=str(tmp_path / "log"), clock="event"),
                      fallback_on_store_error=True)

    def versions(name: str) -> set[str]:
        outcomes = service.score([payment(f"{name}{number}", origin=f"C{number}")
                                  for number in range(40)])
        return {outcome.decision.model_version for outcome in outcomes}

    def measured(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert versions("a") == {"1"}
    pointer = publication.add_bundle(tmp_path / "2", "fraud-detector", folder)
    publication.write_pointer(CanaryPointer(**msgspec.structs.asdict(pointer), share=50, since=7),
                              folder, "canary.json")
    service.refresh()
    assert versions("b") == {"1", "2"}
    assert measured("fraud_canary_share") == 50
    assert measured("fraud_model_errors_total", model_version="2") == 0
    assert measured("fraud_model_seconds_count", model_version="2") == 1
    publication.remove(folder, "canary.json")
    service.refresh()
    assert versions("c") == {"1"} and measured("fraud_canary_share") == 0
    service.close()


# A challenger, whole or broken, changes no answer.

class Raises:
    """A model that fails."""

    def scores(self, rows):
        raise RuntimeError("no scores")


class Slow:
    """A model that takes longer than any bound."""

    def scores(self, rows):
        time.sleep(shadow.SLOW_SECONDS + 2 * shadow.SLOW_SECONDS_EACH * len(rows))
        return np.full(len(rows), 0.5)


def other_features(folder, pointer):
    """A challenger whose manifest is whole, but names other features."""
    path = folder / pointer.folder / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["model"]["features"][0] = "another"
    path.write_text(json.dumps(manifest))
    changed = msgspec.structs.replace(pointer, sha256=bundle.sha256(path.read_bytes()))
    publication.write_pointer(changed, str(folder), "challenger.json")


BROKEN_FILES = {
    "missing": lambda folder, pointer: (folder / pointer.folder / "model.onnx").unlink(),
    "wrong digest": lambda folder, pointer: (folder / pointer.folder / "model.onnx").write_bytes(
        b"changed"),
    "other features": other_features}
BROKEN_MODELS = {"raises": Raises(), "slow": Slow()}


@pytest.fixture(scope="module")
def many():
    """Payments of 500 accounts, of several types and sizes, some of which empty the account."""
    rng, count = np.random.default_rng(3), 10_000
    types = rng.choice(["PAYMENT", "TRANSFER", "CASH_OUT", "CASH_IN"], count)
    cents = rng.lognormal(10, 2, count).astype(int)
    held = np.where(rng.random(count) < 0.1, cents, 4 * cents)
    return [payment(f"m{number}", NOON + number * 1_000, type=str(types[number]),
                    amount_cents=int(cents[number]), origin=f"C{number % 500}",
                    destination=f"C{(number * 7 + 1) % 500}",
                    origin_balance_cents=int(held[number])) for number in range(count)]


def service_of(folder, log) -> Service:
    return Service(Settings(model=str(folder), decision_log=str(log), clock="event",
                            account_key="secret"), fallback_on_store_error=True)


def bodies(service, payments) -> list[bytes]:
    """Answers, in batches of growing size from 1 on."""
    answers, first = [], 0
    for size in range(1, 1_000):
        answers += [outcome.body for outcome in service.score(payments[first:first + size])]
        first += size
    service.close()
    return answers


@pytest.fixture(scope="module")
def alone(many, bundle_directory, tmp_path_factory):
    """The answers of the champion without a challenger."""
    directory = tmp_path_factory.mktemp("alone")
    publication.publish(bundle_directory, "fraud-detector", str(directory / "models"))
    return bodies(service_of(directory / "models", directory / "log"), many)


@pytest.mark.parametrize("how", ["whole", *BROKEN_FILES, *BROKEN_MODELS])
def test_answers_are_byte_equal_with_a_challenger_whole_or_broken(
        how, many, alone, bundle_directory, tmp_path):
    folder = tmp_path / "models"
    publication.publish(bundle_directory, "fraud-detector", str(folder))
    pointer = publication.publish(bundle_directory, "challenger", str(folder), "challenger.json")
    if how in BROKEN_FILES:
        BROKEN_FILES[how](folder, pointer)
    service = service_of(folder, tmp_path / "log")
    dropped = []
    if how in BROKEN_MODELS:
        broken = replace(service.bundle, fallback=BROKEN_MODELS[how], model=BROKEN_MODELS[how])
        service._scorer.shadow = ShadowScorer(broken, dropped.append)
    assert bodies(service, many) == alone
    shadows = [json.loads(line)["shadow"] for line in (tmp_path / "log").read_text().splitlines()]
    scored = sum(each is not None for each in shadows)
    assert scored == (len(many) if how == "whole" else 1 + 2 + 3 if how == "slow" else 0)
    assert dropped == {"raises": ["error"], "slow": ["slow"]}.get(how, [])


# Rule sets that change under load.

def numbered_rules(version: int, entries) -> RuleSet:
    """A rule set of 50 rules, of which the one named after its version applies to all payments."""
    named = Rule(f"v{version}", "review", "why", "ana", (Condition("amount", ">=", 0.0),))
    others = tuple(Rule(f"r{number}", "decline", "why", "ana", (
        Condition("amount", "<", -1.0), Condition("hour_of_day", ">=", float(number % 24))))
        for number in range(49))
    return RuleSet(version, 0, "ana", "why", (named, *others), entries, key_check("secret"))


@pytest.mark.acceptance
def test_no_answer_comes_from_a_half_read_rule_set(
        bundle_directory, tmp_path, monkeypatch, acceptance, record_property):
    sets = 1_000 if acceptance else 25
    record_property("rule sets", sets)
    folder = str(tmp_path / "models")
    monkeypatch.setenv("FRAUD_MODEL", folder)
    publication.publish(bundle_directory, "fraud-detector", folder)
    publisher = publication.rule_publisher()
    entries = tuple(ListEntry(f"{number:032x}", "deny", "mule", "ana")
                    for number in range(10_000))
    digests = {"1": publisher.publish(numbered_rules(1, entries)).sha256}
    service = service_of(tmp_path / "models", tmp_path / "log")
    done = threading.Event()

    def publish() -> None:
        try:
            for version in range(2, sets + 1):
                digests[str(version)] = publisher.publish(
                    numbered_rules(version, entries)).sha256
        finally:
            done.set()

    def refresh() -> None:
        while not done.is_set():
            service.refresh()

    threads = [threading.Thread(target=target) for target in (publish, refresh)]
    for thread in threads:
        thread.start()
    decisions, number = [], 0
    while not done.is_set():
        decisions += [outcome.decision for outcome in service.score(
            [payment(f"p{number}-{place}", origin=f"C{place}") for place in range(3)])]
        number += 1
    for thread in threads:
        thread.join()
    service.close()
    assert number > sets and None not in decisions
    assert len({decision.rules_version for decision in decisions}) > min(sets / 4, 100)
    for decision in decisions:
        assert decision.rules_digest == digests[decision.rules_version]
        assert decision.applied == [f"rule:v{decision.rules_version}"]


EXEMPT = """
import gc
from fraud.service import limit_garbage_collection
store = [{"account": "a"}]
limit_garbage_collection()
later = [{"account": "b"}]
collected = gc.get_objects()
print(*(any(kept is each for each in collected) for kept in (store, later)))
"""


def test_objects_of_the_start_are_exempt_from_garbage_collection_and_later_ones_are_not():
    done = subprocess.run([sys.executable, "-c", EXEMPT], capture_output=True, text=True,
                          check=True)
    assert done.stdout == "False True\n"
