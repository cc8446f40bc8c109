"""A pytest plugin for `make acceptance`: the results as a page, docs/acceptance.md.

A test with the marker `acceptance` has a long form, which it takes where the fixture of that name
is true, and says by `record_property` what it measured or how much it did.
"""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil

PAGE = Path(__file__).parents[1] / "docs/acceptance.md"
HEAD = """# Acceptance

`make acceptance` runs the long forms of the tests that have one, and writes this page.

{date}, {cores} cores, {memory:.0f} GiB, {system}, Python {python}

| test | result | seconds | what |
| --- | --- | ---: | --- |
"""


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for outcome in ("passed", "failed", "error")
               for report in terminalreporter.stats.get(outcome, [])
               if outcome == "error" or report.when == "call"]
    PAGE.write_text(HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", cores=os.cpu_count(),
        memory=psutil.virtual_memory().total / 2 ** 30, system=platform.platform(),
        python=platform.python_version()) + "".join(map(line, reports)))


def line(report) -> str:
    """A row of the table."""
    name = report.nodeid.split("::")[-1].removeprefix("test_").replace("_", " ")
    what = ", ".join(f"{value:,} {name}" for name, value in report.user_properties)
    return f"| {name} | {report.outcome} | {report.duration:,.0f} | {what} |\n"
