"""Run the whole system under load and faults, and check that nothing is lost or doubled.

    python -m tests.endurance --minutes 60 --seed 7
    python -m tests.endurance --short

API with two workers, scorer, label recorder and desk run on a Redis and a Kafka broker of their
own, at half of the load that this machine carries from callers to the desk. A fault is injected
every two minutes. The exit code is 1 if something was lost, doubled, slow or grew.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.endurance.faults import FAULTS
from tests.endurance.judge import problems
from tests.endurance.report import report
from tests.endurance.run import SHORT, Plan, run
from tests.endurance.system import System


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=7,
                        help="of the faults and their order (default %(default)s)")
    parser.add_argument("--every", type=float, default=120,
                        help="seconds from fault to fault (default %(default)s)")
    parser.add_argument("--rate", type=float, default=0,
                        help="payments a second (default: half of what is measured)")
    parser.add_argument("--short", action="store_true",
                        help="each fault once, three seconds apart; without memory and speed")
    parser.add_argument("--fault", action="append", metavar="NAME", choices=[
        fault.name for fault in FAULTS], help="only this one; may be repeated (default: all)")
    parser.add_argument("--folder", type=Path,
                        help="an empty folder that keeps the files and logs of all programs "
                             "(default: a temporary one)")
    options = parser.parse_args()
    faults = tuple(fault for fault in FAULTS if not options.fault or fault.name in options.fault)
    plan = Plan(options.minutes, options.seed, options.every, options.rate, longest_pause=15,
                session_ms=10_000, recovery_seconds=60, faults=faults)
    if options.short:
        plan = replace(SHORT, seed=options.seed, faults=faults)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # also ends the programs
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, seed {plan.seed}",
          flush=True)
    with tempfile.TemporaryDirectory(prefix="fraud-endurance-", ignore_cleanup_errors=True) as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        system = System(folder, plan.session_ms)
        try:
            evidence, load, rate = run(system, plan)
        finally:
            system.stop()
    print("\n" + report(evidence, load, rate) + "\n")
    broken = problems(evidence)
    for sentence in broken:
        print(f"broken: {sentence}")
    if not broken:
        print("Nothing was lost, doubled or changed.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
