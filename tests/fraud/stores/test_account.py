from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS
from fraud.packing import LARGEST, pack
from fraud.stores.account import Account, account_of, snapshot_of

FIRST_DAY = 20_000
times = st.integers(0, 50 * 24 * 4).map(lambda quarter: FIRST_DAY * DAY_MS + quarter * HOUR_MS // 4)
cents = st.integers(1, 1_000) | st.integers(LARGEST // 2, LARGEST)


@given(st.lists(st.tuples(times, cents, st.booleans(), st.integers(0, 63)), max_size=60))
def test_an_account_is_that_of_its_snapshot_in_any_order_of_payments(payments):
    account = Account()
    for time, amount, is_sent, bit in payments:
        sums = pack(1, amount, 0, 0) if is_sent else pack(0, 0, 1, amount)
        account.count(time, sums, 1 << bit, is_sent, not is_sent)
    assert account_of(snapshot_of("C1", account)) == account


def test_an_account_with_a_busy_day_is_small():
    account = Account()
    for payment in range(24 * 50):
        account.count(FIRST_DAY * DAY_MS + payment * 72_000, pack(1, 10 ** 9, 0, 0), 1, True, False)
    assert len(account.hours) == 23 * 28 and not account.days
