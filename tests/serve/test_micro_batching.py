import asyncio

import pytest

from serve.micro_batching import BATCH_MAX, MicroBatcher


class Calls:
    """Answers payments, here numbers, with their tenfold, and remembers who were asked together."""

    def __init__(self, seconds: float = 0):
        self.sizes, self._seconds = [], seconds

    async def score(self, payments, callers):
        assert callers == [payment * 100 for payment in payments]
        self.sizes.append(len(payments))
        await asyncio.sleep(self._seconds)
        if 13 in payments:
            raise ValueError("thirteen")
        return [payment * 10 for payment in payments]


def outcomes(calls: Calls, payments) -> list:
    async def score():
        coalescer = MicroBatcher(calls.score)
        return await asyncio.gather(*(coalescer.score(payment, payment * 100)
                                      for payment in payments), return_exceptions=True)

    return asyncio.run(score())


def test_what_waits_at_the_same_moment_is_one_call_and_each_gets_its_own_outcome():
    calls = Calls()
    assert outcomes(calls, range(1, 9)) == [payment * 10 for payment in range(1, 9)]
    assert calls.sizes == [8]


def test_a_call_has_a_limit():
    calls = Calls()
    assert outcomes(calls, range(100, 100 + BATCH_MAX + 1)) == [
        payment * 10 for payment in range(100, 100 + BATCH_MAX + 1)]
    assert calls.sizes == [BATCH_MAX, 1]


def test_one_that_comes_later_does_not_wait_for_a_slow_call():
    async def score():
        calls = Calls(seconds=0.2)
        coalescer = MicroBatcher(calls.score)
        first = asyncio.create_task(coalescer.score(1, 100))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(coalescer.score(2, 200))
        await asyncio.sleep(0.05)
        return calls.sizes, await first, await second

    assert asyncio.run(score()) == ([1, 1], 10, 20)


def test_who_goes_away_takes_nothing_from_the_others():
    async def score():
        calls = Calls(seconds=0.05)
        coalescer = MicroBatcher(calls.score)
        gone, stays = (asyncio.create_task(coalescer.score(payment, payment * 100))
                       for payment in (1, 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return calls.sizes, await stays

    assert asyncio.run(score()) == ([2], 20)


def test_an_error_reaches_all_of_its_call_and_none_of_the_next():
    calls = Calls()
    assert list(map(str, outcomes(calls, [12, 13]))) == ["thirteen", "thirteen"]
    assert outcomes(calls, [14]) == [140]
