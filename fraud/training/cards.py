"""What the steps of the flow put on their Metaflow cards: lists of components from plain values."""

from __future__ import annotations

from datetime import UTC, datetime

from metaflow.cards import Image, Markdown, Table

from fraud.training import pictures
from fraud.training.audit import Audited
from fraud.training.candidate import Candidate
from fraud.training.dataset import Prepared
from fraud.training.gate import Verdict
from fraud.training.judgement import Judgement
from fraud.training.leakage import Leakage
from fraud.training.settings import Audit
from fraud.training.validation import REASONS

METRICS = ("f1", "precision", "recall", "auprc", "roc_auc", "brier")


def data(prepared: Prepared) -> list:
    """What was read, and what was wrong with it."""
    facts = {
        "source": prepared.source, "sha256": prepared.digest,
        "good rows": f"{prepared.rows:,}", "bad rows": f"{prepared.bad:,}",
        "rows out of time order, sorted": f"{prepared.out_of_order:,}",
        "rows used (after sampling)": f"{prepared.sampled_rows:,}",
        "frauds": f"{prepared.frauds:,} in {prepared.incidents:,} incidents",
        "first payment": _moment(prepared.first_time), "last payment": _moment(prepared.last_time),
    }
    components = [Markdown("# The data"), _facts(facts)]
    if prepared.reasons:
        components += [
            Markdown(f"## Quarantined\nThese rows are in `{prepared.quarantine}`."),
            Table([[reason, REASONS[reason], f"{count:,}"]
                   for reason, count in prepared.reasons.items()],
                  headers=["reason", "meaning", "rows"])]
    return components


def training(candidate: Candidate) -> list:
    """How one candidate learned, and what it reaches on late validation."""
    variants = {"model": candidate.model, "fallback": candidate.fallback}
    rows = [[name, f"{variant.seconds:.1f} s",
             *(f"{variant.manifest.metrics[f'validation_{metric}']:.4f}" for metric in METRICS)]
            for name, variant in variants.items()]
    return [
        Markdown(f"# {candidate.framework}\nThe fallback is trained without history."),
        Table(rows, headers=["", "to fit", *METRICS]),
        _image(pictures.learning_curves({name: variant.curves
                                         for name, variant in variants.items()})),
        _facts({name: str(value) for name, value in candidate.parameters.items()}),
    ]


def selection(candidates: list[Candidate], champion: str) -> list:
    """Both candidates on late validation, and which one goes on."""
    rows = [[candidate.framework + (" (selected)" if candidate.framework == champion else ""),
             *(f"{candidate.metrics[f'validation_{metric}']:.4f}" for metric in METRICS),
             f"{candidate.metrics['training_seconds']:.1f} s"] for candidate in candidates]
    return [Markdown(f"# {champion} goes on\nThe higher F1 on the second half of validation."),
            Table(rows, headers=["", *METRICS, "to fit"])]


def leakage(found: Leakage, settings: Audit) -> list:
    """What the leakage audit saw, and what it would block."""
    rule, best = next(iter(found.alone.items()))
    models = {"all features": found.honest, f"one rule: {rule}": best}
    if found.leaky:
        models["with columns from after the event"] = found.leaky
    told = "\n".join(f"- {finding}" for finding in found.findings) or (
        f"Nothing leaks. Features of {found.compared_rows:,} payments are the same without later "
        f"payments, labels and columns from after the event. A model of shuffled labels reaches an "
        "AUPRC of {:.4f}; chance has {:.4f} to {:.4f}.".format(found.shuffled, *found.interval))
    allowed = {name: settings.allowed.get(name, "") for name in list(found.alone)[:10]}
    return [
        Markdown(f"# Leakage audit\n{told}\n\nSmall trees on {found.rows:,} payments of the "
                 "training period, judged on its end, at the best of all thresholds:"),
        Table([[name, f"{score.auprc:.4f}", f"{score.f1:.4f}"] for name, score in models.items()],
              headers=["", "AUPRC", "F1"]),
        Markdown("## The best features alone"),
        Table([[name, f"{found.alone[name].auprc:.4f}", why] for name, why in allowed.items()],
              headers=["feature", "AUPRC", "may, because"])]


def audit(judgements: list[Judgement], verdict: Verdict) -> list:
    """Everyone on the test period, the champion of the run first, and the verdict."""
    word = "promoted" if verdict.promote else "not promoted"
    rows = [[judged.name, *(f"{judged.metrics[f'test_{metric}']:.4f}" for metric in METRICS),
             "{:.3f} to {:.3f}".format(*judged.f1_interval)] for judged in judgements]
    return [Markdown(f"# Judged on the test period: {word}\n{verdict.reason}."),
            Table(rows, headers=["", *METRICS, "F1, 95 % interval"]),
            Markdown("## Money and analysts"),
            Table([_money(judged) for judged in judgements],
                  headers=["", "incidents stopped", "money stopped", "money missed",
                           "median minutes to detection", "declined a day", "reviewed a day"])]


def diagnosis(audited: Audited, review_cost: float) -> list:
    """Pictures of the run's champion on the test period."""
    name, judged = next(iter(audited.judgements.items()))
    score, rows = audited.scores[name], audited.rows
    return [_image(figure) for figure in (
        pictures.precision_recall(audited.scores, rows.label, "Test period"),
        pictures.thresholds(score, rows.label, rows.amount, review_cost,
                            audited.thresholds.decline),
        pictures.calibration(score, rows.label),
        pictures.importance(audited.importance),
        pictures.confusion(judged.confusion),
        pictures.recall_by_type(judged.recall_by_type))]


def _money(judged: Judgement) -> list[str]:
    outcome = judged.outcome
    return [judged.name, f"{outcome.stopped:,} of {outcome.incidents:,}",
            f"{outcome.money_stopped:,.0f}", f"{outcome.money_missed:,.0f}",
            f"{outcome.median_minutes_to_detection:.1f}", f"{judged.declined_per_day:,.1f}",
            f"{judged.reviewed_per_day:,.1f}"]


def _facts(facts: dict[str, str]) -> Table:
    return Table([[name, value] for name, value in facts.items()])


def _image(figure) -> Image:
    return Image.from_matplotlib(figure)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
