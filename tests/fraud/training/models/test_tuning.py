import math
import tomllib
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud.training import settings
from fraud.training.errors import TrainingError
from fraud.training.features.splits import Rows
from fraud.training.models import boosted_trees, candidate, tuning
from fraud.training.models.samples import LabelledSample
from tests.factories import stored
from tests.tools import ROOT

PARSED = settings.parse(tomllib.loads((ROOT / "flows/train_flow.toml").read_text()))
SETTINGS = msgspec.structs.replace(
    PARSED,
    xgboost=msgspec.structs.replace(PARSED.xgboost, rounds=10, max_bin=64),
    tensorflow=msgspec.structs.replace(
        PARSED.tensorflow, units=[32], bins=2, steps_per_epoch=10, epochs=1))
TRIALS = 3


@pytest.fixture(scope="module")
def rows(make_payments) -> tuple[list[LabelledSample], Rows]:
    """Samples to fit models on, and validation."""
    features, label = make_payments(2_000, 0.03, 3)
    nothing = np.full(2_000, None)
    validation = Rows(stored(features), label, np.arange(2_000), np.ones(2_000),
                      np.full(2_000, "TRANSFER"), nothing, nothing, days=1.0)
    to_fit = [LabelledSample(*make_payments(count, 0.03, seed))
              for count, seed in ((4_000, 1), (1_000, 2))]
    return to_fit, validation


@pytest.fixture(scope="module")
def searches(rows) -> dict[str, tuple[tuning.Search, list]]:
    """Each framework's search, and the settings that its trials were fitted with."""
    def recorded(framework: str):
        trainer, tried = candidate.TRAINERS[framework], []

        def fit(*arguments):
            tried.append(arguments[2])
            return trainer.fit(*arguments)

        recording = SimpleNamespace(fit=fit, logits=trainer.logits)
        return tuning.search(framework, recording, *rows, SETTINGS, TRIALS), tried

    return {framework: recorded(framework) for framework in candidate.TRAINERS}


@pytest.fixture
def found(searches) -> tuning.Search:
    return searches["xgboost"][0]


each_framework = pytest.mark.parametrize("framework", candidate.TRAINERS)


@each_framework
def test_the_first_trial_is_the_settings_as_configured_and_others_differ(searches, framework):
    _, tried = searches[framework]
    assert tried[0] == getattr(SETTINGS, framework)
    assert len({repr(chosen) for chosen in tried}) == TRIALS


@each_framework
def test_the_settings_of_the_highest_auprc_win(searches, framework):
    result, tried = searches[framework]
    assert len(result.auprc) == TRIALS
    assert result.settings == tried[int(np.argmax(result.auprc))]
    assert max(result.auprc) >= result.auprc[0] > 0.1        # a guess would have 0.03


@each_framework
def test_trials_stay_within_the_limits_of_the_settings_and_of_time(searches, framework):
    _, tried = searches[framework]
    for chosen in tried:
        tables = msgspec.to_builtins(msgspec.structs.replace(SETTINGS, **{framework: chosen}))
        assert settings.parse(tables) is not None
        unchanged = msgspec.structs.replace(chosen, **{
            name: getattr(tried[0], name) for name in tuning.SPACES[framework]})
        assert unchanged == tried[0]


def test_the_auprc_of_a_trial_is_that_of_a_model_of_the_same_rows(rows, found):
    to_fit, validation = rows
    for chosen, expected in ((SETTINGS.xgboost, found.auprc[0]),
                             (found.settings, max(found.auprc))):
        booster, _ = boosted_trees.fit(*to_fit, chosen, SETTINGS.seed)
        logits = boosted_trees.logits(booster, validation.features.matrix())
        assert average_precision_score(validation.label, logits) == expected


def test_the_same_seed_finds_the_same_settings_again_and_prints_them_in_one_line(
        rows, found, capsys):
    chosen = tuning.tuned("xgboost", boosted_trees, *rows, SETTINGS, TRIALS)
    assert chosen == msgspec.structs.replace(SETTINGS, xgboost=found.settings)
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("xgboost search: 3 trials in ")
    assert (f"validation AUPRC {max(found.auprc):.3f}, as configured {found.auprc[0]:.3f}: "
            f"max_depth {found.settings.max_depth}, " in line)


def test_another_seed_tries_other_settings(rows, found):
    reseeded = msgspec.structs.replace(SETTINGS, seed=8)
    result = tuning.search("xgboost", boosted_trees, *rows, reseeded, 2)
    assert result.auprc[1] != found.auprc[1]


def test_configured_values_outside_of_the_space_are_tried_as_they_are(rows):
    trees = msgspec.structs.replace(
        SETTINGS.xgboost, max_depth=1, learning_rate=0.5, reg_lambda=40.0, min_child_weight=30.0)
    result = tuning.search(
        "xgboost", boosted_trees, *rows, msgspec.structs.replace(SETTINGS, xgboost=trees), 1)
    assert result.settings == trees and len(result.auprc) == 1


def test_a_model_that_diverged_loses(rows):
    first = iter([True])
    trainer = SimpleNamespace(
        fit=lambda *arguments: (next(first, False), {}),
        logits=lambda diverged, features: np.full(len(features), math.nan if diverged else 1.0))
    result = tuning.search("xgboost", trainer, *rows, SETTINGS, 2)
    assert result.auprc == (0.0, pytest.approx(0.03, abs=0.01))
    assert result.settings != SETTINGS.xgboost


@pytest.mark.parametrize("trials", [-1, -20])
def test_a_negative_number_of_trials_is_refused(trials):
    with pytest.raises(TrainingError, match=f"--tune {trials} is negative: give the number"):
        tuning.check(trials)


def test_no_trials_are_no_error():
    tuning.check(0)
