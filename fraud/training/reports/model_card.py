"""The model card of a selected candidate, as Markdown.

M. Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

from fraud import clock
from fraud.training.data.dataset import Prepared
from fraud.training.evaluation import slices
from fraud.training.evaluation.slices import Band, Slice
from fraud.training.evaluation.test_report import TestReport
from fraud.training.leakage.checks import Leakage
from fraud.training.models.candidate import Candidate
from fraud.training.promotion.final_test import FinalTest
from fraud.training.registry.lineage import Lineage

LIMITS = """\
- Scores are only as good as the labels: unreported fraud counts as legitimate here.
- The model has learned the past. Fraud changes; watch drift and recall, and retrain.
- On simulated payments the figures say how well the simulation was learned, nothing more.
- With less than a day of history the fallback scores; with less than a month, windows are unknown.
- Thresholds fit the volume and the costs of the period in which they were chosen."""
SLICE_HEADER = ("| {} | payments | frauds | reviewed | declined | recall | precision |\n"
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")


def model_card(prepared: Prepared, lineage: Lineage, candidate: Candidate, test: FinalTest,
               leakage: Leakage) -> str:
    """Return the card of the candidate that the final test lists first."""
    report, reason = test.selected.report, test.decision.reason
    scores, policy = test.selected.scores, test.selected.bundle.policy.model
    reviewed, declined = policy.alerts(scores, test.rows.amount)
    parts = [
        f"# Model card: {candidate.framework}\n\n{reason[0].upper()}{reason[1:]}.\n\n",
        _training_data(prepared, lineage),
        _performance(report, test.window_uses),
        _recall_by_type(report),
    ]
    for heading, rows in slices.slices(test.rows, reviewed, declined).items():
        parts += [f"\nBy {heading}:\n\n", SLICE_HEADER.format(heading), *map(_slice, rows)]
    bands = slices.calibration(scores, test.rows.label)
    parts += ["\n## Calibration\n\n| score | payments | mean score | fraud share |\n"
              "| --- | ---: | ---: | ---: |\n", *map(_band, bands),
              "\n## Leakage audit\n\n", _audited(leakage), "\n## Limits\n\n", LIMITS, "\n"]
    return "".join(parts)


def _training_data(prepared: Prepared, lineage: Lineage) -> str:
    return f"""\
## Training data

{prepared.sampled_rows:,} payments of `{prepared.source}` (sha256 `{lineage.data_digest}`), from \
{clock.utc_minute(prepared.first_time)} to {clock.utc_minute(prepared.last_time)}, with \
{prepared.frauds:,} frauds in {prepared.incidents:,} incidents. The model was fitted and tuned on \
those before {clock.utc_minute(lineage.tuned_until)}; later ones are the test period. Code: \
`{lineage.git_commit}`, run: `{lineage.metaflow_run}`.

"""


def _performance(report: TestReport, window_uses: int) -> str:
    metrics, outcomes, (low, high) = report.metrics, report.outcomes, report.f1_interval
    money = _share(outcomes.money_missed, outcomes.money_stopped + outcomes.money_missed)
    times = "once" if window_uses == 1 else f"{window_uses} times"
    return f"""\
## Performance on the test period

| F1 | 95 % | precision | recall | AUPRC | ROC AUC | Brier score | incidents stopped \
| money missed |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| {metrics['test_f1']:.3f} | {low:.3f} to {high:.3f} | {metrics['test_precision']:.3f} | \
{metrics['test_recall']:.3f} | {metrics['test_auprc']:.3f} | {metrics['test_roc_auc']:.4f} | \
{metrics['test_brier']:.5f} | {outcomes.stopped:,} of {outcomes.incidents:,} | {money} |

This test period was used {times}; repeated testing on one period overfits it.

"""


def _recall_by_type(report: TestReport) -> str:
    rows = "".join(f"| {kind} | {payments:,} | {recall:.3f} |\n"
                   for kind, (payments, recall) in report.recall_by_type.items())
    return ("## Strengths and weaknesses\n\nBy kind of fraud:\n\n"
            f"| fraud | payments | recall |\n| --- | ---: | ---: |\n{rows}")


def _audited(leakage: Leakage) -> str:
    best, score = next(iter(leakage.alone.items()))
    low, high = leakage.interval
    alone = (f"But {leakage.doubt}" if leakage.doubt else
             "No single feature is suspiciously strong, except those allowed with a reason")
    return f"""\
- Features of {leakage.compared_rows:,} payments are the same, bit for bit, without later \
payments, labels and post-event columns.
- {alone}; the best is `{best}` (AUPRC {score.auprc:.3f}, chance \
{leakage.base_rate:.3f}, all together {leakage.without_leaks.auprc:.3f}).
- A model of shuffled labels reaches an AUPRC of {leakage.shuffled:.4f}; chance gives {low:.4f} to \
{high:.4f}.
"""


def _slice(slice_: Slice) -> str:
    return (f"| {slice_.name} | {slice_.payments:,} | {slice_.frauds:,} | "
            f"{slice_.reviewed:,} | {slice_.declined:,} | "
            f"{_number(slice_.recall)} | {_number(slice_.precision)} |\n")


def _band(band: Band) -> str:
    return (f"| {band.low:g} to {band.high:g} | {band.payments:,} | {band.mean_score:.4f} | "
            f"{band.fraud_share:.4f} |\n")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"      # nan: not defined


def _share(part: float, total: float) -> str:
    return f"{part / total:.0%}" if total else ""
