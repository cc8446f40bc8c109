import math
import time

import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from fraud.bundle import CanaryPointer
from fraud.training.registry import Registry, publication, tracking
from monitoring import canary, canary_rates, settings
from monitoring.canary_rates import RatePair, VersionPair
from monitoring.sequential import Rate
from monitoring.settings import CanaryLimits, read_settings
from tests.monitoring.conftest import write_log
from tests.tools import run_main

LIMITS = read_settings(settings.FOLDER / "canary.toml", CanaryLimits)
LOOKS = 288                 # in the window of 24 hours, every five minutes
PAYMENTS = 5_000            # between two looks, a tenth of them of the canary


def looks(rng: np.random.Generator, **times: float):
    """The rates at each look of the window, where the canary has each rate so many times as often.

    Events come in groups of two on average, as payments of one account do.
    """
    shares = {"errors": 1e-5, "slow_calls": 0.001, "reviews": 0.008, "declines": 0.002}
    events = {name: np.zeros((LOOKS, 2)) for name in shares}
    trials = np.outer(np.arange(1, LOOKS + 1), (PAYMENTS / 10, PAYMENTS * 9 / 10))
    for name, share in shares.items():
        for side, factor in enumerate((times.get(name, 1.0), 1.0)):
            groups = rng.poisson(trials[0, side] * share * factor / 2, LOOKS)
            events[name][:, side] = np.cumsum(
                [rng.geometric(0.5, count).sum() for count in groups])
    for look in range(LOOKS):
        yield {name: RatePair(*map(Rate, events[name][look], trials[look])) for name in shares}


def ended(seed: int, **times: float) -> str:
    """The reason at the first look that ends a canary; empty if its window passes."""
    for rates in looks(np.random.default_rng(seed), **times):
        if reasons := canary.excesses(rates, LIMITS):
            return reasons[0]
    return ""


@pytest.mark.parametrize(("times", "reason"), [
    ({"declines": 3.0}, "declines "), ({"declines": 0.2}, "declines "),
    ({"reviews": 2.0}, "reviews "), ({"errors": 100.0}, "errors "),
    ({"slow_calls": 8.0}, "slow calls ")])
def test_a_worse_version_is_ended_within_its_window(times, reason):
    """20 of 20 trials, by the limit that it breaks."""
    reasons = [ended(seed, **times) for seed in range(20)]
    assert all(each.startswith(reason) for each in reasons), reasons


def test_an_equal_version_is_not_ended():
    """The law of the guard: over any number of looks and all limits together, a version as good as
    the champion is ended with a probability of at most `false_alarm`, 1 in 20."""
    assert sum(bool(ended(seed)) for seed in range(20)) <= 1


def test_false_declines_are_found_by_labels():
    pair = RatePair(Rate(60, 100), Rate(90, 900))
    [reason] = canary.excesses({"false_declines": pair}, LIMITS)
    assert reason == ("false declines 60.000% against 10.000% of the champion, more than "
                      "1.25 times")


def test_every_rate_has_a_limit():
    assert set(LIMITS.least.by_name()) < set(LIMITS.most.by_name())
    assert canary.excesses({name: RatePair(Rate(0, 0), Rate(0, 0))
                            for name in LIMITS.most.by_name()}, LIMITS) == []


# Rates of decision logs.

VERSIONS = VersionPair("4", "3")


@pytest.fixture(scope="module")
def lines(month):
    """Decisions: of champion 3, which reviews 1 and declines 0.5 of 100 payments, and of canary 4,
    which declines 20."""
    def decision(number: int) -> str:
        if number % 5 == 0:
            return "decline" if number % 25 == 0 else "approve"
        return {1: "review", 2: "decline" if number % 200 == 2 else "approve"}.get(
            number % 100, "approve")

    return [replace(line, decided_at=1_000 + number, decision=decision(number),
                    model_version="3" if number % 5 else "4")
            for number, line in enumerate(month.decisions[:20_000])]


def test_rates_of_a_log_are_counted_by_version(lines, tmp_path):
    log = write_log([*lines, lines[0], replace(lines[1], decided_at=1, transaction_id="early"),
                     replace(lines[1], transaction_id="other", model_version="9")],
                    tmp_path / "log.jsonl")
    declined = [line for line in lines if line.decision == "decline"]
    labels = pd.DataFrame({"transaction_id": [line.transaction_id for line in declined] + ["x"],
                           "is_fraud": [int(line.model_version == "3") for line in declined] + [0]})
    rates = canary_rates.of_log([log], labels, VERSIONS, since=1_000)
    ours = [line for line in lines if line.model_version == "4"]
    assert rates["declines"].canary == (
        sum(line.decision == "decline" for line in ours), len(ours))
    assert rates["reviews"].canary.events == 0 < rates["reviews"].champion.events
    assert rates["declines"].champion.trials == len(lines) - len(ours)
    assert rates["false_declines"] == (
        (rates["declines"].canary.events,) * 2, (0, rates["declines"].champion.events))
    assert set(canary_rates.of_log([log], None, VERSIONS, 0)) == {"reviews", "declines"}


