"""Measure everything that bench/ measures, and write docs/benchmarks.md.

    make bench                                          more than an hour, on an idle machine
    python -m bench --only serving history              these again; the rest of the page stays

Each part prints a table with its date; what counts are ratios, measured within one run.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from pathlib import Path

import psutil

PAGE = Path("docs/benchmarks.md")
PARTS = {       # the arguments of `python -m bench.<name>`, and the heading of its section
    "training": ([], "Training"),
    "history": (["--model", "models"], "History stores and scorer"),
    "serving": ([], "The API"),
    "workers": ([], "Workers of the API on Redis"),
    "lambda_function": (["fraud-detector"], "The image as a Lambda function"),
    "stream": ([], "The stream"),
    "shadow": ([], "A challenger in shadow"),
    "soak": ([], "Soak test: twenty minutes at half of the limit"),
}
HEAD = """\
# Benchmarks

`make bench` writes this page. The machines were shared, so a figure is a bound rather than a
promise; ratios were measured within one run. [serving.md](serving.md) explains what limits the API,
[simulator.md](simulator.md) how difficult the simulated fraud is.
"""


def measured(name: str) -> str:
    """Run a part and return its output as a section of the page.

    Raises:
        subprocess.CalledProcessError: it failed, and printed the reason.
    """
    options, title = PARTS[name]
    command = ["bench." + name, *options]
    print(f"python -m {' '.join(command)}", file=sys.stderr)
    printed = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    return f"{_heading(name)}\n`python -m {' '.join(command)}`, {_machine()}:\n\n{printed}"


def _heading(name: str) -> str:
    return f"## {PARTS[name][1]}\n"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2 ** 30
    return f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB"


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by the name of their part."""
    return {name: _heading(name) + page.split(_heading(name))[1].split("\n## ")[0]
            for name in PARTS if _heading(name) in page}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"of {', '.join(PARTS)} (default: all)")
    options = parser.parse_args(arguments)
    measurements = sections(PAGE.read_text()) if PAGE.exists() else {}
    failed = []
    for name in options.only:
        try:
            measurements[name] = measured(name)
        except subprocess.CalledProcessError:
            failed.append(name)
            continue
        written = [measurements[part].strip() + "\n" for part in PARTS if part in measurements]
        PAGE.write_text("\n".join([HEAD, *written]))
    if failed:
        sys.exit(f"error: not measured: {', '.join(failed)}; their errors are above")


if __name__ == "__main__":
    main()
