"""Labels of simulated payments: what is reported, and when it becomes known."""

from __future__ import annotations

import numpy as np

from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR, LEGITIMATE, DraftPayments
from fraud.training.simulate.episodes import FRAUD_TYPES, TRANSFER

FALSE_REPORT = len(FRAUD_TYPES)
LABELS = (*FRAUD_TYPES, "false_report")     # values of the column `fraud_type`
DELAY_MEDIAN = 24 * HOUR               # until the customer complains or an analyst closes the case
DELAY_LIMIT = 5 * 24 * HOUR
# Victims of an agent find out alone, and late: each has a label time of its account's statement.
ALONE, ALONE_FACTOR = FRAUD_TYPES.index("compromised_agent"), 2.5


def reported(part: DraftPayments, behaviour: Behaviour, rng: np.random.Generator) -> DraftPayments:
    """Return the payments with incidents and types as reported: some are not, some are none."""
    incident, fraud_type = part.incident.copy(), part.fraud_type.copy()
    count = int(incident.max(initial=-1)) + 1
    unreported = np.append(rng.random(count) < behaviour.unreported, False)[incident]
    incident[unreported] = fraud_type[unreported] = LEGITIMATE
    candidates = np.flatnonzero((part.incident < 0) & (part.type_code == TRANSFER))
    false = rng.choice(candidates, min(candidates.size, round(count * behaviour.false_reports)),
                       replace=False)
    incident[false] = count + np.arange(false.size)
    fraud_type[false] = FALSE_REPORT
    return part._replace(incident=incident, fraud_type=fraud_type)


def times(part: DraftPayments, rng: np.random.Generator) -> np.ndarray:
    """Return when each label becomes known: int64 ms from the start; an incident's at one time."""
    delay = np.minimum(DELAY_MEDIAN * rng.lognormal(0.0, 0.6, part.time.size), DELAY_LIMIT)
    alone = part.fraud_type == ALONE
    known = part.time + np.where(alone, ALONE_FACTOR * delay, delay)
    together = np.flatnonzero((part.incident >= 0) & ~alone)
    last = np.zeros(int(part.incident.max(initial=-1)) + 1)
    np.maximum.at(last, part.incident[together], known[together])
    known[together] = last[part.incident[together]]
    return known.astype(np.int64)
