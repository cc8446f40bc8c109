"""Behaviour of a simulated population: how far it is from one that makes fraud easy to see."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from fraud.training.errors import TrainingError


def _share(default: float, meaning: str) -> float:
    share: float = field(default=default, metadata={"meaning": meaning})
    return share


@dataclass(frozen=True)
class Behaviour:
    """Shares from 0 to 1; 0 leaves a behaviour out.

    Raises:
        TrainingError: a share is out of its range.
    """

    arrivals: float = _share(0.12, "customers and merchants that open their account in 31 days")
    departures: float = _share(0.06, "customers and merchants that leave in 31 days")
    linked: float = _share(0.05, "customers whose bank funds each payment: their balance is 0")
    new_payees: float = _share(0.10, "transfers to someone who is not a contact")
    round_sums: float = _share(0.25, "sums cashed or transferred that are round")
    failed_attempts: float = _share(0.15, "takeovers that first ask for more than there is")
    recruited_mules: float = _share(0.20, "mules that are customers, not new accounts")
    reused_mules: float = _share(0.20, "incidents through the mule of an incident shortly before")
    contact_mules: float = _share(0.02, "takeovers that pay a contact of the victim")
    unreported: float = _share(0.03, "incidents that nobody reports: their label is 0")
    false_reports: float = _share(0.02, "legitimate transfers reported as fraud, for each incident")

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise TrainingError(f"--{name.replace('_', '-')} is {share}: give a share from 0 "
                                    "to 1")


DEFAULT = Behaviour()
MEANINGS = {share.name: str(share.metadata["meaning"]) for share in fields(Behaviour)}
