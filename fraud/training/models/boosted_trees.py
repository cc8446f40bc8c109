"""XGBoost: gradient boosted trees on histograms, and their export to ONNX.

T. Chen, C. Guestrin, "XGBoost: A Scalable Tree Boosting System" (2016).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fraud.training.models.samples import LabelledSample
from fraud.training.settings import BoostedTrees

SUFFIX = ".ubj"


def fit(train: LabelledSample, early: LabelledSample, settings: BoostedTrees, seed: int):
    """Fit trees to a sample; another one ends the rounds.

    Returns:
        the booster, cut at its best round, and its curves: log loss of each round on both parts.
    """
    # Waiting threads yield: the other trainer runs on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xgboost

    def data(sample, reference=None):
        return xgboost.QuantileDMatrix(sample.features, sample.label, weight=sample.weight,
                                       max_bin=settings.max_bin, ref=reference)

    fitted = data(train)
    curves: dict = {}
    booster = xgboost.train(
        {"objective": "binary:logistic", "tree_method": "hist", "eval_metric": "logloss",
         "base_score": 0.5, "seed": seed, "max_depth": settings.max_depth,
         "learning_rate": settings.learning_rate, "max_bin": settings.max_bin,
         "min_child_weight": settings.min_child_weight, "subsample": settings.subsample,
         "colsample_bytree": settings.colsample_bytree, "reg_lambda": settings.reg_lambda},
        fitted, settings.rounds,
        evals=[(fitted, "train"), (data(early, fitted), "early_stopping")],
        early_stopping_rounds=settings.early_stopping_rounds, evals_result=curves,
        verbose_eval=False)
    best = booster[:booster.best_iteration + 1]
    return best, {f"{part}_logloss": values["logloss"] for part, values in curves.items()}


def save(booster, path: Path) -> None:
    """Write the native model, which only training and MLflow read."""
    booster.save_model(path)


def load(path: Path):
    """Load the native model that `save` wrote."""
    import xgboost

    return xgboost.Booster(model_file=path)


def logits(booster, rows: np.ndarray) -> np.ndarray:
    """Return raw outputs of the native model for float32 rows: float32, shape (n,)."""
    return booster.inplace_predict(rows, predict_type="margin")


def export(booster, width: int, path: Path) -> None:
    """Write the trees as ONNX: input float32 (n, width), output logits (n, 1)."""
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    # The converter ends a classifier in a sigmoid; as a regressor it leaves the sum of the leaves,
    # but adds base_score as if that were a logit: the logit of 0.5 is 0.
    regressor = booster.copy()
    regressor.set_param({"objective": "reg:squarederror"})
    graph = convert_xgboost(regressor, initial_types=[("features", FloatTensorType([None, width]))],
                            target_opset=15)
    for attribute in graph.graph.node[0].attribute:
        if attribute.name == "base_values":
            attribute.floats[:] = [0.0]
    path.write_bytes(graph.SerializeToString())
