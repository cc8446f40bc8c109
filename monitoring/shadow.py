"""Report of a challenger in shadow: its decisions against the champion's on the same payments.

    python -m monitoring.shadow --decisions decisions.jsonl --labels labels.csv --out shadow
    python -m fraud.training.registry promote 8 --evidence shadow/report.json --reason "..."

writes report.html for people and report.json, the evidence on which a version that the gate refused
may pass it: the same floors and the same non-inferiority test, on labelled live payments. Declined
payments are labelled only if someone checks them: a report without their labels favours the version
that declines less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import pandas as pd

from fraud import clock
from fraud.command_line import Arguments, command, parser
from fraud.training import settings as training_settings
from fraud.training.errors import TrainingError
from fraud.training.evaluation import paired_bootstrap
from fraud.training.evaluation.metrics import period_metrics
from fraud.training.evaluation.paired_bootstrap import ScoredModel
from fraud.training.files import not_writable
from fraud.training.label_table import COLUMNS
from fraud.training.registry import evidence
from fraud.training.registry.evidence import ShadowEvidence
from fraud.training.settings import TrainingSettings
from monitoring import disagreement, labels, shadow_page
from monitoring.days import incident_names
from monitoring.disagreement import Agreement, Disagreement, OneSided
from monitoring.labels import LabelledPayments
from monitoring.shadow_log import ShadowedPayments, ShadowPair, read_shadowed

INDENT = " " * 11


class ShadowReport(msgspec.Struct, frozen=True):
    """report.json"""

    made_at: int                # ms since the epoch
    source: str
    payments: int
    left_out: dict[str, int]    # lines, by reason
    labels: dict[str, int]
    unlabelled_share: float     # of the payments that one of the versions declines
    evidence: ShadowEvidence
    passes_gate: bool           # by the settings at that time
    gate_reason: str
    decisions: dict[str, dict[str, int]]    # by the champion's decision, then the challenger's
    by_day: list[Agreement]
    by_type: list[Agreement]
    by_amount: list[Agreement]
    one_sided: list[OneSided]
    largest: list[Disagreement]
    summary: str


def make(shadowed: ShadowedPayments, known: LabelledPayments, settings: TrainingSettings,
         directory: Path) -> ShadowReport:
    """Compare the versions, and write report.html and report.json.

    Args:
        known: the payments with their labels.
        settings: of the gate.

    Raises:
        TrainingError: the directory is not writable.
    """
    measured = measure(shadowed.pair, known.labelled, settings.seed)
    decision = evidence.decide(measured, settings)
    payments = known.payments
    report = ShadowReport(
        made_at=clock.now_ms(), source=shadowed.source, payments=len(payments),
        left_out=shadowed.left_out, labels=known.counts,
        unlabelled_share=_unlabelled_share(payments), evidence=measured,
        passes_gate=decision.promote, gate_reason=decision.reason,
        decisions=disagreement.decision_counts(payments), by_day=disagreement.by_day(payments),
        by_type=disagreement.by_type(payments), by_amount=disagreement.by_amount(payments),
        one_sided=disagreement.one_sided(payments), largest=disagreement.largest(payments),
        summary="")
    report = msgspec.structs.replace(report, summary=_summary(report))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        shadow_page.write(report, directory / "report.html")
        (directory / "report.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(report), indent=2))
    except OSError as error:
        raise not_writable(directory, error) from error
    return report


def measure(pair: ShadowPair, labelled: pd.DataFrame, seed: int) -> ShadowEvidence:
    """Compare the versions by the paired bootstrap of the gate.

    Args:
        labelled: payments of the pair with is_fraud and incident_id (null: a separate one).
    """
    labelled = labelled.sort_values("event_time", kind="stable")
    label, times = labelled["is_fraud"].to_numpy(), labelled["event_time"].to_numpy()
    incident, frauds = incident_names(labelled), int((label == 1).sum())
    first, last = (int(times[0]), int(times[-1])) if times.size else (0, 0)
    f1 = auprc = 0.0
    differences = None
    if 0 < frauds < label.size:
        ours, theirs = (
            ScoredModel(labelled[name].to_numpy(), thresholds.decline) for name, thresholds in (
                ("challenger_score", pair.challenger_thresholds),
                ("score", pair.champion_thresholds)))
        days = max(1.0, (last - first) / clock.DAY_MS)
        metrics = period_metrics(ours.score, label, ours.threshold, days, "")
        f1, auprc = metrics["f1"], metrics["auprc"]
        differences = paired_bootstrap.compare(ours, theirs, label, incident, times, seed)
    return ShadowEvidence(
        champion=pair.champion, challenger=pair.challenger, first_time=first, last_time=last,
        labelled=label.size, frauds=frauds, incidents=len(set(incident[label == 1])),
        f1=f1, auprc=auprc, differences=differences)


def _unlabelled_share(payments: pd.DataFrame) -> float:
    declined = payments[(payments["decision"] == "decline")
                        | (payments["challenger_decision"] == "decline")]
    return float(declined["is_fraud"].isna().mean()) if len(declined) else 0.0


def _summary(report: ShadowReport) -> str:
    measured = report.evidence
    stricter, laxer = (sum(getattr(day, name) for day in report.by_day)
                       for name in ("stricter", "laxer"))
    gate = "passed: " if report.passes_gate else "not passed: "
    days = [int(day.group) for day in report.by_day]
    lines = [f"Versions   challenger {measured.challenger.version} against champion "
             f"{measured.champion.version}",
             f"Payments   {report.payments:,} from {clock.utc_day(days[0])} to "
             f"{clock.utc_day(days[-1])}, from {report.source}"]
    lines += [f"{INDENT}{count:,} lines left out: {reason}"
              for reason, count in report.left_out.items() if count]
    return "\n".join([
        *lines,
        f"Decisions  {stricter:,} stricter and {laxer:,} laxer of the challenger: "
        f"{(stricter + laxer) / report.payments:.3%} differ",
        f"Labels     {measured.labelled:,} payments, {measured.frauds:,} of them fraud; "
        f"{report.unlabelled_share:.1%} of those that either declines have none",
        f"Gate       {gate}{report.gate_reason}"])


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m monitoring.shadow", __doc__)
    options.add_argument("--decisions", type=Path, nargs="+", required=True, help="decision logs")
    options.add_argument("--labels", nargs="+",
                         help="CSV or Parquet files, or kafka:TOPIC, see monitoring.labels")
    options.add_argument("--since", type=labels.moment, default=0,
                         help="leave out earlier payments (ISO 8601)")
    options.add_argument("--as-of", type=labels.moment, default=None,
                         help="use labels known by then (ISO 8601; default: now)")
    options.add_argument("--out", type=Path, required=True, help="a directory, made if absent")
    options.add_argument("--settings", type=Path, default=training_settings.FILE,
                         help="of the gate (default: flows/train_flow.toml)")
    print(_run(options.parse_args(arguments)).summary)


def _run(options: argparse.Namespace) -> ShadowReport:
    settings = training_settings.load(options.settings)
    shadowed = read_shadowed(options.decisions, options.since)
    given = (labels.read_labels(*options.labels) if options.labels
             else pd.DataFrame(columns=list(COLUMNS)))
    as_of = options.as_of or clock.now_ms()
    known = labels.known_by(as_of, shadowed.payments, given)
    if known.payments.empty:
        raise TrainingError(f"{shadowed.source}: holds no payment before "
                            f"{clock.utc_second(as_of)}; give a later --as-of")
    return make(shadowed, known, settings, options.out)


if __name__ == "__main__":
    main()
