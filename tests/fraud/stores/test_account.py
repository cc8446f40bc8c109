from fraud.clock import DAY_MS
from fraud.packing import pack
from fraud.stores.account import Account

FIRST_DAY = 20_000


def test_an_account_with_a_busy_day_is_small():
    account = Account()
    for payment in range(24 * 50):
        account.count(FIRST_DAY * DAY_MS + payment * 72_000, pack(1, 10 ** 9, 0, 0), 1, True, False)
    assert len(account.hours) == 23 * 28 and not account.days
