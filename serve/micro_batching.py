"""Micro-batching: concurrent requests with one payment are scored in one call.

A call has fixed costs: an ONNX run, a trip to the store, a change of threads. Under load requests
share them; a single request does not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fraud.caller import Caller
from fraud.decision import Answered, Refused
from fraud.transaction import Transaction

BATCH_MAX = 64          # payments in a call: bounds the wait for others


class _Waiting(NamedTuple):
    """A payment with its caller, and the future that receives its outcome."""

    payment: Transaction
    caller: Caller
    outcome: asyncio.Future[Answered | Refused]


class MicroBatcher:
    """Turns concurrent calls with one payment into one call with all. For one event loop.

    Args:
        score: returns the outcomes of payments with their callers, in their order.
    """

    def __init__(self, score: Callable[[list[Transaction], list[Caller]],
                                       Awaitable[list[Answered | Refused]]]):
        self._score_all = score
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Task[None]] = set()

    async def score(self, payment: Transaction, caller: Caller) -> Answered | Refused:
        """Return the outcome of a payment, or raise the error of its batch.

        If the caller disconnects, the payment is scored all the same.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)     # after the requests that have arrived by now
        waiting = _Waiting(payment, caller, loop.create_future())
        self._waiting.append(waiting)
        return await waiting.outcome

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), BATCH_MAX):
            task = asyncio.create_task(self._score(waiting[first:first + BATCH_MAX]))
            self._running.add(task)         # asyncio keeps only a weak reference
            task.add_done_callback(self._running.discard)

    async def _score(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._score_all([waiting.payment for waiting in batch],
                                             [waiting.caller for waiting in batch])
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.outcome.done():          # a disconnected caller cancelled it
                    waiting.outcome.set_result(outcome)
        except Exception as error:
            for waiting in batch:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error)
