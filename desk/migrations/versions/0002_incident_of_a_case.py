"""The incident of a decision, until a second person agrees, and the decision of a delivery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("cases", sa.Column("incident_id", sa.Text()))
    op.add_column("outbox", sa.Column("decided_at", big))
