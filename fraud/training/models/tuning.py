"""Hyperparameter search: the settings with the highest AUPRC in validation.

The first trial is the settings as configured; a tree-structured Parzen estimator proposes the
others. J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011); T. Akiba et al.,
"Optuna: A Next-generation Hyperparameter Optimization Framework" (2019).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs

from fraud.training.errors import TrainingError
from fraud.training.features.splits import Rows
from fraud.training.models.samples import LabelledSample
from fraud.training.settings import BoostedTrees, NeuralNetwork, TrainingSettings

FIRST_TRIALS = 5        # without the estimator; Optuna's 10 would use up a short search


class Range(NamedTuple):
    """Limits of a setting, both included; integers are for whole numbers."""

    low: float
    high: float
    log: bool = False       # draw its logarithm evenly


# Without the settings that limit a fit's time or memory: rounds, epochs, steps, max_bin.
SPACES: dict[str, dict[str, Range | list]] = {
    "xgboost": {
        "max_depth": Range(3, 10),
        "learning_rate": Range(0.02, 0.3, log=True),
        "min_child_weight": Range(0.0, 20.0),
        "subsample": Range(0.4, 1.0),
        "colsample_bytree": Range(0.2, 1.0),
        "reg_lambda": Range(0.0, 20.0)},
    "tensorflow": {
        "units": [[64, 32], [128, 64], [256, 128], [128, 64, 32]],
        "bins": Range(4, 16),
        "learning_rate": Range(0.0005, 0.02, log=True),
        "batch_size": Range(512, 4096, log=True),
        "fraud_share": Range(0.002, 0.2, log=True)},
}


@dataclass(frozen=True)
class Search:
    """The best settings of a search, and its trials."""

    settings: BoostedTrees | NeuralNetwork
    auprc: tuple[float, ...]        # of each trial; the first is that of the settings as configured
    seconds: float


def check(trials: int) -> None:
    """Refuse a negative number of trials.

    Raises:
        TrainingError: it is negative.
    """
    if trials < 0:
        raise TrainingError(f"--tune {trials} is negative: give the number of trials for each "
                            "framework, or 0 to train with the settings as configured")


def tuned(framework: str, trainer, to_fit: Sequence[LabelledSample], validation: Rows,
          settings: TrainingSettings, trials: int) -> TrainingSettings:
    """Return the settings with the best ones of a search in the framework's table, and print them.

    Args:
        trainer, to_fit, trials: see `search`.
    """
    result = search(framework, trainer, to_fit, validation, settings, trials)
    values = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                       for name, value in structs.asdict(result.settings).items()
                       if name in SPACES[framework])
    print(f"{framework} search: {trials} trials in {result.seconds:.1f} s, validation AUPRC "
          f"{max(result.auprc):.3f}, as configured {result.auprc[0]:.3f}: {values}")
    return structs.replace(settings, **{framework: result.settings})


def search(framework: str, trainer, to_fit: Sequence[LabelledSample], validation: Rows,
           settings: TrainingSettings, trials: int) -> Search:
    """Fit the model with history once for each trial, and return the best settings.

    The same rows and seed propose the same settings if they fit the same models.

    Args:
        trainer: the framework's module.
        to_fit: of the train and early stopping periods.
        trials: at least 1.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    configured = getattr(settings, framework)
    space = {name: _distribution(values, getattr(configured, name))
             for name, values in SPACES[framework].items()}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(
        n_startup_trials=FIRST_TRIALS, seed=settings.seed))
    study.enqueue_trial({name: _encoded(getattr(configured, name)) for name in space})
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, _auprc(trainer, to_fit, validation, _with(configured, trial.params),
                                 settings.seed))
    seconds = time.perf_counter() - started
    return Search(_with(configured, study.best_params),
                  tuple(trial.value for trial in study.trials), seconds)


def _auprc(trainer, to_fit: Sequence[LabelledSample], validation: Rows, settings, seed: int
           ) -> float:
    from sklearn.metrics import average_precision_score

    model, _ = trainer.fit(*to_fit, settings, seed)
    features = validation.features
    logits = features.scored(features.names, partial(trainer.logits, model))
    if not np.isfinite(logits).all():       # a network that diverged is the worst, not an error
        return 0.0
    return float(average_precision_score(validation.label, logits))


def _distribution(values: Range | list, configured):
    """Return a setting's distribution, widened to its configured value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, list):
        return CategoricalDistribution(
            sorted({_encoded(value) for value in [*values, configured]}))
    kind = IntDistribution if isinstance(values.low, int) else FloatDistribution
    return kind(min(values.low, configured), max(values.high, configured), log=values.log)


def _encoded(value):
    """Return a value for Optuna, whose choices cannot be lists."""
    return json.dumps(value) if isinstance(value, list) else value


def _with(configured, parameters: Mapping[str, Any]):
    return structs.replace(configured, **{
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in parameters.items()})
