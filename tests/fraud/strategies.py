"""Strategies of Hypothesis: any valid payment, and any counts before it."""

from hypothesis import strategies as st

from fraud.transaction import EVENT_TIME_LIMIT, EVENT_TIME_START, TYPES
from fraud.windows import COUNT_NAMES
from tests.factories import payment

MAX_AMOUNT_CENTS = 10**14
MAX_BALANCE_CENTS = 10**15
MAX_COUNT = 2**53        # nobody makes so many payments: up to here a count is exact in float64
MAX_SUM = 2**63 - 1      # of cents: beyond 2**53, to the end of int64


def around(*borders):
    """Integers within three of a border."""
    return st.builds(int.__add__, st.sampled_from(borders), st.integers(-3, 3))


def within(low, high, *borders):
    """Integers of a range, often near zero, its ends, and other borders."""
    near = around(0, low, high, *borders).filter(lambda number: low <= number <= high)
    if low > 10_000:
        return st.integers(low, high) | near
    return st.integers(low, high) | st.integers(max(low, -10_000), min(high, 10_000)) | near


balances = within(-MAX_BALANCE_CENTS, MAX_BALANCE_CENTS, MAX_AMOUNT_CENTS, 2**24, 2**32)


@st.composite
def payments(draw, unknown=True):
    """Any valid payment; often one that takes all that there is, or a cent more or less.

    Args:
        unknown: balances and the destination may be None.
    """
    nothing = st.none() if unknown else st.nothing()
    amount = draw(within(0, MAX_AMOUNT_CENTS, 2**24, 2**32))
    return payment(
        event_time=draw(within(EVENT_TIME_START, EVENT_TIME_LIMIT - 1)),
        type=draw(st.sampled_from(TYPES)),
        amount_cents=amount,
        origin_balance_cents=draw(balances | around(amount) | nothing),
        destination=draw(st.just("C2") | nothing),
        destination_balance_cents=draw(balances | nothing),
    )


sums = within(0, MAX_SUM, 2**53, 2**54, 2**62)
numbers = within(0, MAX_COUNT, 2**24, 2**25)
count_rows = st.tuples(*(sums if "cents" in name else numbers for name in COUNT_NAMES))
