"""The proof that online equals training: the scorer on each store against Spark.

moto keeps tables but does not run transactions side by side: on DynamoDB this shows equality, not
concurrency.
"""

import random
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from fraud import bundle
from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.features import DEFAULT
from fraud.history import Store
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training.data import clean
from fraud.training.data.dataset import prepare
from fraud.training.features import spark_job
from fraud.training.parity import __main__
from fraud.training.parity.comparison import compare, read_transactions
from fraud.training.parity.logged_decisions import read_decisions
from fraud.training.parity.recount import recounted
from fraud.training.simulate import simulator
from fraud.transaction import TYPES, Transaction
from fraud.windows import COUNT_NAMES
from tests.tools import run_main

START = simulator.START
ROWS = 20_000
LONG = 1_000_000            # in acceptance


def crafted() -> list[dict]:
    """Payments rare in a simulation: borders of hours and days, ties, self-payments."""
    times = [hour * HOUR + offset for hour in (0, 1, 2, 22, 23, 24, 25, 47, 48, 200)
             for offset in (0, 0, 1, HOUR - 1)]
    pairs = [("X1", "X2"), ("X2", "X1"), ("X1", "X1"), ("X3", "X2")]
    return [{"transaction_id": f"x{place:03}{which}", "event_time": START + time,
             "type": TYPES[place % 5], "amount": 1e12 if place % 3 else 0.01 * place,
             "origin": origin, "destination": destination, "origin_balance": -5.0,
             "destination_balance": 7.25, "is_fraud": 0, "label_time": START + time}
            for place, time in enumerate(times) for which, (origin, destination) in
            enumerate(pairs)]


def labelled(table: pa.Table, share: float, chance: random.Random) -> pa.Table:
    """Payments of which a share is fraud, known later; often at the moment of another payment."""
    times = table["event_time"].to_pylist()
    frauds = [chance.random() < share for _ in times]
    label_times = []
    for time, is_fraud in zip(times, frauds, strict=True):
        known = time + chance.randrange(1, chance.choice([HOUR, 40 * DAY_MS]))
        later = times[bisect_left(times, known) % len(times)]
        label_times.append(max(known, later) if is_fraud and chance.random() < 0.5 else known)
    return table.set_column(
        table.schema.get_field_index("is_fraud"), table.schema.field("is_fraud"),
        pa.array([int(is_fraud) for is_fraud in frauds], table.schema.field("is_fraud").type)
    ).set_column(table.schema.get_field_index("label_time"), table.schema.field("label_time"),
                 pa.array(label_times, table.schema.field("label_time").type))


@pytest.fixture(scope="session")
def stream(tmp_path_factory, spark, acceptance):
    """A simulated month with crafted payments, one in twenty known as fraud later: the clean file,
    and what Spark makes of it."""
    directory = tmp_path_factory.mktemp("parity")
    simulator.write(simulator.simulate(LONG if acceptance else ROWS, seed=7),
                    directory / "simulated.parquet")
    table = pq.read_table(directory / "simulated.parquet")
    both = pa.concat_tables([table, pa.Table.from_pylist(crafted(), schema=table.schema)])
    both = labelled(both.sort_by("event_time"), 0.05, random.Random(11))
    pq.write_table(both, directory / "both.parquet")
    prepared = prepare(str(directory / "both.parquet"), directory / "clean")
    spark_job.write_features(spark, prepared.feature_table, prepared.transactions,
                             str(directory / "features"),
                             {"all": START * 2}, 0)
    return prepared, read_transactions(prepared.transactions, TYPES, spark), directory / "features"


@pytest.fixture(scope="session")
def champion(bundle_directory) -> bundle.Bundle:
    return bundle.load(bundle_directory)


@pytest.fixture
def scorer(opened, champion):
    """Makes a scorer of replays and its store, which knows that there was nothing before."""
    def make(url: str = "memory://") -> tuple[Scorer, Store]:
        store = opened(url, memory_ids=2_000_000)
        store.fill([], 0, START)
        made = Scorer(store, champion, Settings(clock="event"), fallback_on_store_error=False)
        return made, store
    return make


@pytest.mark.parametrize(("store", "rows"), [
    pytest.param("memory", None, marks=pytest.mark.acceptance),
    pytest.param("redis", None, marks=pytest.mark.acceptance),
    ("dynamodb", 1_500), pytest.param("dynamodb", ROWS, marks=pytest.mark.system)])
