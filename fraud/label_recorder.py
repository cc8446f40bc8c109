"""Recording of labels: known frauds are counted in the store, and all labels are kept in a log.

API and topic record labels in the same way. A fraud counts once, on the accounts of its payment. A
label of 0 counts nothing and takes nothing back: an account keeps a fraud that was counted by
mistake until the fraud leaves its month.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from fraud import labels, metrics
from fraud.clock import now_ms
from fraud.history import KnownFraud, Store
from fraud.labels import Label
from fraud.logs import LabelLog
from fraud.pseudonym import pseudonym
from fraud.settings import Settings
from fraud.transaction import EVENT_TIME_LIMIT

MINUTE_MS = 60_000


class LabelOutcome(msgspec.Struct, frozen=True):
    """The result of recording labels."""

    accepted: Annotated[int, Meta(description="labels that were kept")]
    counted: Annotated[int, Meta(description="frauds that were counted now")]
    unknown_ids: Annotated[list[str], Meta(description=(
        "frauds that were kept but not counted, because nobody knows their accounts: name the "
        "accounts in the label"))]


class LabelRecorder:
    """Records labels in a store and a log. Any thread may use it.

    Args:
        key: that of the pseudonyms by which the store knows accounts.
    """

    def __init__(self, store: Store, key: bytes, settings: Settings):
        self._store, self._key = store, key
        self._log = LabelLog(settings.label_log)
        self._max_clock_skew_ms = round(settings.max_clock_skew_minutes * MINUTE_MS)
        self._replays = settings.clock == "event"

    def parse(self, body: bytes | msgspec.Raw | None) -> Label:
        """Return the label in one JSON object, such as the value of a Kafka message.

        Raises:
            InvalidLabel: it is not a label, or its label_time is ahead of the clock.
        """
        latest = EVENT_TIME_LIMIT if self._replays else now_ms() + self._max_clock_skew_ms
        return labels.parse_value(body, latest)

    def record(self, given: Sequence[Label]) -> LabelOutcome:
        """Count each fraud once and append all labels to the log.

        Accounts come from the label, else from the store, as long as it knows the transaction_id.

        Raises:
            StoreUnavailable, LabelLogError: nothing is lost; record the same labels again.
        """
        named = self._with_accounts(given)
        frauds = [label for label in named if label.is_fraud]
        known = [KnownFraud(label.transaction_id, label.label_time, label.origin_pseudonym,
                            label.destination_pseudonym)
                 for label in frauds if label.origin_pseudonym]
        counted = sum(self._store.label(known)) if known else 0
        self._log.write(named)
        metrics.count_labels({
            "counted": counted, "repeated": len(known) - counted,
            "unknown": len(frauds) - len(known), "legitimate": len(named) - len(frauds)})
        return LabelOutcome(len(named), counted, [
            label.transaction_id for label in frauds if not label.origin_pseudonym])

    def _with_accounts(self, given: Sequence[Label]) -> list[Label]:
        """Return labels with the pseudonyms of their accounts, and without names."""
        named = [self._with_pseudonyms(label) for label in given]
        ids = [label.transaction_id for label in named
               if label.is_fraud and not label.origin_pseudonym]
        kept = dict(zip(ids, self._store.accounts(ids), strict=True)) if ids else {}
        return [replace(label, origin_pseudonym=accounts.origin,
                        destination_pseudonym=accounts.destination)
                if (accounts := kept.get(label.transaction_id)) and not label.origin_pseudonym
                else label for label in named]

    def _with_pseudonyms(self, label: Label) -> Label:
        if label.origin is None:
            return label
        destination = label.destination
        return replace(
            label, origin=None, destination=None,
            origin_pseudonym=pseudonym(self._key, label.origin),
            destination_pseudonym=None if destination is None
            else pseudonym(self._key, destination))
