"""Mutation testing: change a module in one place at a time; a test should fail each time.

    python -m tests.mutation fraud/transaction.py stream/messages.py

Needs mutmut: `make mutants`. Prints each mutant that no test has noticed, then a table. Without a
module all of tests/mutation/modules.py are run. Exits with 1 if a module is below `LEAST_KILLED`.
"""

import os
import sys
from pathlib import Path

from tests.mutation.modules import MODULES
from tests.mutation.running import run

ROOT = Path(__file__).parents[2]
LEAST_KILLED = 0.85


def main() -> None:
    modules = sys.argv[1:] or list(MODULES)
    if unknown := [module for module in modules if module not in MODULES]:
        sys.exit(f"error: {unknown[0]} is not in tests/mutation/modules.py; add it with its tests")
    jobs = int(os.environ.get("JOBS", os.cpu_count() or 1))
    outcomes = {}
    for module in modules:
        outcomes[module] = run(ROOT, module, jobs)
        print("\n".join(outcomes[module].survivors), flush=True)
    print("| module | mutants | killed | share |\n| --- | ---: | ---: | ---: |")
    for module, outcome in outcomes.items():
        print(f"| {module} | {outcome.mutants} | {outcome.killed} | {outcome.share:.0%} |")
    sys.exit(any(outcome.share < LEAST_KILLED for outcome in outcomes.values()))


main()