def test_every_feature_of_every_payment_is_that_of_spark(
        request, stream, scorer, store, rows, record_property):
    prepared, listed, folder = stream
    record_property("payments", rows or prepared.rows)
    url = "memory://" if store == "memory" else request.getfixturevalue(f"{store}_url")
    decided = list(islice(__main__.replayed(prepared.transactions, *scorer(url), batch=99), rows))
    assert len(decided) == (rows or prepared.rows) >= 1_500
    assert {decision.history for decision in decided} == {"full"}

    table = pq.read_table(folder).sort_by("position").slice(0, rows)
    by_spark = np.stack([table[name].to_numpy() for name in DEFAULT.names], axis=1)
    online = np.array([decision.features for decision in decided], np.float32)
    assert online.dtype == by_spark.dtype
    np.testing.assert_array_equal(online, by_spark)

    parity = compare(read_decisions(decided, DEFAULT), listed, DEFAULT)
    assert (parity.decisions, parity.different) == (len(decided), 0)
    assert (parity.skew, parity.gaps) == ({}, 0)
    assert max(decision.counts[2] for decision in decided) > 20
    frauds = [name for name in COUNT_NAMES if "_frauds_" in name]
    assert all(any(decision.counts[COUNT_NAMES.index(name)] for decision in decided)
               for name in frauds)


def test_repeats_change_nothing(stream, scorer):
    prepared, listed, _ = stream
    (its, store), decided, payments = scorer(), [], []
    for part in __main__.in_event_order(prepared.transactions, store, 40):
        before, payments = payments, part
        outcomes = its.score([*payments, *before[::3], *payments[:2]])
        decided += [outcome.decision for outcome in outcomes if outcome.decision]
        again = its.score(payments)
        assert [outcome.body for outcome in again] == [
            outcome.body for outcome in outcomes[:len(payments)]]
    parity = compare(read_decisions(decided, DEFAULT), listed, DEFAULT)
    assert (parity.decisions, parity.different, parity.skew) == (prepared.rows, 0, {})


# Small random streams, many of them in one run of Spark, each with accounts of its own.

names = st.sampled_from(["C1", "C2", "C3"])
streams = st.lists(st.lists(st.tuples(
    st.integers(0, 30 * HOUR) | st.sampled_from([hour * HOUR - 1 for hour in range(1, 26)]),
    names, names | st.none(), st.integers(0, 10 ** 14)), min_size=1, max_size=25),
    min_size=1, max_size=30)


def written(directory, drawn: list[list[tuple]]) -> str:
    rows = [{"transaction_id": f"t{stream}-{place}", "event_time": START + time,
             "type": TYPES[place % 5], "amount": cents / 100, "origin": f"{stream}{origin}",
             "destination": destination and f"{stream}{destination}",
             "origin_balance": 1.0 if place % 3 else None,
             "destination_balance": 0.0 if place % 2 else None,
             "is_fraud": 0, "label_time": START + time}
            for stream, payments in enumerate(drawn)
            for place, (time, origin, destination, cents) in enumerate(payments)]
    pq.write_table(pa.Table.from_pylist(rows), directory / "drawn.parquet")
    return prepare(str(directory / "drawn.parquet"), directory / "clean").transactions


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=streams, batch=st.integers(1, 40))
def test_random_streams_are_counted_as_spark_counts_them(
        tmp_path_factory, spark, scorer, drawn, batch):
    path = written(tmp_path_factory.mktemp("drawn"), drawn)
    parity = compare(read_decisions(__main__.replayed(path, *scorer(), batch), DEFAULT),
                     read_transactions(path, TYPES, spark), DEFAULT)
    assert (parity.decisions, parity.different, parity.skew) == (sum(map(len, drawn)), 0, {})


# Payments that arrive in another order than that of their events.

def disordered(clean_file: str, chance: random.Random) -> list[Transaction]:
    """Most payments of a file in order; some late by hours, some by less than a second, and some
    with the event_time of the one before.
    """
    payments = [payment for batch in clean.batches(clean_file, 1000) for payment in batch]
    for place in range(0, len(payments) - 1, 7):
        payments[place + 1] = msgspec.structs.replace(
            payments[place + 1], event_time=payments[place].event_time)

    def arrival(payment: Transaction) -> float:
        kind = chance.random()
        if kind < 0.02:
            return payment.event_time + chance.uniform(0, 30 * HOUR)
        return payment.event_time + chance.uniform(0, 900 if kind < 0.5 else 0)

    return sorted(payments, key=arrival)


