import struct

from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import AccountSnapshot, AccountTotals
from fraud.packing import pack
from fraud.stores.account import (
    LIMB, TOTALS, Account, account_of, decode, encode, pack_totals, snapshot_of, totals_of)
from fraud.windows import DAY_HOURS, MONTH_DAYS

FIRST_HOUR, FIRST_DAY = 480_000, 20_000
counts, cents = st.integers(0, 2 ** 32 - 1), st.integers(0, 10 ** 22)
sums = st.builds(pack, st.integers(1, 2 ** 32 - 1), cents, counts, cents)
sketches = st.integers(0, 2 ** 64 - 1)


@st.composite
def snapshots(draw):
    hours = draw(st.dictionaries(st.integers(FIRST_HOUR, FIRST_HOUR + DAY_HOURS - 1), sums,
                                 min_size=1))
    days = draw(st.dictionaries(st.integers(FIRST_DAY, FIRST_DAY + MONTH_DAYS - 1), sums,
                                min_size=1))
    frauds = draw(st.dictionaries(st.integers(FIRST_DAY, FIRST_DAY + MONTH_DAYS - 1),
                                  st.tuples(counts, counts)))
    newest = max(hours) * HOUR_MS + 5
    return AccountSnapshot("C1", newest, newest, draw(st.integers(0, newest)), hours, days,
                           {day: draw(sketches) for day in days}, frauds)


@given(snapshots())
def test_an_encoded_account_decodes_to_itself(snapshot):
    assert decode("C1", encode(snapshot)) == snapshot


@given(snapshots())
def test_an_account_holds_the_history_of_its_snapshot(snapshot):
    assert snapshot_of("C1", account_of(snapshot)) == snapshot


def test_redis_can_add_to_the_encoding():
    snapshot = AccountSnapshot("C1", 5, 4, 3, {480_001: pack(1, 7 * LIMB + 8, 2, 9)},
                               {20_000: pack(1, 8, 2, 9)}, {20_000: 2 ** 63 + 1}, {20_001: (1, 2)})
    day = struct.pack("<IIddIddII", 20_000, 1, 0, 8, 2, 0, 9, 1, 2 ** 31)
    end = day + struct.pack("<III", 20_001, 1, 2)
    assert encode(snapshot) == struct.pack(
        "<dddHHIIddIdd", 5, 4, 3, 1, 1, 480_001, 1, 7, 8, 2, 0, 9) + end
    added = struct.pack("<dddHHIIddIdd", 5, 4, 3, 1, 1, 480_001, 2, 7, LIMB + 8, 2, 0, 9) + end
    assert decode("C1", added).hours == {480_001: pack(2, 8 * LIMB + 8, 2, 9)}


NEWEST = (FIRST_DAY + 1) * DAY_MS
times = st.integers(FIRST_DAY * DAY_MS, NEWEST) | st.just(0)


@given(st.builds(AccountTotals, sums, sums, sums, sums, times, times, counts, sketches, sketches,
                 counts, counts))
def test_totals_survive_their_binary_form(totals):
    packed = struct.pack("<" + TOTALS, *pack_totals(totals))
    assert totals_of(struct.unpack("<" + TOTALS, packed), NEWEST) == totals


def test_an_account_with_a_busy_day_is_small():
    account = Account()
    for payment in range(24 * 50):
        account.count(FIRST_DAY * DAY_MS + payment * 72_000, pack(1, 10 ** 9, 0, 0), 1, True, False)
    assert len(account.hours.closed) == 23 * 36 and not account.days.closed
