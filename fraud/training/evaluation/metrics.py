"""Metrics of scores in a period, with their interval."""

from __future__ import annotations

import numpy as np

ALERT_BUDGETS = (50, 100, 200, 500)      # alerts a day at which recall is reported
RESAMPLES = 1_000


def period_metrics(scores: np.ndarray, label: np.ndarray, threshold: float, days: float,
                   prefix: str) -> dict[str, float]:
    """Return the metrics of one period; names start with `prefix`.

    Args:
        scores, label: shape (n,); both classes present.
        threshold: scores at or above it count as fraud.
        days: length of the period, for recall at a daily number of alerts.
    """
    from sklearn.metrics import (
        average_precision_score, brier_score_loss, precision_recall_fscore_support, roc_auc_score)

    precision, recall, f1, _ = precision_recall_fscore_support(
        label, scores >= threshold, average="binary", zero_division=0.0)
    ranked = label[np.argsort(-scores, kind="stable")]
    values = {
        "f1": f1, "precision": precision, "recall": recall,
        "auprc": average_precision_score(label, scores),
        "roc_auc": roc_auc_score(label, scores),
        "brier": brier_score_loss(label, scores),
        **{f"recall_at_{budget}_alerts_per_day": ranked[:int(budget * days)].sum() / label.sum()
           for budget in ALERT_BUDGETS},
    }
    return {prefix + name: float(value) for name, value in values.items()}


def f1_interval(flagged: np.ndarray, label: np.ndarray, incident: np.ndarray,
                seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of F1, from a bootstrap by incident.

    Payments of one incident are found or missed together, so incidents are drawn, not payments;
    false alarms are independent, so their number is drawn from a binomial distribution.
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993).

    Args:
        flagged: bool; label: 0 or 1; incident: the incident's name where label is 1; shape (n,).
    """
    rng = np.random.default_rng(seed)
    fraud = label == 1
    names, which = np.unique(incident[fraud].astype(str), return_inverse=True)
    flagged_payments = np.bincount(which, flagged[fraud], names.size)
    payments = np.bincount(which, minlength=names.size)
    drawn = rng.multinomial(names.size, np.full(names.size, 1 / names.size), RESAMPLES)
    legitimate = int((~fraud).sum())
    alarms = rng.binomial(legitimate, flagged[~fraud].mean(), RESAMPLES)
    true, frauds = drawn @ flagged_payments, drawn @ payments
    low, high = np.quantile(2 * true / (true + alarms + frauds), [0.025, 0.975])
    return float(low), float(high)


def recall_by(kind: np.ndarray, flagged: np.ndarray) -> dict[str, tuple[int, float]]:
    """Return the number of payments of each kind of fraud, and the flagged share of them.

    Args:
        kind: names, or None for an unnamed kind; flagged: bool; frauds only, shape (n,).
    """
    names = np.array([name or "fraud" for name in kind])
    return {str(name): (int((names == name).sum()), float(flagged[names == name].mean()))
            for name in np.unique(names)}
