import struct

from hypothesis import given, strategies as st

from fraud.history import DAY_BUCKETS, AccountSnapshot
from fraud.packing import pack
from fraud.stores.account import LIMB, Account, account_of, decode, encode

counts, cents = st.integers(0, 2 ** 32 - 1), st.integers(0, 10 ** 22)
sums = st.builds(pack, counts, cents, counts, cents)
buckets = st.dictionaries(st.integers(480_000, 480_000 + DAY_BUCKETS - 1), sums, min_size=1)


@given(buckets)
def test_an_encoded_account_decodes_to_itself(kept):
    newest = max(kept) * 3_600_000 + 5
    assert decode("C1", encode(newest, kept)) == AccountSnapshot("C1", newest, kept)


def test_redis_can_add_to_the_encoding():
    kept = {480_002: pack(0, 0, 0, 0), 480_001: pack(1, 7 * LIMB + 8, 2, 9)}
    last = struct.pack("<IIddIdd", 480_002, 0, 0, 0, 0, 0, 0)
    assert encode(5, kept) == struct.pack("<dIIddIdd", 5, 480_001, 1, 7, 8, 2, 0, 9) + last
    added = struct.pack("<dIIddIdd", 5, 480_001, 2, 7, LIMB + 8, 2, 0, 9)
    assert decode("C1", added).buckets == {480_001: pack(2, 8 * LIMB + 8, 2, 9)}


@given(buckets)
def test_an_account_holds_the_buckets_of_its_snapshot(kept):
    account = account_of(AccountSnapshot("C1", max(kept) * 3_600_000, kept))
    assert account.buckets() == dict(sorted(kept.items()))
    assert account.day == sum(kept.values())
    assert account.previous == kept.get(max(kept) - 1, 0)


def test_an_account_with_a_busy_day_is_small():
    account = Account()
    for payment in range(24 * 50):
        account.count(payment * 72_000, payment // 50, pack(1, 10 ** 9, 0, 0))
    assert len(account.closed) == 23 * 36
