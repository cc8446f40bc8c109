"""The last screen of a training run: what was found, who won and why, what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from fraud.training import publication, tracking
from fraud.training.candidate import Candidate
from fraud.training.dataset import Prepared
from fraud.training.gate import Verdict
from fraud.training.judgement import Judgement
from fraud.training.registration import Registered

HEADINGS = "validation F1  test F1   AUPRC  precision  recall  to fit"


def of_run(prepared: Prepared, candidates: Mapping[str, Candidate], champion: str,
           judgements: Mapping[str, Judgement], verdict: Verdict, registered: Registered) -> str:
    """A screen of text. Every line starts with a bar: Metaflow takes leading blanks away."""
    judged, outcome = judgements[champion], judgements[champion].outcome
    word = (f"promoted, and published in {publication.target()}" if registered.promoted
            else "registered, but not promoted")
    low, high = judged.f1_interval
    version = registered.version
    text = f"""
Data      {prepared.sampled_rows:,} payments from {prepared.source}: {prepared.frauds:,} frauds \
in {prepared.incidents:,} incidents, {prepared.bad:,} rows in quarantine

            {HEADINGS}
{_rows(candidates, judgements)}

Champion  {champion}, for the higher F1 on late validation
          on test F1 {judged.metrics['test_f1']:.3f} (95 % {low:.3f} to {high:.3f}); stops \
{outcome.stopped:,} of {outcome.incidents:,} incidents
          and {_share(outcome.money_stopped, outcome.money_missed):.0%} of the money; declines \
{judged.declined_per_day:.1f} payments a day
Verdict   version {version} is {word}:
          {verdict.reason}

Next      .venv/bin/python flows/train_flow.py card view audit  pictures of this champion
          .venv/bin/python -m fraud.training.registry list    versions, and which one serves
          .venv/bin/python -m fraud.training.registry show {version}  where it comes from
          .venv/bin/mlflow ui --backend-store-uri {tracking.uri()}
"""
    return "\n".join(f"| {line}".rstrip() for line in text.splitlines())


def _rows(candidates: Mapping[str, Candidate], judgements: Mapping[str, Judgement]) -> str:
    lines = []
    for name, judged in judgements.items():
        told = judged.metrics
        validation, seconds = f"{'':>13}", f"{'':>8}"
        if name in candidates:
            found = candidates[name].metrics
            validation = f"{found['validation_f1']:>13.3f}"
            seconds = f"{found['training_seconds']:>6.1f} s"
        lines.append(f"{name:<12}{validation} {told['test_f1']:>8.3f} {told['test_auprc']:>7.3f}"
                     f" {told['test_precision']:>10.3f} {told['test_recall']:>7.3f} {seconds}")
    return "\n".join(lines)


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else 0.0
