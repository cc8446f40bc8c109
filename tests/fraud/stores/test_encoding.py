import struct

from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import AccountSnapshot, AccountTotals
from fraud.packing import LARGEST, pack
from fraud.stores import script_functions
from fraud.stores.account import account_of, snapshot_of
from fraud.stores.encoding import (
    DAY, EARLIER, HEADER, HOUR, TOTALS, TOTALS_FIELDS, decode, encode, pack_totals, totals_of)
from fraud.windows import DAY_HOURS, MONTH_DAYS

FIRST_DAY = 20_000
counts, cents = st.integers(0, 2 ** 32 // 30), st.integers(0, LARGEST)      # of a day
sums = st.builds(pack, st.integers(1, 2 ** 32 // 30), cents, counts, cents)
sketches = st.integers(0, 2 ** 64 - 1)


@st.composite
def snapshots(draw):
    today = FIRST_DAY + MONTH_DAYS - 1
    newest = draw(st.integers(today * DAY_MS, (today + 1) * DAY_MS - 1))
    hour = newest // HOUR_MS
    hours = draw(st.dictionaries(st.integers(hour - DAY_HOURS + 1, hour), sums))
    hours[hour] = draw(sums)
    days = draw(st.dictionaries(st.integers(FIRST_DAY, today), sums)) | {today: draw(sums)}
    frauds = draw(st.dictionaries(st.integers(FIRST_DAY, today), st.tuples(counts, counts)))
    return AccountSnapshot("C1", newest, newest, draw(st.integers(0, newest)), hours, days,
                           {day: draw(sketches) for day in days}, frauds)


@given(snapshots())
def test_an_encoded_account_decodes_to_itself(snapshot):
    assert decode("C1", encode(snapshot)) == snapshot


@given(snapshots())
def test_an_account_holds_the_history_of_its_snapshot(snapshot):
    assert snapshot_of("C1", account_of(snapshot)) == snapshot


def test_an_account_that_never_paid_is_kept():
    snapshot = AccountSnapshot("C1", 0, 0, 0, {}, {}, {}, {20_001: (1, 2)})
    assert decode("C1", encode(snapshot)) == snapshot
    assert snapshot_of("C1", account_of(snapshot)) == snapshot


def test_the_encoding_has_sums_of_the_days_before_today():
    days = {FIRST_DAY: pack(1, 2, 0, 0), FIRST_DAY + 6: pack(3, 4, 5, 6),
            FIRST_DAY + 7: pack(7, 8, 9, 10)}
    newest = (FIRST_DAY + 7) * DAY_MS
    contacts = {FIRST_DAY: 1, FIRST_DAY + 6: 2, FIRST_DAY + 7: 4}
    encoded = encode(AccountSnapshot(
        "C1", newest, newest, 5, {newest // HOUR_MS: pack(7, 8, 9, 10)}, days, contacts, {}))
    assert HEADER.unpack_from(encoded) == (
        newest, newest, 5, 1, 2, FIRST_DAY, 7, 8, 9, 10, 4)
    assert EARLIER.unpack_from(encoded, HEADER.size) == (3, 4, 5, 6, 4, 6, 5, 6, 2, 3)
    assert len(encoded) == HEADER.size + EARLIER.size + HOUR.size + 2 * DAY.size


def test_a_bucket_holds_at_most_the_largest_cents():
    day = {FIRST_DAY: pack(1, LARGEST + 1, 2, 2 ** 60)}
    decoded = decode("C1", encode(AccountSnapshot(
        "C1", FIRST_DAY * DAY_MS, 5, 0, {FIRST_DAY * 24: day[FIRST_DAY]}, day, {FIRST_DAY: 1}, {})))
    assert decoded.days == {FIRST_DAY: pack(1, LARGEST, 2, LARGEST)}
    assert decoded.hours == {FIRST_DAY * 24: pack(1, LARGEST, 2, LARGEST)}


def test_lua_has_the_same_formats():
    for lua, encoding in ((script_functions.HEADER, HEADER), (script_functions.EARLIER, EARLIER),
                          (script_functions.HOUR, HOUR), (script_functions.DAY, DAY)):
        in_python = lua.replace("I8", "Q").replace("I", "L")
        assert struct.calcsize(in_python) == encoding.size


NEWEST = (FIRST_DAY + 1) * DAY_MS
times = st.integers(FIRST_DAY * DAY_MS, NEWEST) | st.just(0)


@given(st.builds(AccountTotals, sums, sums, sums, sums, times, times, counts, sketches, sketches,
                 counts, counts))
def test_totals_survive_their_binary_form(totals):
    numbers = pack_totals(totals)
    assert len(numbers) == TOTALS_FIELDS
    packed = struct.pack("<" + TOTALS, *numbers)
    assert totals_of(struct.unpack("<" + TOTALS, packed), NEWEST) == totals