def test_decisions_of_rules_are_not_those_of_a_version(lines, tmp_path):
    ruled = [replace(line, decision="decline", model_decision=line.decision) for line in lines]
    paths = [write_log(each, tmp_path / f"{number}.jsonl")
             for number, each in enumerate((lines, ruled))]
    first, second = (canary_rates.of_log([path], None, VERSIONS, 0) for path in paths)
    assert first == second


# The command.

@pytest.fixture
def running(tmp_path, monkeypatch, make_bundle):
    """Champion 1 and canary 2, in a registry and a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("FRAUD_MODEL", raising=False)
    tracking.connect()
    for _ in range(2):
        with tracking.run("a run", {}, {}) as run_id:
            mlflow.log_text("a model", "native/model")
        logged = tracking.Logged(run_id, None, f"runs:/{run_id}/native")
        with Registry().registered(logged, {"gate_reason": "good"}, lambda number, directory:
                                   make_bundle(directory, version=number)):
            pass
    Registry().promote("1", "first")
    Registry().promote("2", "better", 20)
    return tmp_path


def serving() -> CanaryPointer | None:
    return publication.published("models", "canary.json", CanaryPointer)


@pytest.fixture
def logs(running, lines):
    """Writes a log of now: `lines`, or both versions approve all."""
    names, now = {"3": "1", "4": "2"}, time.time_ns() // 1_000_000 + 1_000

    def write(equal: bool):
        return write_log([
            replace(line, decided_at=now, model_version=names[line.model_version],
                    decision="approve" if equal else line.decision)
            for line in lines], running / "log.jsonl")

    return write


def test_the_guard_ends_a_worse_canary_with_the_reason_on_record(logs, capsys):
    log = logs(equal=False)
    dry = run_main(capsys, canary.main, "--decisions", log, "--dry-run")
    assert dry.code == 3 and serving()
    assert "declines 20.000% against 0.625% of the champion" in dry.out
    result = run_main(capsys, canary.main, "--decisions", log)
    assert result.code == 3 and "it is ended; models serves 1" in result.out
    assert serving() is None and Registry().champion().number == "1"
    reason = Registry().version("2").tags["canary_end_reason"]
    assert reason.startswith("the guard ended it: reviews 0.000% against")
    again = run_main(capsys, canary.main, "--decisions", log)
    assert (again.code, again.out) == (0, "models has no canary\n")


def test_the_guard_leaves_an_equal_canary_and_says_when_it_is_due(logs, capsys):
    log = logs(equal=True)
    result = run_main(capsys, canary.main, "--decisions", log)
    assert result.code == 0 and "canary 2 is within its limits after 0.0 hours\n" in result.out
    pointer = serving()
    publication.write_pointer(msgspec.structs.replace(pointer, since=pointer.since - 86_400_000),
                              "models", "canary.json")
    later = run_main(capsys, canary.main, "--decisions", log)
    assert "after 24.0 hours: promote it further" in later.out and serving()


def test_a_registry_that_does_not_answer_stops_no_rollback(logs, capsys, monkeypatch):
    log = logs(equal=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = run_main(capsys, canary.main, "--decisions", log)
    assert result.code == 2 and serving() is None
    assert "canary 2 is ended, but the registry does not record why" in result.err


@pytest.mark.parametrize(("arguments", "problem"), [
    ([], "there is nothing to compare"),
    (["--labels", "l.csv", "--prometheus", "http://127.0.0.1:9"], "there is nothing to compare"),
    (["--prometheus", "http://127.0.0.1:9"], "http://127.0.0.1:9: does not answer as Prometheus"),
    (["--prometheus", "nowhere"], "nowhere: does not answer as Prometheus"),
    (["--decisions", "none.jsonl"], "none.jsonl: cannot be read")])
def test_a_guard_that_cannot_look_says_why_and_ends_nothing(running, capsys, arguments, problem):
    result = run_main(capsys, canary.main, *arguments)
    assert result.code == 2 and problem in result.err and serving()


def test_a_rate_without_trials_is_shown_as_none(running, capsys, lines):
    log = write_log(lines[:1], running / "log.jsonl")
    assert "none yet" in run_main(capsys, canary.main, "--decisions", log).out
    assert math.isnan(Rate(0, 0).share)
