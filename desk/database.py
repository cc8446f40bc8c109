"""The database of the desk: SQLite or PostgreSQL, brought to the present schema at start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Update, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from desk.tables import Base
from fraud.errors import FraudError
from fraud.settings import SettingsError

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_MS = 20_000        # that a writer of SQLite waits for the one before
READ_ONLY = "read_only"


class DatabaseError(FraudError):
    """A database that cannot be used. The message names it and the fix."""


class Database:
    """The database, with transactions that read and transactions that write.

    Args:
        url: FRAUD_DESK_DATABASE.

    Raises:
        SettingsError: it is not a URL of SQLite or PostgreSQL.
    """

    def __init__(self, url: str):
        self.engine = _engine(url)
        self._writers = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(**{READ_ONLY: True}))
        # SQLite has one writer: threads take turns here, where none sleeps longer than it must.
        is_sqlite = self.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if is_sqlite else nullcontext()
        self._shown = make_url(url).render_as_string(hide_password=True)

    def migrate(self) -> None:
        """Bring the schema to the version of this program.

        Raises:
            DatabaseError: the database cannot be reached or changed.
        """
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        try:
            with self.engine.connect() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise DatabaseError(f"FRAUD_DESK_DATABASE is {self._shown}, which cannot be used "
                                f"({reason}); check the address, the rights and the disk"
                                ) from error

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose changes are committed together, or not at all."""
        with self._turn, self._writers.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one moment."""
        with self._readers() as session:
            yield session

    def analyze(self) -> None:
        """Let SQLite count its rows, by which it chooses indexes; PostgreSQL does so by itself."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.begin() as connection:
                connection.exec_driver_sql("PRAGMA analysis_limit=1000")
                connection.exec_driver_sql("ANALYZE")

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def changed(session: Session, statement: Update) -> bool:
    """Execute an update; return True if it has changed a row."""
    return bool(session.execute(statement.execution_options(
        synchronize_session=False)).rowcount)      # type: ignore[attr-defined]


def insert_new(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows; those with the key of a row that is there are left out."""
    if not rows:
        return
    dialect = session.get_bind().dialect.name
    build = sqlite.insert if dialect == "sqlite" else postgresql.insert
    session.execute(build(table).on_conflict_do_nothing(), rows)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(f"FRAUD_DESK_DATABASE is {url!r}, which is not a URL; write "
                            "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME") from error
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True,
                             pool_size=10, max_overflow=10,
                             connect_args={"connect_timeout": 10})
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise SettingsError(f"FRAUD_DESK_DATABASE is {parsed.drivername!r}, which is not "
                            "supported; use sqlite:///FILE or postgresql://...")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_MS / 1_000})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None       # BEGIN is ours, see `_begin_sqlite`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
                   f"busy_timeout={BUSY_MS}", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the lock of writers at once: a reader that begins to write could fail."""
    reads = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
