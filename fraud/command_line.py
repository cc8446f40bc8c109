"""One way to run every command: parse, call, print one sentence for a user's error."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from fraud.errors import FraudError

Arguments = Sequence[str] | None
INTERRUPTED = 130       # the exit code of a program that Ctrl-C ended: 128 + SIGINT


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser that shows a module's docstring unchanged.

    Args:
        program: the command as users type it, such as `python -m serve`.
        description: the docstring.
    """
    return argparse.ArgumentParser(prog=program, description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def command(main: Callable[[Arguments], int | None]) -> Callable[..., None]:
    """Decorate the main function of a command: user errors print `error: ...` and exit 2.

    The decorated function takes the arguments (default: those of the process) and exits with the
    code that the function returns; it returns normally where that is 0 or None.
    """
    @functools.wraps(main)
    def run(arguments: Arguments = None) -> None:
        try:
            code = main(arguments)
        except FraudError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        if code:
            sys.exit(code)

    return run
