"""Modules whose tests mutation testing checks, and the test files to run against their mutants."""

from pathlib import PurePosixPath

# Test files besides the one that mirrors the module, or instead of it where there is none.
MODULES: dict[str, tuple[str, ...]] = {
    "fraud/bundle/policy.py": (),
    "fraud/canary.py": (),
    "fraud/decision.py": (),
    "fraud/labels.py": (),
    "fraud/packing.py": (),
    "fraud/pseudonym.py": (),
    "fraud/rules/rule_set.py": (),
    "fraud/rules/ruling.py": (),
    "fraud/shadow.py": (),
    "fraud/training/data/mapping.py": (),
    "fraud/training/evaluation/gate.py": (),
    "fraud/training/leakage/checks.py": (),
    "fraud/training/leakage/post_event_columns.py": (),
    "fraud/transaction.py": (),
    "fraud/windows.py": (),
    "stream/backoff.py": (),
    "stream/messages.py": (),
}


def mirror(module: str) -> str:
    """Return the test file of a module: tests/fraud/test_labels.py of fraud/labels.py."""
    path = PurePosixPath(module)
    return f"tests/{path.parent}/test_{path.name}"
