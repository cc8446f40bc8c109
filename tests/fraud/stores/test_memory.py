import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fraud.history import BUCKET_MS, Claim, Finished, Past, counts_array, sums_of
from fraud.settings import Settings, SettingsError
from fraud.stores import open_store
from fraud.stores.memory import GENERATION_BUCKETS, MemoryStore, write_file
from fraud.transaction import Transaction

HOUR = BUCKET_MS
NOON = 480_012 * HOUR


def payment(name: str, time: int = NOON, origin: str = "C1") -> Transaction:
    return Transaction(name, time, 4, 100, origin, "C2", 0, 0)


def memory(id_ttl_ms=24 * HOUR, max_ids=1000, max_accounts=1_000_000) -> MemoryStore:
    return MemoryStore(id_ttl_ms, max_ids, max_accounts)


def sent_before(claim: Claim) -> int:
    return int(counts_array([claim])[2, 0])


# Ids.

def test_an_id_is_known_for_its_time_and_no_longer():
    store = memory(id_ttl_ms=100)
    [first] = store.claim([payment("a")], 1000)
    store.finish([first], [b"yes"])
    assert store.claim([payment("a")], 1099) == [Finished(b"yes")]
    [again] = store.claim([payment("a")], 1100)
    assert sent_before(again) == 1 and store.answer("a") is None


def test_beyond_the_limit_the_oldest_ids_are_forgotten():
    store = memory(max_ids=3)
    for place in range(5):
        store.claim([payment(f"t{place}")], place)
    known = [store.claim([payment(f"t{place}")], 10)[0].sequence for place in (4, 3)]
    assert known == [5, 4]
    assert store.claim([payment("t1")], 10)[0].sequence == 6


def test_an_answer_that_comes_too_late_is_not_kept():
    store = memory(id_ttl_ms=100)
    claims = store.claim([payment("a")], 0)
    store.claim([payment("b")], 1000)
    assert store.finish(claims, [b"late"]) == [b"late"]
    assert store.answer("a") is None


# Accounts.

def test_idle_accounts_are_forgotten_and_recording_begins_after_them():
    store = memory()
    store.claim([payment("a", NOON, "C9")], 0)
    last = NOON
    for turn in range(1, 6):
        last = NOON + turn * GENERATION_BUCKETS * HOUR
        [claim] = store.claim([payment(f"t{turn}", last)], 0)
        assert claim.is_complete(last)          # for those who are on time nothing is missing
        assert claim.is_complete(last - 11 * HOUR)
    assert NOON < claim.recording_since < last - 24 * HOUR
    assert {*store._accounts, *store._old, *store._dropped} == {"C1", "C2"}


def test_an_account_that_is_touched_now_and_then_stays():
    store = memory()
    for turn in range(8):
        time = NOON + turn * 20 * HOUR
        [claim] = store.claim([payment(f"t{turn}", time)], 0)
        assert sent_before(claim) == (turn > 0)


def test_beyond_the_limit_those_idle_for_the_longest_are_forgotten_and_that_is_said():
    store = memory(max_accounts=20)
    for place in range(100):
        [claim] = store.claim([payment(f"t{place}", NOON + place, f"C{place + 10}")], 0)
        assert len(store._accounts) + len(store._old) <= 20
    assert claim.recording_since > NOON + 70
    assert not claim.is_complete(NOON)


def test_what_is_forgotten_goes_a_little_at_a_time():
    store = memory(max_ids=10_000)
    store.claim([payment(f"t{place}", NOON, f"C{place + 10}") for place in range(1000)], 0)
    sizes = []
    for turn in range(1, 6):
        store.claim([payment(f"u{turn}", NOON + turn * GENERATION_BUCKETS * HOUR)], 0)
        sizes.append(len(store._dropped))
    assert 990 < max(sizes) < 1000 and sizes == sorted(sizes[:2]) + sorted(sizes[2:])[::-1]


def test_nothing_grows_without_end():
    store, chance = memory(max_ids=50, max_accounts=100), random.Random(7)
    for place in range(5000):
        claims = store.claim([payment(f"t{place}", NOON + place * 60_000,
                                      f"C{chance.randrange(10 ** 6)}")], place)
        store.finish(claims, [b"yes"])
    assert len(store._ids) <= 50
    assert len(store._accounts) + len(store._old) + len(store._dropped) <= 150
    assert sum(len(ids) for _, ids in store._by_age) <= 50


def test_threads_do_not_get_into_each_others_way():
    store, threads = memory(max_ids=100_000), 4
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda worker: [store.claim([payment(f"t{place}")], 0)
                                          for place in range(3000)], range(threads)))
    finally:
        sys.setswitchinterval(interval)
    [last] = store.claim([payment("last")], 0)
    assert sent_before(last) == last.sequence - 1 == 3000


# Files.

def test_a_file_starts_a_store(tmp_path):
    path = tmp_path / "history.msgpack"
    write_file(path, [Past("C1", NOON, {480_012: sums_of(3, 5, 0, 0)})], 7, NOON)
    assert [file.name for file in tmp_path.iterdir()] == ["history.msgpack"]
    store = open_store(Settings(history=f"memory://{path}"))
    [claim] = store.claim([payment("a")], NOON)
    assert (claim.recording_since, sent_before(claim)) == (7, 3)


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\x93\x01\x02\xc0"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "history"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{path}.*fraud.training.warm"):
        open_store(Settings(history=f"memory://{path}"))
