"""The demo: a whole stream, which ends and leaves nothing behind."""

import subprocess
import sys

import pytest

from fraud.transaction import TYPES
from tests.stream.running import environment


def demo(*arguments: str, **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "stream.demo", *arguments], text=True,
                          capture_output=True, env=environment(COLUMNS="160", **settings))


@pytest.mark.system
def test_it_shows_decisions_with_reasons_and_dead_letters(tmp_path, make_bundle):
    make_bundle(tmp_path / "bundle")
    done = demo("--seconds", "20", "--out", str(tmp_path / "out"), "--",
                "--rows", "20000", "--rate", "500", "--corrupt", "0.05",
                FRAUD_MODEL=str(tmp_path / "bundle"), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for expected in ("decline", "decisions a second", "ms from message to decision", "not-json",
                     "bad-key"):
        assert expected in done.stdout
    assert any(name in done.stdout for name in TYPES)       # of the latest decisions
    assert not list(tmp_path.glob("fraud-*"))
    lines = (tmp_path / "out/decisions.jsonl").read_text().splitlines()
    assert len(lines) > 1_000
    assert f"make report DECISIONS={tmp_path}/out/decisions.jsonl" in done.stdout


def test_without_a_champion_it_says_what_to_do(tmp_path):
    done = demo(FRAUD_MODEL=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "train a model" in done.stderr
