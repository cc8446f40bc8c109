"""The schema of the migrations is that of the tables, on both databases."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from desk import trail
from desk.database import Database, DatabaseError, insert_new
from desk.intake import payment_row
from desk.tables import Base, DecidedPayment
from fraud.settings import SettingsError
from tests.desk.running import decision

STRANGE = "a\0b \ue000 \ue0000 \u202e <script>"


def test_migrations_give_the_schema_of_the_tables(database):
    database.migrate()      # a second time changes nothing
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("change", ["UPDATE trail SET person = 'ben'", "DELETE FROM trail"])
def test_the_trail_cannot_be_changed(database, change):
    with database.writing() as session:
        trail.record(session, "ana", "decided")
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.execute(text(change))


def test_any_text_comes_back_and_a_second_insert_changes_nothing(database):
    for amount in (100, 200):
        with database.writing() as session:
            insert_new(session, DecidedPayment,
                       [payment_row(decision(STRANGE, amount_cents=amount), b"{}")])
    with database.reading() as session:
        [payment] = session.scalars(select(DecidedPayment).where(
            DecidedPayment.transaction_id == STRANGE))
    assert (payment.transaction_id, payment.amount_cents) == (STRANGE, 100)


@pytest.mark.parametrize(("url", "message"), [
    ("nonsense", "is 'nonsense', which is not a URL"),
    ("mysql://host/name", "is 'mysql', which is not supported")])
def test_another_database_is_refused_with_the_fix(url, message):
    with pytest.raises(SettingsError, match=message):
        Database(url)


def test_a_database_that_is_away_is_an_error_without_its_password():
    with pytest.raises(DatabaseError) as caught:
        Database("postgresql://desk:secret@127.0.0.1:1/desk").migrate()
    assert "cannot be used" in str(caught.value)
    assert "secret" not in str(caught.value)
