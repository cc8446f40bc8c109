"""What a finished run leaves behind: MLflow runs, a registered version, perhaps a champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fraud.training import assembly, registry, tracking
from fraud.training.assembly import Lineage
from fraud.training.candidate import Candidate
from fraud.training.gate import Verdict
from fraud.training.judgement import Judgement
from fraud.training.settings import Settings


@dataclass(frozen=True)
class Registered:
    """Where the run's champion is found."""

    version: str
    mlflow_run: str       # of the run; its candidates are its children
    promoted: bool


def register(candidates: Mapping[str, Candidate], champion: str,
             judgements: Mapping[str, Judgement], verdict: Verdict, lineage: Lineage,
             model_card: str, validated: Path, settings: Settings, why: str = "") -> Registered:
    """Log everything, then register the run's champion, then promote it if the verdict says so.

    Args:
        validated: what `reference.write` wrote of the run's champion.
        why: the run was started; a tag of the run and of the version.

    Nothing stays registered if any part of it fails.
    """
    tracking.connect()
    tags = {"data_digest": lineage.data_digest, "data_file": lineage.data_file,
            "data_md5": lineage.data_md5, "git_commit": lineage.git_commit,
            "metaflow_run": lineage.metaflow_run, **({"started_because": why} if why else {})}
    with tracking.run(lineage.metaflow_run, _parameters(settings), tags) as run_id:
        logged = {framework: tracking.log_candidate(candidate, judgements[framework].all_metrics)
                  for framework, candidate in candidates.items()}
        tracking.log_metrics({**candidates[champion].metrics, **judgements[champion].all_metrics})
        tracking.log_text(model_card, "model-card.md")
        with registry.registered(
                logged[champion],
                {**tags, "framework": champion, "verdict": verdict.reason,
                 registry.GATE: registry.PASSED if verdict.promote else registry.REFUSED,
                 **{name: f"{value:.6f}" for name, value in judgements[champion].metrics.items()}},
                lambda number, directory: assembly.write(
                    candidates[champion], replace(lineage, version=number,
                                                  mlflow_run=logged[champion].run_id), directory)
        ) as version:
            registry.keep_reference(version, validated)
            if verdict.promote:
                registry.promote(version, verdict.reason)
            else:
                registry.name_challenger(version)
    return Registered(version, run_id, verdict.promote)


def _parameters(settings: Settings) -> dict:
    """The settings that both candidates share, as `table.key`."""
    tables = msgspec.to_builtins(settings)
    shared = {name: table for name, table in tables.items()
              if isinstance(table, dict) and name not in ("xgboost", "tensorflow")}
    return {"seed": settings.seed, **{f"{name}.{key}": value for name, table in shared.items()
                                      for key, value in table.items()}}
