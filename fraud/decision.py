"""Outcomes of scoring: the answer to the caller and the line of the decision log."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from fraud.bundle import Thresholds
from fraud.reasons import Reason
from fraud.shadow import ShadowDecision
from fraud.transaction import EVENT_TIME_LIMIT, Transaction

History = Literal["full", "partial", "short", "unavailable"]
SCORED_BY_MODEL = ("full", "partial")       # others are scored by its fallback
DecidedBy = Literal["model", "list", "rule"]
Int64 = Annotated[int, Meta(ge=-2**63, le=2**63 - 1)]
Time = Annotated[int, Meta(ge=0, lt=EVENT_TIME_LIMIT)]      # ms since the epoch
RULED = ("list:", "rule:")                  # prefixes of the reasons of lists and rules


class Answer(msgspec.Struct, frozen=True):
    """The answer to the caller, as JSON. It holds no clock, request or latency."""

    transaction_id: Annotated[str, Meta(description="that of the payment")]
    score: Annotated[float, Meta(description="calibrated probability of fraud, 0 to 1")]
    decision: Annotated[str, Meta(description="`approve`, `review` or `decline`")]
    decided_by: Annotated[DecidedBy, Meta(description=(
        "`model`, or a `list` or `rule` that is stricter; an allow list sets the model aside"))]
    thresholds: Annotated[Thresholds, Meta(description=(
        "the levels from which this payment was to be reviewed or declined"))]
    reasons: Annotated[list[Reason], Meta(description=(
        "reasons of a review or decline: lists, those of the model, the strongest first, rules"))]
    history: Annotated[History, Meta(description=(
        "`full`, of a month; `partial`, the store has recorded a day but not yet a month; "
        "otherwise the fallback model scored, which needs no history: `short`, the store has not "
        "recorded a day yet; `unavailable`, it did not answer"))]
    unknown_windows: Annotated[list[str], Meta(description=(
        "windows that are not known, of `hour`, `day`, `week` and `month`"))]
    late: Annotated[bool, Meta(description=(
        "true if an earlier payment of one of the accounts has a later `event_time`"))]
    idempotent: Annotated[bool, Meta(description=(
        "false if the answer could not be kept: a repeat may get another one"))]
    model_version: Annotated[str, Meta(description="version of the model in the registry")]
    policy_version: Annotated[str, Meta(description="version of the thresholds")]
    rules_version: Annotated[str, Meta(description="version of lists and rules; empty: none")]


class Decision(msgspec.Struct, frozen=True):
    """One line of the decision log, as JSON: enough to replay the decision and to learn from it.

    A damaged line is refused here, where it would be a row that no database takes.
    """

    decided_at: Time                    # by the wall clock
    transaction_id: str
    event_time: Time
    type: str
    amount_cents: Int64
    origin: str                         # pseudonym of the account
    destination: str | None
    origin_balance_cents: Int64 | None  # None: not known
    destination_balance_cents: Int64 | None
    history: History
    unknown_windows: list[str]          # of `fraud.windows.WINDOWS`
    late: bool
    store_sequence: Int64 | None        # None where the store has no order
    recording_since: Int64 | None       # None where the store is unavailable
    counts: list[int] | None            # in the order of `fraud.windows.COUNT_NAMES`
    features: list[float | None]        # the model's input, in its order: float32; None: not known
    score: float
    decision: str
    reasons: list[Reason]
    idempotent: bool
    model_digest: str                   # sha256 of bundle.json
    model_version: str
    policy_digest: str                  # sha256 of policy.json
    policy_version: str
    thresholds: Thresholds              # of the policy, for the model that scored
    decided_by: DecidedBy = "model"
    model_decision: str = ""            # of the model alone; "" where there were no rules
    applied: list[str] = []             # `list:NAME` and `rule:NAME`
    dry_run: list[str] = []             # `rule:NAME` of rules that would have applied
    rules_version: str = ""
    rules_digest: str = ""              # sha256 of the rule set; "" without one
    shadow: ShadowDecision | None = None    # of the challenger, where one scored
    owner: str = ""                     # of the API key; see `fraud.caller`
    request_id: str = ""
    traceparent: str = ""


class Answered(NamedTuple):
    """A payment that has an answer."""

    body: bytes                 # `Answer` as JSON
    decision: Decision | None   # None where the answer was there before


class Refused(NamedTuple):
    """A payment that is not scored."""

    code: str                   # id-reused, event-time-ahead, unknown-type
    message: str


def answered(decision: Decision) -> Answered:
    """Return a decision with its answer as JSON."""
    return Answered(_encode(Answer(*_answer_fields(decision))), decision)


def kept_decision(payment: Transaction, answer: bytes, decided_at: int) -> Decision:
    """Return the log line of an answer that was kept earlier, as far as the answer tells it.

    Counts, features and digests are missing: the line cannot be replayed or learned from.
    """
    fields = msgspec.structs.asdict(_decode(answer))
    ruled_by = [reason.code for reason in fields["reasons"] if reason.code.startswith(RULED)]
    return Decision(
        **fields, decided_at=decided_at, event_time=payment.event_time, type=payment.type,
        amount_cents=payment.amount_cents, origin=payment.origin, destination=payment.destination,
        origin_balance_cents=payment.origin_balance_cents,
        destination_balance_cents=payment.destination_balance_cents, store_sequence=None,
        recording_since=None, counts=None, features=[], model_digest="", policy_digest="",
        applied=ruled_by)


_answer_fields = attrgetter(*Answer.__struct_fields__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode
