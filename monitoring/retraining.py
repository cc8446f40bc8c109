"""Retraining: whether it is due, why, and the run itself.

    python -m monitoring.retraining --report report/report.json --check
    python -m monitoring.retraining --report report/report.json \\
        --transactions known/training.parquet

The flow's gate decides about promotion, and `registry rollback` reverts it. The reason is recorded
with the run and its version (`registry show`).

Exit codes: 0 nothing is due, or it succeeded; 1 the retraining failed; 2 a user error; 3 it is due,
with --check.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fraud import clock
from fraud.champion import Champion
from fraud.command_line import Arguments, command, parser
from fraud.training.errors import TrainingError
from fraud.training.registry import publication
from monitoring import exposition, settings
from monitoring.report import Report, load_report
from monitoring.settings import RetrainingTriggers, read_settings

FLOW = Path(__file__).parents[1] / "flows/train_flow.py"
DUE = 3


def reasons(report: Report, trained_at: int, now: int, triggers: RetrainingTriggers) -> list[str]:
    """Return the reasons why a retraining is due; too little data is not a reason.

    Args:
        trained_at: of the champion, ms since the epoch; 0 if it does not say.
        now: ms since the epoch.
    """
    due = []
    if report.drift.share > triggers.drift_share:
        columns = [name for name in report.drifted if name != "score"]
        due.append(f"{report.drift.share:.0%} of the columns drifted, first {columns[0]}")
    fall = report.performance.f1_fall if report.performance else 0.0
    if fall > triggers.f1_fall:
        due.append(f"F1 fell by at least {fall:.3f}")
    days = (now - trained_at) / clock.DAY_MS
    if trained_at and days > triggers.max_age_days:
        due.append(f"the champion is {days:.0f} days old")
    return due


def retrain(transactions: Path, flow_settings: Path, reason: str) -> bool:
    """Run the flow on a window of payments; return True if it succeeded."""
    return subprocess.run([
        sys.executable, str(FLOW), "--config", "settings", str(flow_settings), "run",
        "--transactions", str(transactions), "--reason", reason],
        check=False).returncode == 0


@command
def main(arguments: Arguments) -> int:
    options = parser("python -m monitoring.retraining", __doc__)
    options.add_argument("--report", type=Path, required=True, help="a report.json")
    task = options.add_mutually_exclusive_group(required=True)
    task.add_argument("--check", action="store_true", help="only say whether it is due")
    task.add_argument("--transactions", type=Path,
                      help="training data, from monitoring.labels")
    options.add_argument("--triggers", type=Path, default=settings.FOLDER / "retraining.toml",
                         help="when it is due (default: monitoring/retraining.toml)")
    options.add_argument("--flow-settings", type=Path, default=FLOW.with_suffix(".toml"),
                         help="of the flow: a split whose train period reaches into new payments "
                              "(default: flows/train_flow.toml)")
    return _run(options.parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    report = load_report(options.report)
    triggers = read_settings(options.triggers, RetrainingTriggers)
    trained_at = Champion(publication.target()).bundle.manifest.trained_at
    due = "; ".join(reasons(report, trained_at, clock.now_ms(), triggers))
    print(f"a retraining is due: {due}" if due else "no retraining is due", flush=True)
    if not due:
        return 0
    if options.check:
        return DUE
    if not options.transactions.is_file():
        raise TrainingError(f"{options.transactions}: is not a file; make it with python -m "
                            "monitoring.labels")
    succeeded = retrain(options.transactions, options.flow_settings, due)
    exposition.write_retraining(not succeeded, clock.now_ms(),
                                options.report.parent / "retraining.prom")
    return 0 if succeeded else 1


if __name__ == "__main__":
    main()
