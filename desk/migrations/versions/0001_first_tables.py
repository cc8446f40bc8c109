"""The first tables, and triggers that keep the trail append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")     # SQLite counts INTEGER only
text = sa.Text()


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "people", sa.Column("id", big, primary_key=True),
        sa.Column("name", text, nullable=False, unique=True), _text("role"),
        _text("password_hash"), _big("created_at"), sa.Column("disabled_at", big))
    op.create_table(
        "payments", sa.Column("transaction_id", text, primary_key=True), _big("decided_at"),
        _big("event_time"), _text("type"), _big("amount_cents"), _text("origin"),
        sa.Column("destination", text), sa.Column("score", sa.Float(), nullable=False),
        _text("decision"), _text("model_version"), sa.Column("shadow_decision", text),
        sa.Column("line", sa.LargeBinary(), nullable=False))
    op.create_table(
        "cases", sa.Column("id", big, primary_key=True),
        sa.Column("transaction_id", text, sa.ForeignKey("payments.transaction_id"),
                  nullable=False, unique=True),
        _text("kind"), _text("status"), _text("type"), _big("amount_cents"),
        sa.Column("expected_loss", sa.Float(), nullable=False), _text("rules"),
        _big("opened_at"), _big("due_at"), _person("taken_by"),
        sa.Column("taken_until", big), sa.Column("outcome", text),
        sa.Column("note", text, nullable=False, server_default=""), _person("decided_by"),
        sa.Column("decided_at", big), _person("confirmed_by"))
    op.create_table(
        "sessions", sa.Column("token_hash", text, primary_key=True),
        sa.Column("person_id", big, sa.ForeignKey("people.id"), nullable=False),
        _text("csrf_token"), _big("expires_at"))
    op.create_table(
        "trail", sa.Column("id", big, primary_key=True), _big("at"), _text("person"),
        _text("action"), sa.Column("case_id", big, sa.ForeignKey("cases.id")),
        sa.Column("account", text), _text("detail"))
    op.create_table(
        "outbox", sa.Column("id", big, primary_key=True),
        sa.Column("case_id", big, sa.ForeignKey("cases.id"), nullable=False), _text("kind"),
        _text("body"), _big("send_from"), sa.Column("attempts", big, nullable=False),
        _text("error"), sa.Column("sent_at", big), sa.Column("cancelled_at", big))
    op.create_table(
        "log_positions", sa.Column("source", text, primary_key=True), _text("name"),
        _big("position"))
    for name, table, *columns in (
            ("ix_payments_decided_at", "payments", "decided_at"),
            ("payments_of_origin", "payments", "origin", "event_time"),
            ("payments_to_destination", "payments", "destination", "event_time"),
            ("cases_by_loss", "cases", "status", "kind", "expected_loss", "id", "type",
             "amount_cents", "rules"),
            ("cases_by_due_time", "cases", "status", "kind", "due_at"),
            ("cases_by_opening", "cases", "opened_at"),
            ("cases_by_taker", "cases", "taken_by"),
            ("ix_cases_decided_at", "cases", "decided_at"),
            ("ix_trail_case_id", "trail", "case_id"),
            ("trail_by_action", "trail", "action", "at"),
            ("ix_outbox_case_id", "outbox", "case_id"),
            ("outbox_waiting", "outbox", "kind", "sent_at", "cancelled_at", "send_from")):
        op.create_index(name, table, columns)
    _protect_trail()


def _protect_trail() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER trail_{change.lower()} BEFORE {change} ON trail "
                       "BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END")
        return
    op.execute("CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
               "BEGIN RAISE EXCEPTION 'the trail is append-only'; END $$")
    op.execute("CREATE TRIGGER trail_change BEFORE UPDATE OR DELETE OR TRUNCATE ON trail "
               "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, text, nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, big, nullable=False)


def _person(name: str) -> sa.Column[int]:
    return sa.Column(name, big, sa.ForeignKey("people.id"))
