import random
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from fraud.clock import HOUR_MS as HOUR
from fraud.history import AccountSnapshot, AlreadyAnswered, Claim, counts_array
from fraud.packing import pack
from fraud.settings import Settings, SettingsError
from fraud.stores import open_store
from fraud.stores.memory import GENERATION_HOURS, MemoryStore, write_file
from fraud.windows import COUNT_NAMES, WINDOWS
from tests import factories
from tests.factories import NOON

payment = partial(factories.payment, amount_cents=100)


def memory(id_ttl_ms=24 * HOUR, max_ids=1000, max_accounts=1_000_000) -> MemoryStore:
    return MemoryStore(id_ttl_ms, max_ids, max_accounts)


def sent_before(claim: Claim) -> int:
    return int(counts_array([claim])[COUNT_NAMES.index("origin_sent_count_day"), 0])


# Ids.

def test_an_id_is_known_for_its_time_and_no_longer():
    store = memory(id_ttl_ms=100)
    [first] = store.claim([payment("a")], 1000)
    store.finish([first], [b"yes"])
    assert store.claim([payment("a")], 1099) == [AlreadyAnswered(b"yes")]
    [again] = store.claim([payment("a")], 1100)
    assert sent_before(again) == 1 and store.answer("a") is None


def test_beyond_the_limit_the_oldest_ids_are_forgotten():
    store = memory(max_ids=3)
    for index in range(5):
        store.claim([payment(f"t{index}")], index)
    known = [store.claim([payment(f"t{index}")], 10)[0].store_sequence for index in (4, 3)]
    assert known == [5, 4]
    assert store.claim([payment("t1")], 10)[0].store_sequence == 6


def test_an_answer_that_comes_too_late_is_not_kept():
    store = memory(id_ttl_ms=100)
    claims = store.claim([payment("a")], 0)
    store.claim([payment("b")], 1000)
    assert store.finish(claims, [b"late"]) == [b"late"]
    assert store.answer("a") is None


# Accounts.

def test_idle_accounts_are_forgotten_and_recording_begins_after_them():
    store = memory()
    store.claim([payment("a", origin="C9")], 0)
    last = NOON
    for turn in range(1, 6):
        last = NOON + turn * GENERATION_HOURS * HOUR
        [claim] = store.claim([payment(f"t{turn}", last)], 0)
        assert claim.known_windows(last) == len(WINDOWS)        # nothing is missing on time
        assert claim.known_windows(last - 11 * HOUR) == len(WINDOWS)
    assert NOON < claim.recording_since < last - 30 * 24 * HOUR
    assert {*store._accounts, *store._old, *store._dropped} == {"C1", "C2"}


def test_an_account_that_is_used_now_and_then_stays():
    store = memory()
    for turn in range(8):
        time = NOON + turn * 25 * 24 * HOUR
        [claim] = store.claim([payment(f"t{turn}", time)], 0)
        assert (claim.origin.month > 0) == (turn > 0)


def test_beyond_the_limit_the_idlest_accounts_are_forgotten_and_recording_begins_after_them():
    store = memory(max_accounts=20)
    for index in range(100):
        [claim] = store.claim([payment(f"t{index}", NOON + index, origin=f"C{index + 10}")], 0)
        assert len(store._accounts) + len(store._old) <= 20
    assert claim.recording_since > NOON + 70
    assert claim.known_windows(NOON) == 0


def test_forgotten_accounts_are_freed_a_few_at_a_time():
    store = memory(max_ids=10_000)
    store.claim([payment(f"t{index}", origin=f"C{index + 10}") for index in range(1000)], 0)
    sizes = []
    for turn in range(1, 6):
        store.claim([payment(f"u{turn}", NOON + turn * GENERATION_HOURS * HOUR)], 0)
        sizes.append(len(store._dropped))
    assert 990 < max(sizes) < 1000 and sizes == sorted(sizes[:2]) + sorted(sizes[2:])[::-1]


def test_memory_is_bounded():
    store, chance = memory(max_ids=50, max_accounts=100), random.Random(7)
    for index in range(5000):
        sender = f"C{chance.randrange(10 ** 6)}"
        claims = store.claim([payment(f"t{index}", NOON + index * 60_000, origin=sender)], index)
        store.finish(claims, [b"yes"])
    assert len(store._ids) <= 50
    assert len(store._accounts) + len(store._old) + len(store._dropped) <= 150
    assert sum(len(ids) for _, ids in store._by_age) <= 50


def test_threads_count_exactly():
    store, threads = memory(max_ids=100_000), 4
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda worker: [store.claim([payment(f"t{index}")], 0)
                                          for index in range(3000)], range(threads)))
    finally:
        sys.setswitchinterval(interval)
    [last] = store.claim([payment("last")], 0)
    assert sent_before(last) == last.store_sequence - 1 == 3000


# Files.

def test_a_store_is_filled_from_a_file(tmp_path):
    path = tmp_path / "history.msgpack"
    write_file(path, [AccountSnapshot(
        "C1", NOON, NOON, 0, {480_012: pack(3, 5, 0, 0)}, {20_000: pack(3, 5, 0, 0)}, {20_000: 1},
        {})], 7, NOON)
    assert [file.name for file in tmp_path.iterdir()] == ["history.msgpack"]
    store = open_store(Settings(history=f"memory://{path}"))
    [claim] = store.claim([payment("a")], NOON)
    assert (claim.recording_since, sent_before(claim)) == (7, 3)


@pytest.mark.parametrize("content", [
    None, b"", b"nonsense", b"\x93\x01\x02\x90", b"\x94\x01\x01\x02\x90"])
def test_an_invalid_file_is_refused(tmp_path, content):
    path = tmp_path / "history"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{path}.*fraud.training.warm"):
        open_store(Settings(history=f"memory://{path}"))
