"""The trail: each action with its person and time, append-only."""

from __future__ import annotations

from sqlalchemy.orm import Session

from desk.tables import TrailEntry
from fraud.clock import now_ms


def record(session: Session, person: str, action: str, *, case_id: int | None = None,
           account: str | None = None, detail: str = "") -> None:
    """Add an entry, in the transaction of the action itself."""
    session.add(TrailEntry(at=now_ms(), person=person, action=action, case_id=case_id,
                           account=account, detail=detail))
