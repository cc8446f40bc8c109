"""Parsers accept or refuse any bytes: those of the corpus, and what a fuzzer makes of it."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import parsers

ROOT = Path(__file__).parents[2]
FILES = [(name, file) for name in parsers.PARSERS
         for file in sorted((parsers.CORPUS / name).iterdir())]


@pytest.mark.parametrize(("name", "file"), FILES, ids=lambda part: getattr(part, "name", part))
def test_the_corpus_is_accepted_or_refused(name, file):
    parsers.run(name, file.read_bytes())


def test_each_parser_accepts_something(monkeypatch):
    monkeypatch.setattr(parsers, "REFUSALS", ())
    accepted = set()
    for name, file in FILES:
        try:
            parsers.run(name, file.read_bytes())
        except Exception:
            continue
        accepted.add(name)
    assert accepted == set(parsers.PARSERS)


@pytest.mark.acceptance
@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"),
                    reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", parsers.PARSERS)
def test_a_fuzzer_finds_no_crash_and_no_hang(name, tmp_path, acceptance, record_property):
    """In acceptance inputs are new ones each time, elsewhere the same: a change is not to blame."""
    limits = ([f"-max_total_time={3600 // len(parsers.PARSERS)}"] if acceptance
              else ["-seed=1", "-runs=5000"])
    (tmp_path / "corpus").mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, *limits, "-timeout=10",
         "-rss_limit_mb=0",     # a new process begins with the peak of the one that started it
         tmp_path / "corpus", parsers.CORPUS / name],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    done = re.search(r"Done (\d+) runs", run.stderr)
    assert done and int(done[1]) > len(list((parsers.CORPUS / name).iterdir()))
    record_property("inputs", int(done[1]))
