from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from fraud.training.simulate.ledger import AMOUNT_CUT, ROUNDED_FROM, SMALLEST, rounded, settle
from fraud.transaction import TYPE_CODES, TYPES

ACCOUNTS, MERCHANT, NEW = 7, 4, (5, 6)
WITHOUT_BALANCE = np.arange(ACCOUNTS) == MERCHANT
OPENS_EMPTY = np.isin(np.arange(ACCOUNTS), NEW)
CASH_IN, TRANSFER = TYPE_CODES["CASH_IN"], TYPE_CODES["TRANSFER"]

accounts = st.integers(0, ACCOUNTS - 1)
drafts = st.lists(
    st.tuples(st.integers(0, len(TYPES) - 1), accounts, accounts, st.integers(1, 10**6),
              st.sampled_from([0.0, 0.0, 0.3, 1.0, 1.5]), st.integers(1, 2 * 10**6), st.booleans()
              ).filter(lambda draft: draft[1] != draft[2]), min_size=1, max_size=40)


def settled(payments: list[tuple], seed: int = 0):
    columns = map(np.array, zip(*payments, strict=True))
    return settle(*columns, WITHOUT_BALANCE, OPENS_EMPTY, np.random.default_rng(seed))


@given(drafts, st.integers(0, 99))
def test_every_balance_follows_from_the_payment_before(payments, seed):
    amount, origin_balance, destination_balance = settled(payments, seed)
    holds: dict[int, int] = {}
    for place, (type_code, origin, destination, _, share, *_) in enumerate(payments):
        moved = 0 if share > 1 else amount[place]
        into_origin = moved if type_code == CASH_IN else -moved
        for account, before, change in ((origin, origin_balance[place], into_origin),
                                        (destination, destination_balance[place], -into_origin)):
            if account == MERCHANT:
                assert before == 0
                continue
            assert before == holds.get(account, before)
            holds[account] = before + change


@given(drafts, st.integers(0, 99))
def test_an_amount_is_a_share_of_the_balance_or_drawn_and_within_its_limit(payments, seed):
    amount, origin_balance, _ = settled(payments, seed)
    for place, (_, _, _, drawn, share, limit, is_round) in enumerate(payments):
        part = min(round(int(origin_balance[place]) * share), limit)
        sums = np.array([part, min(drawn, limit)])
        part, drawn = rounded(sums) if is_round else sums
        assert amount[place] == (part if share > 0 and part >= SMALLEST else drawn)
        assert amount[place] <= limit


@given(drafts, st.integers(0, 99))
def test_new_accounts_open_empty_and_no_account_opens_overdrawn(payments, seed):
    _, origin_balance, destination_balance = settled(payments, seed)
    opening: dict[int, int] = {}
    for place, (_, origin, destination, *_) in enumerate(payments):
        opening.setdefault(origin, origin_balance[place])
        opening.setdefault(destination, destination_balance[place])
    assert all(balance >= 0 for balance in opening.values())
    assert all(balance == 0 for account, balance in opening.items() if account in NEW)


@given(st.integers(1, AMOUNT_CUT))
def test_a_round_sum_has_two_digits_and_is_not_larger(cents):
    (sum_,) = rounded(np.array([cents])).tolist()
    if cents < ROUNDED_FROM:
        assert sum_ == cents
    else:
        assert 0.9 * cents < sum_ <= cents and set(str(sum_)[2:]) == {"0"}


def test_money_that_is_passed_on_is_followed_through_all_hands():
    hands = [0, 1, 5, 6]
    payments = [(TRANSFER, payer, payee, 5, 1.0, AMOUNT_CUT, False)
                for payer, payee in pairwise(hands)]
    amount, origin_balance, destination_balance = settled(payments, seed=1)
    assert origin_balance.tolist() == amount.tolist()
    assert amount[1] == amount[0] + destination_balance[0] and amount[2] == amount[1] > SMALLEST


def test_opening_balances_carry_most_accounts_through_the_month():
    rng = np.random.default_rng(3)
    none = np.zeros(2_000, bool)
    payer, step = rng.integers(0, 2_000, 20_000), rng.integers(1, 2_000, 20_000)
    drawn = rng.lognormal(15, 1, 20_000).astype(np.int64)
    _, origin_balance, _ = settle(np.full(20_000, TRANSFER), payer, (payer + step) % 2_000, drawn,
                                  np.zeros(20_000), np.full(20_000, AMOUNT_CUT),
                                  np.zeros(20_000, bool), none, none, rng)
    assert 0 < (origin_balance < drawn).mean() < 0.1
