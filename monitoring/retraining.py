"""Whether a retraining is due, why, and the retraining itself.

    python -m monitoring.retraining --report report/report.json --check
    python -m monitoring.retraining --report report/report.json \\
        --transactions known/training.parquet

The flow's gate decides whether what comes of it is promoted, and `registry rollback` takes that
back. Why it was started is kept with the run and with its version (`registry show`).

Exit codes: 0 nothing is due, or it went well; 1 the retraining failed; 2 the command cannot be
carried out; 3 it is due, and only that was asked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from fraud.bundle import BundleError
from fraud.champion import Champion
from fraud.training import publication
from fraud.training.errors import TrainingError
from monitoring import exposition, report, settings
from monitoring.report import Report
from monitoring.settings import Policy

DAY = 86_400_000        # ms
FLOW = Path(__file__).parents[1] / "flows/train_flow.py"
DUE = 3


def reasons(found: Report, trained_at: int, now: int, policy: Policy) -> list[str]:
    """Why a retraining is due; empty where it is not.

    What there is too little data to know is no reason.

    Args:
        trained_at: of the champion, ms since the epoch; 0 where it does not say.
        now: ms since the epoch.
    """
    due = []
    if found.drift.share > policy.drift_share:
        columns = [name for name in found.drifted if name != "score"]
        due.append(f"{found.drift.share:.0%} of the columns drifted, first {columns[0]}")
    fall = found.performance.f1_fall if found.performance else 0.0
    if fall > policy.f1_fall:
        due.append(f"F1 fell by at least {fall:.3f}")
    days = (now - trained_at) / DAY
    if trained_at and days > policy.max_age_days:
        due.append(f"the champion is {days:.0f} days old")
    return due


def retrain(transactions: Path, flow_settings: Path, why: str) -> bool:
    """Run the flow on a window of payments; whether it went well."""
    return subprocess.run([
        sys.executable, str(FLOW), "--config", "settings", str(flow_settings), "run",
        "--transactions", str(transactions), "--why", why],
        check=False).returncode == 0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.retraining", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, required=True, help="a report.json")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--check", action="store_true", help="only say whether it is due")
    task.add_argument("--transactions", type=Path, help="the payments to learn from, see "
                                                        "monitoring.labels")
    parser.add_argument("--policy", type=Path, default=settings.FOLDER / "retraining.toml",
                        help="when it is due (default: the file beside this module)")
    parser.add_argument("--flow-settings", type=Path, default=FLOW.with_suffix(".toml"),
                        help="of the flow: a split whose train period reaches into what is new "
                             "(default: flows/train_flow.toml)")
    options = parser.parse_args(arguments)
    try:
        sys.exit(_run(options))
    except (TrainingError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _run(options: argparse.Namespace) -> int:
    found = report.read(options.report)
    policy = settings.read(options.policy, Policy)
    trained_at = Champion(publication.target()).bundle.manifest.trained_at
    due = "; ".join(reasons(found, trained_at, _now(), policy))
    print(f"a retraining is due: {due}" if due else "no retraining is due", flush=True)
    if not due:
        return 0
    if options.check:
        return DUE
    if not options.transactions.is_file():
        raise TrainingError(f"{options.transactions}: is no file; make it with python -m "
                            "monitoring.labels")
    went_well = retrain(options.transactions, options.flow_settings, due)
    exposition.write_retraining(not went_well, _now(), options.report.parent / "retraining.prom")
    return 0 if went_well else 1


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
