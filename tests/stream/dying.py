"""A program that sends itself SIGKILL or SIGSTOP when it reaches a step for the n-th time.

    python -m tests.stream.dying SIGNAL STEP N [arguments of the program]
"""

import os
import signal
import sys

from fraud.label_recorder import LabelRecorder
from fraud.stores.redis import RedisStore
from stream import labels, messages, scorer
from stream.worker import Worker

# Whose call is a step's boundary, and whether the signal comes before or after it.
STEPS = {
    "after-poll": (Worker, "score", "before"),
    "after-claim": (RedisStore, "claim", "after"),
    "after-score": (RedisStore, "finish", "before"),
    "after-finish": (RedisStore, "finish", "after"),
    "while-producing": (messages, "decision", "after"),
    "after-produce": (Worker, "produce", "after"),
    "before-commit": (Worker, "commit", "before"),
    "after-commit": (Worker, "commit", "after"),
}
LABEL_STEPS = {             # of `stream.labels`; the others are a scorer's
    "after-label": (RedisStore, "label", "after"),
    "after-record": (LabelRecorder, "record", "after"),
}


def arm(number: int, step: str, last: int) -> None:
    """Send the signal of a number at the boundary of the last of some calls."""
    owner, name, when = {**STEPS, **LABEL_STEPS}[step]
    call, calls = getattr(owner, name), 0

    def counted(*arguments):
        nonlocal calls
        calls += 1
        if calls == last and when == "before":
            os.kill(os.getpid(), number)
        result = call(*arguments)
        if calls == last and when == "after":
            os.kill(os.getpid(), number)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    arm(signal.Signals[sys.argv[1]], sys.argv[2], int(sys.argv[3]))
    program = labels if sys.argv[2] in LABEL_STEPS else scorer
    program.main(sys.argv[4:])
