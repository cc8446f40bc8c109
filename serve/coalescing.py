"""Payments of requests that wait at the same moment are scored in one call.

A call has costs of its own: an ONNX run, a trip to the store, a change of threads. Under load they
are shared; a request that is alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fraud.scorer import Answered, Refused
from fraud.transaction import Transaction

Outcome = Answered | Refused
MOST = 64           # payments a call: nobody waits for many others


class Coalescer:
    """Turns calls with one payment into calls with all that wait. For one event loop.

    Args:
        score: gives outcomes of payments, in their order.
    """

    def __init__(self, score: Callable[[list[Transaction]], Awaitable[list[Outcome]]]):
        self._score_all = score
        self._waiting: list[tuple[Transaction, asyncio.Future[Outcome]]] = []
        self._running: set[asyncio.Task] = set()

    async def score(self, payment: Transaction) -> Outcome:
        """The outcome of a payment; raises what scoring it, with others, has raised.

        A caller that goes away does not end what it began: the payment is scored all the same.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)     # after the requests that have arrived by now
        future = loop.create_future()
        self._waiting.append((payment, future))
        return await future

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST):
            task = asyncio.create_task(self._score(waiting[first:first + MOST]))
            self._running.add(task)         # asyncio itself keeps no hold of it
            task.add_done_callback(self._running.discard)

    async def _score(self, waiting: list[tuple[Transaction, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._score_all([payment for payment, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(waiting, outcomes):
            if not future.done():           # it is, where the caller has gone
                future.set_result(outcome)
