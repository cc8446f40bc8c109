"""The model card of a run's champion, as Markdown: what people must know before they rely on it.

M. Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

from datetime import UTC, datetime

from fraud.training import slices
from fraud.training.assembly import Lineage
from fraud.training.audit import Audited
from fraud.training.candidate import Candidate
from fraud.training.dataset import Prepared
from fraud.training.leakage import Leakage
from fraud.training.slices import Band, Slice

LIMITS = """\
- Scores are as good as the labels: fraud that nobody reported counts as legitimate here.
- It has learned the past. Fraud changes its ways; watch drift and recall, and train again.
- On simulated payments the numbers say how well the simulation is learned, no more.
- An account that the history store has watched for less than a day is scored by the fallback.
- Thresholds belong to the volume and the costs of the period in which they were chosen."""


def model_card(prepared: Prepared, lineage: Lineage, candidate: Candidate, audited: Audited,
               leakage: Leakage) -> str:
    """The card of the candidate that is the first of `audited.judgements`."""
    name, judged = next(iter(audited.judgements.items()))
    score, rows = audited.scores[name], audited.rows
    declined = score >= audited.thresholds.decline
    low, high = judged.f1_interval
    told, outcome = judged.metrics, judged.outcome
    parts = [f"""\
# Model card: {candidate.framework}

{audited.verdict.reason[0].upper()}{audited.verdict.reason[1:]}.

## What it learned from

{prepared.sampled_rows:,} payments of `{prepared.source}` (sha256 `{lineage.data_digest}`), from \
{_day(prepared.first_time)} to {_day(prepared.last_time)}, {prepared.frauds:,} of them fraud in \
{prepared.incidents:,} incidents. It learned and was tuned on those before \
{_day(lineage.tuned_until)}; the later ones are the test period. Code: `{lineage.git_commit}`, \
run: `{lineage.metaflow_run}`.

## How good it is on the test period

| F1 | 95 % | precision | recall | AUPRC | ROC AUC | Brier | incidents stopped | money stopped |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| {told['test_f1']:.3f} | {low:.3f} to {high:.3f} | {told['test_precision']:.3f} | \
{told['test_recall']:.3f} | {told['test_auprc']:.3f} | {told['test_roc_auc']:.4f} | \
{told['test_brier']:.5f} | {outcome.stopped:,} of {outcome.incidents:,} | \
{_share(outcome.money_stopped, outcome.money_stopped + outcome.money_missed)} |

This window was used {_times(audited.window_uses)} to judge a candidate: the more often, the \
less it proves.

## Where it is good and bad

By typology of fraud:

| fraud | payments | recall |
| --- | ---: | ---: |
"""]
    parts += [f"| {kind} | {payments:,} | {recall:.3f} |\n"
              for kind, (payments, recall) in judged.recall_by_type.items()]
    for heading, found in slices.slices(rows, declined).items():
        parts += [f"\nBy {heading}:\n\n| {heading} | payments | frauds | declined | recall | "
                  "precision |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
                  *map(_slice, found)]
    parts += ["\n## Calibration\n\n| score | payments | mean score | fraud share |\n"
              "| --- | ---: | ---: | ---: |\n",
              *map(_band, slices.calibration(score, rows.label)),
              "\n## What was audited\n\n", _audited(leakage), "\n## Limits\n\n", LIMITS, "\n"]
    return "".join(parts)


def _audited(found: Leakage) -> str:
    best, score = next(iter(found.alone.items()))
    return (f"""\
- Features of {found.compared_rows:,} payments are the same, bit for bit, without later payments, \
labels and columns from after the event.
- No feature alone is good enough to be suspect but those that are allowed with a reason; the best \
is `{best}` (AUPRC {score.auprc:.3f}, all together {found.honest.auprc:.3f}).
- A model of shuffled labels reaches an AUPRC of {found.shuffled:.4f}; chance has \
{found.interval[0]:.4f} to {found.interval[1]:.4f}.
""")


def _slice(one: Slice) -> str:
    return (f"| {one.name} | {one.payments:,} | {one.frauds:,} | {one.declined:,} | "
            f"{_number(one.recall)} | {_number(one.precision)} |\n")


def _band(band: Band) -> str:
    return (f"| {band.low:g} to {band.high:g} | {band.payments:,} | {band.mean_score:.4f} | "
            f"{band.fraud_share:.4f} |\n")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"      # nan: there was none


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _times(uses: int) -> str:
    return "once" if uses == 1 else f"{uses} times"


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
