from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from fraud.training.simulate.ledger import AMOUNT_CUT, SMALLEST, settle
from fraud.training.simulate.population import AGENT, CUSTOMER, MERCHANT, NEW
from fraud.transaction import TYPE_CODES, TYPES

KINDS = np.array([CUSTOMER, CUSTOMER, CUSTOMER, AGENT, MERCHANT, NEW, NEW], np.int8)
CASH_IN, TRANSFER = TYPE_CODES["CASH_IN"], TYPE_CODES["TRANSFER"]

accounts = st.integers(0, KINDS.size - 1)
drafts = st.lists(
    st.tuples(st.integers(0, len(TYPES) - 1), accounts, accounts, st.integers(1, 10**6),
              st.sampled_from([0.0, 0.0, 0.3, 1.0]), st.integers(1, 2 * 10**6)
              ).filter(lambda draft: draft[1] != draft[2]), min_size=1, max_size=40)


def settled(payments: list[tuple], seed: int = 0):
    type_code, origin, destination, drawn, share, limit = map(np.array, zip(*payments, strict=True))
    return settle(type_code, origin, destination, drawn, share, limit, KINDS,
                  np.random.default_rng(seed))


@given(drafts, st.integers(0, 99))
def test_every_balance_follows_from_the_payment_before(payments, seed):
    amount, origin_balance, destination_balance = settled(payments, seed)
    holds: dict[int, int] = {}
    for place, (type_code, origin, destination, *_) in enumerate(payments):
        into_origin = amount[place] if type_code == CASH_IN else -amount[place]
        for account, before, change in ((origin, origin_balance[place], into_origin),
                                        (destination, destination_balance[place], -into_origin)):
            if KINDS[account] == MERCHANT:
                assert before == 0
                continue
            assert before == holds.get(account, before)
            holds[account] = before + change


@given(drafts, st.integers(0, 99))
def test_an_amount_is_a_share_of_the_balance_or_drawn_and_within_its_limit(payments, seed):
    amount, origin_balance, _ = settled(payments, seed)
    for place, (_, _, _, drawn, share, limit) in enumerate(payments):
        part = min(round(int(origin_balance[place]) * share), limit)
        taken = share > 0 and part >= SMALLEST
        assert amount[place] == (part if taken else min(drawn, limit))


@given(drafts, st.integers(0, 99))
def test_new_accounts_open_empty_and_no_account_opens_overdrawn(payments, seed):
    _, origin_balance, destination_balance = settled(payments, seed)
    opening: dict[int, int] = {}
    for place, (_, origin, destination, *_) in enumerate(payments):
        opening.setdefault(origin, origin_balance[place])
        opening.setdefault(destination, destination_balance[place])
    assert all(balance >= 0 for balance in opening.values())
    assert all(balance == 0 for account, balance in opening.items() if KINDS[account] == NEW)


def test_money_that_is_passed_on_is_followed_through_all_hands():
    hands = [0, 1, 5, 6]
    payments = [(TRANSFER, payer, payee, 5, 1.0, AMOUNT_CUT)
                for payer, payee in pairwise(hands)]
    amount, origin_balance, destination_balance = settled(payments, seed=1)
    assert origin_balance.tolist() == amount.tolist()
    assert amount[1] == amount[0] + destination_balance[0] and amount[2] == amount[1] > SMALLEST


def test_opening_balances_carry_most_accounts_through_the_month():
    rng = np.random.default_rng(3)
    kinds = np.full(2_000, CUSTOMER, np.int8)
    payer, step = rng.integers(0, 2_000, 20_000), rng.integers(1, 2_000, 20_000)
    drawn = rng.lognormal(15, 1, 20_000).astype(np.int64)
    _, origin_balance, _ = settle(np.full(20_000, TRANSFER), payer, (payer + step) % 2_000, drawn,
                                  np.zeros(20_000), np.full(20_000, AMOUNT_CUT), kinds, rng)
    assert 0 < (origin_balance < drawn).mean() < 0.1