def saved(payments: list[Transaction], directory) -> str:
    """A file of transactions that are valid."""
    rows = [{**msgspec.to_builtins(payment), "type": payment.type,
             **{name: getattr(payment, f"{name}_cents") / 100
                for name in ("amount", "origin_balance", "destination_balance")},
             "is_fraud": 0, "label_time": payment.event_time} for payment in payments]
    columns = simulator.SCHEMA.names[:10]
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows]),
                   directory / "saved.parquet")
    return str(directory / "saved.parquet")


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_what_arrives_out_of_order_is_counted_in_the_order_of_arrival_and_the_skew_explained(
        request, tmp_path, spark, stream, scorer, store):
    arrived = disordered(stream[0].transactions, random.Random(7))[:6_000]
    its, _ = scorer("memory://" if store == "memory" else request.getfixturevalue("redis_url"))
    batches = [arrived[place:place + 5] for place in range(0, len(arrived), 5)]
    with ThreadPoolExecutor(4) as threads:          # batches of one moment come in any order
        decided = [outcome.decision for outcomes in threads.map(its.score, batches)
                   for outcome in outcomes]

    in_order = sorted(decided, key=lambda decision: decision.store_sequence)
    assert [decision.store_sequence for decision in in_order] == list(range(1, 6_001))
    assert [decision.counts for decision in in_order] == list(recounted(in_order))

    clean_file = prepare(saved(arrived, tmp_path), tmp_path / "clean").transactions
    parity = compare(read_decisions(decided, DEFAULT), read_transactions(clean_file, TYPES, spark),
                     DEFAULT)
    assert (parity.decisions, parity.different, parity.gaps) == (6_000, 0, 0)
    assert min(parity.skew[cause] for cause in ("late", "concurrent", "tie")) > 0
    assert sum(parity.skew.values()) < 4_500
    assert any(decision.late for decision in decided)


# The command.

@pytest.fixture(scope="module")
def small(tmp_path_factory, bundle_directory):
    """A file of 1,000 payments, and a log of decisions on them."""
    directory = tmp_path_factory.mktemp("small")
    simulator.write(simulator.simulate(1_000, seed=3), directory / "small.parquet")
    store = open_store(Settings())
    store.fill([], 0, START)
    scorer = Scorer(store, bundle.load(bundle_directory), Settings(clock="event"),
                    fallback_on_store_error=False)
    prepared = prepare(str(directory / "small.parquet"), directory / "clean")
    lines = [msgspec.json.encode(decision)
             for decision in __main__.replayed(prepared.transactions, scorer, store, 10)]
    (directory / "decisions.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return directory


def test_a_log_that_is_equal_is_said_to_be(capsys, small, bundle_directory):
    code, out, _ = run_main(capsys, __main__.main, "--decisions", small / "decisions.jsonl",
                            "--model", bundle_directory, "--transactions", small / "small.parquet")
    assert code == 0
    assert out.splitlines() == [
        "1,000 decisions with counts, 0 without; 0 not in the file, 0 payments without a "
        "decision, 0 sequence numbers without a line",
        "equal to Spark: 1,000", "order_skew: 0", "different: 0"]


def test_a_difference_is_spelled_out(capsys, small, tmp_path, bundle_directory):
    lines = (small / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    wrong = msgspec.json.decode(lines[500])
    changed = COUNT_NAMES.index("destination_sent_count_hour")
    wrong["counts"][changed] += 3
    lines[500] = msgspec.json.encode(wrong) + b"\n"
    (tmp_path / "log").write_bytes(b"".join(lines))
    code, out, _ = run_main(capsys, __main__.main, "--decisions", tmp_path / "log",
                            "--model", bundle_directory, "--transactions", small / "small.parquet")
    assert code == 1
    assert "different: 1" in out
    had = wrong["counts"][changed]
    assert out.splitlines()[-1].startswith(
        f"{wrong['transaction_id']}: destination_sent_count_hour is ") and str(had) in out


def test_a_store_is_held_against_a_file(capsys, small, redis_url, bundle_directory):
    arguments = ("--store", redis_url, "--model", bundle_directory, "--batch", 7,
                 "--transactions", small / "small.parquet")
    code, out, _ = run_main(capsys, __main__.main, *arguments)
    assert (code, "equal to Spark: 1,000" in out) == (0, True)
    code, out, err = run_main(capsys, __main__.main, *arguments)
    assert (code, out) == (2, "") and "error: Redis has been recording already" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--decisions", "absent"], "absent: cannot be read (No such file"),
    (["--store", "nowhere://"], "FRAUD_HISTORY is 'nowhere://'"),
    (["--store", "redis://127.0.0.1:1"], "Redis: "),
    (["--store", "memory://", "--model", "absent"], "FRAUD_MODEL is 'absent'")])
def test_what_cannot_be_done_is_one_line(capsys, small, bundle_directory, arguments, message):
    if "--model" not in arguments:
        arguments = [*arguments, "--model", bundle_directory]
    code, _, err = run_main(capsys, __main__.main, *arguments,
                            "--transactions", small / "small.parquet")
    assert code == 2
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
