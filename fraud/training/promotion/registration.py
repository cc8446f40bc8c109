"""Registration of a finished run: MLflow runs, a version, and promotion if the gate allows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.test_report import TestReport
from fraud.training.models.candidate import Candidate
from fraud.training.registry import Registry, bundle_writer, tracking
from fraud.training.registry.lineage import Lineage
from fraud.training.registry.tracking import RunTimes
from fraud.training.registry.versions import GATE, PASSED, REFUSED
from fraud.training.settings import TrainingSettings


@dataclass(frozen=True)
class Registered:
    """The registered version of a run."""

    version: str
    mlflow_run: str       # of the training run; those of its candidates are its children
    promoted: bool


@dataclass(frozen=True)
class RunRecord:
    """The record of a run for people and monitoring."""

    model_card: str             # Markdown
    reference: Path             # file of the selected candidate's `reference.write`
    figures: Path               # folder of the final test's figures
    fits: Mapping[str, RunTimes]    # of each framework
    reason: str = ""            # why the run was started; a tag of the run and of the version


def register(candidates: Mapping[str, Candidate], selected: str, reports: Mapping[str, TestReport],
             decision: PromotionDecision, lineage: Lineage, record: RunRecord,
             settings: TrainingSettings) -> Registered:
    """Log everything, register the selected candidate, and promote it if the gate allows it.

    Args:
        selected: the framework of the selected candidate.

    Nothing stays registered if any part of it fails.
    """
    registry = Registry()
    candidate, report = candidates[selected], reports[selected]
    tags = _lineage_tags(lineage, record.reason)
    with tracking.run(lineage.metaflow_run, _parameters(settings), tags,
                      times=RunTimes(lineage.trained_at, None)) as run_id:
        logged = {
            framework: tracking.log_candidate(
                candidates[framework], reports[framework].all_metrics, run_id, lineage,
                record.fits.get(framework))
            for framework in candidates}
        tracking.log_metrics({**candidate.metrics, **report.all_metrics})
        tracking.log_dataset(run_id, lineage, candidate.model.manifest.features)
        tracking.log_text(record.model_card, "model-card.md")
        tracking.log_figures(record.figures)

        def assemble(number: str, directory: Path) -> str:
            final = replace(lineage, version=number, mlflow_run=logged[selected].run_id)
            return bundle_writer.write(candidate, final, directory)

        version_tags = {**tags, **_decision_tags(selected, report, decision)}
        with registry.registered(logged[selected], version_tags, assemble) as version:
            registry.describe(version, record.model_card)
            registry.keep_reference(version, record.reference)
            if decision.promote:
                registry.promote(version, decision.reason)
            else:
                registry.name_challenger(version)
    return Registered(version, run_id, decision.promote)


def _lineage_tags(lineage: Lineage, reason: str) -> dict[str, str]:
    tags = {"data_digest": lineage.data_digest, "data_file": lineage.data_file,
            "data_md5": lineage.data_md5, "git_commit": lineage.git_commit,
            "metaflow_run": lineage.metaflow_run, "mapping_digest": lineage.mapping_digest}
    return tags | ({"started_because": reason} if reason else {})


def _decision_tags(framework: str, report: TestReport,
                   decision: PromotionDecision) -> dict[str, str]:
    return {"framework": framework, "gate_reason": decision.reason,
            GATE: PASSED if decision.promote else REFUSED,
            **{name: f"{value:.6f}" for name, value in report.metrics.items()}}


def _parameters(settings: TrainingSettings) -> dict:
    """Return the settings that both candidates share, as `table.key`."""
    tables = msgspec.to_builtins(settings)
    parameters = {"seed": settings.seed}
    for name, table in tables.items():
        if isinstance(table, dict) and name not in ("xgboost", "tensorflow"):
            parameters |= {f"{name}.{key}": value for key, value in table.items()}
    return parameters
