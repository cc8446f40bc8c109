"""A scorer that kills itself with SIGKILL when it reaches a step for the n-th time.

    python -m tests.stream.dying STEP N [arguments of the scorer]
"""

import os
import signal
import sys

from stream import scorer, worker
from stream.worker import Worker

# Whose call is a step's boundary, and whether the scorer dies before or after it.
STEPS = {
    "after-poll": (Worker, "score", "before"),
    "after-claim": (None, "claim", "after"),
    "after-score": (None, "finish", "before"),
    "after-finish": (None, "finish", "after"),
    "while-producing": (worker.messages, "decision", "after"),
    "after-produce": (Worker, "produce", "after"),
    "before-commit": (Worker, "commit", "before"),
    "after-commit": (Worker, "commit", "after"),
}


def arm(step: str, number: int) -> None:
    """Let the n-th call at a step's boundary be the last one."""
    from fraud.stores.redis import RedisStore

    owner, name, when = STEPS[step]
    owner = owner or RedisStore
    call, calls = getattr(owner, name), 0

    def counted(*arguments):
        nonlocal calls
        calls += 1
        if calls == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    scorer.main(sys.argv[3:])
