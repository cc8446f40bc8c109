"""Fuzz one parser with atheris: mutated inputs, guided by coverage.

    python -m tests.fuzz payment tests/fuzz/corpus/payment -max_total_time=60

Options and folders are those of libFuzzer. An input that makes the parser fail is written to the
working directory as crash-DIGEST; with the file as the only argument it is tried again.
"""

import sys

import atheris

with atheris.instrument_imports(include=["desk", "fraud", "monitoring", "serve", "stream"]):
    from tests.fuzz import parsers


def main() -> None:
    program, name, *options = sys.argv
    if name not in parsers.PARSERS:
        sys.exit(f"error: {name} is not a parser; name one of {', '.join(parsers.PARSERS)}")
    atheris.Setup([program, *options], lambda content: parsers.run(name, content))
    atheris.Fuzz()


main()
