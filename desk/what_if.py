"""Other thresholds on logged decisions: alerts, precision, recall and money, before publishing."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.tables import CLOSED, Case, DecidedPayment
from fraud import bundle
from fraud.bundle import Policy, Thresholds
from fraud.clock import DAY_MS, now_ms
from fraud.errors import FraudError

STEPS = 1_000               # of a slider
MOST_PAYMENTS = 100_000     # the newest
FRESH_SECONDS = 60.0        # for which loaded payments are used again
LOSSES = (0.0, 7.0)         # powers of ten that the slider of expected losses spans
LOGITS = (-9.0, 9.0)        # that those of scores span
PUBLISH_SECONDS = 300


class WhatIfError(FraudError):
    """Thresholds that cannot be tried or published."""


@dataclass(frozen=True)
class LoggedPayments:
    """Scores and amounts of logged payments, and labels: 1, 0, or -1 for unknown."""

    scores: np.ndarray
    amounts: np.ndarray         # currency units
    labels: np.ndarray
    days: float
    loaded_at: float            # monotonic seconds


@dataclass(frozen=True)
class WhatIf:
    """Effects of thresholds on the logged payments. Shares are None without labels."""

    thresholds: Thresholds
    payments: int
    reviews_per_day: float
    declines_per_day: float
    labelled: int
    precision: float | None
    recall: float | None
    stopped: float
    missed: float
    held_up: float              # money of legitimate payments that are reviewed or declined


def load_payments(session: Session) -> LoggedPayments:
    """Return the newest payments, with the labels that the desk has given."""
    known = select(Case.transaction_id, Case.outcome).where(Case.status == CLOSED).subquery()
    rows = session.execute(
        select(DecidedPayment.score, DecidedPayment.amount_cents, known.c.outcome,
               DecidedPayment.decided_at)
        .outerjoin(known, known.c.transaction_id == DecidedPayment.transaction_id)
        .order_by(DecidedPayment.decided_at.desc()).limit(MOST_PAYMENTS)).all()
    label = {"fraud": 1, "legitimate": 0}
    span = rows[0][3] - rows[-1][3] if rows else 0
    return LoggedPayments(
        np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], float) / 100,
        np.array([label.get(row[2] or "", -1) for row in rows], int),
        max(span / DAY_MS, 1 / 24), time.monotonic())


def is_fresh(payments: LoggedPayments | None) -> bool:
    """Return True if payments were loaded a short time ago."""
    return payments is not None and time.monotonic() - payments.loaded_at < FRESH_SECONDS


def try_thresholds(payments: LoggedPayments, thresholds: Thresholds) -> WhatIf:
    """Return the effect of thresholds on payments."""
    reviewed, declined = thresholds.alerts(payments.scores, payments.amounts)
    alerts, labels, amounts = reviewed | declined, payments.labels, payments.amounts
    fraud, legitimate = labels == 1, labels == 0
    hits, labelled_alerts = int((alerts & fraud).sum()), int((alerts & (labels >= 0)).sum())
    return WhatIf(
        thresholds, len(labels), float(reviewed.sum() / payments.days),
        float(declined.sum() / payments.days), int((labels >= 0).sum()),
        hits / labelled_alerts if labelled_alerts else None,
        hits / int(fraud.sum()) if fraud.any() else None,
        float(amounts[alerts & fraud].sum()), float(amounts[~alerts & fraud].sum()),
        float(amounts[alerts & legitimate].sum()))


def champion_policy(location: str) -> Policy:
    """Return the policy of the champion.

    Raises:
        WhatIfError: there is no champion.
    """
    content = bundle.read_champion_file(location, bundle.POLICY_FILE)
    if content is None:
        raise WhatIfError(f"{location}: holds no champion, and so no thresholds; train a model, or "
                          "set FRAUD_MODEL")
    return msgspec.json.decode(content, type=Policy)


def chosen(given: Mapping[str, str], before: Thresholds) -> Thresholds:
    """Return the thresholds of two sliders; those of before where a slider was not given.

    Raises:
        WhatIfError: a value is not a step of a slider.
    """
    try:
        decline = (before.decline if "decline" not in given
                   else _score(int(given["decline"])))
        review = (before.review if "review" not in given
                  else _rank(int(given["review"]), before.review_by))
        if before.review_by == "score":
            review = min(review, decline)
        return msgspec.structs.replace(before, review=review, decline=decline)
    except (ValueError, OverflowError) as error:
        raise WhatIfError(f"the sliders do not give thresholds ({error}); move them again"
                          ) from error


def steps(thresholds: Thresholds) -> dict[str, int]:
    """Return the positions of the sliders for thresholds."""
    if thresholds.review_by == "score":
        review = _step(_logit(thresholds.review), LOGITS)
    else:
        review = _step(math.log10(max(thresholds.review, 1.0)), LOSSES)
    return {"review": review, "decline": _step(_logit(thresholds.decline), LOGITS)}


def _rank(step: int, review_by: str) -> float:
    if review_by == "score":
        return _score(step)
    return float(f"{10 ** _at(step, LOSSES):.4g}")


def _score(step: int) -> float:
    return float(f"{1 / (1 + math.exp(-_at(step, LOGITS))):.7g}")


def _at(step: int, ends: tuple[float, float]) -> float:
    if not 0 <= step <= STEPS:
        raise ValueError(f"{step} is not from 0 to {STEPS}")
    return ends[0] + (ends[1] - ends[0]) * step / STEPS


def _step(value: float, ends: tuple[float, float]) -> int:
    return round(min(max((value - ends[0]) / (ends[1] - ends[0]), 0), 1) * STEPS)


def _logit(score: float) -> float:
    inside = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def next_policy(policy: Policy, thresholds: Thresholds) -> Policy:
    """Return a policy with other thresholds of the model, and a version of now."""
    return msgspec.structs.replace(policy, model=thresholds, version=f"desk-{now_ms()}")


def has_registry() -> bool:
    """Return True if the registry's command can run here; the desk's image has no MLflow."""
    return importlib.util.find_spec("mlflow") is not None


def publish(policy: Policy, person: str, reason: str) -> None:
    """Publish a policy by `registry policy`, in the name of a person.

    Raises:
        WhatIfError: the command failed; the old policy stays.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, bundle.POLICY_FILE)
        path.write_bytes(msgspec.json.encode(policy))
        try:
            result = subprocess.run(  # nosec B603
                [sys.executable, "-m", "fraud.training.registry", "policy", f"--policy={path}",
                 f"--reason={reason}"], env={**os.environ, "USER": person}, capture_output=True,
                text=True, timeout=PUBLISH_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise WhatIfError(f"the registry has not answered for {PUBLISH_SECONDS} s; check it, "
                              "and publish again") from error
    if result.returncode:
        raise WhatIfError(result.stderr.strip().removeprefix("error: ")[-600:])
