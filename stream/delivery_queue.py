"""The queue of the webhook: events and the position in the log, in one SQLite file.

Events and position change in one transaction, so a process that is killed continues exactly where
its queue ends. An event leaves the queue once it was delivered, or is set aside if it was refused.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from fraud.settings import SettingsError
from fraud.webhooks import EncodedEvent
from stream.log_follower import LogPosition

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT,
                                   id TEXT UNIQUE NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,
                                    body BLOB NOT NULL, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (log TEXT PRIMARY KEY, head TEXT NOT NULL,
                                      head_bytes INTEGER NOT NULL, offset INTEGER NOT NULL);
"""


class QueuedEvent(NamedTuple):
    """An event with its number in the queue."""

    number: int
    event: EncodedEvent


class DeliveryQueue:
    """Events in the order of the log. Threads may share it, processes may not.

    Raises:
        SettingsError: the file cannot be used, or another process uses it.
    """

    def __init__(self, path: str):
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, timeout=1.0, check_same_thread=False,
                                             isolation_level=None)
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise SettingsError(f"FRAUD_WEBHOOK_QUEUE is {path!r}, which cannot be used ({error}); "
                                "give each webhook a writable file of its own") from error

    def position(self, log: str) -> LogPosition:
        """Return the position up to which a log was read; its beginning at first."""
        row = self._row("SELECT head, head_bytes, offset FROM positions WHERE log = ?", log)
        return LogPosition(*row) if row else LogPosition()

    def add(self, events: Sequence[EncodedEvent], log: str, position: LogPosition) -> None:
        """Append events, and note the position after them. One that waits already is not added."""
        with self._transaction():
            self._database.executemany("INSERT OR IGNORE INTO events (id, body) VALUES (?, ?)",
                                       events)
            self._database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                                   (log, *position))

    def first(self) -> QueuedEvent | None:
        """Return the event that waits the longest."""
        row = self._row("SELECT number, id, body FROM events ORDER BY number LIMIT 1")
        return QueuedEvent(row[0], EncodedEvent(row[1], row[2])) if row else None

    def remove(self, number: int) -> None:
        """Remove an event that was delivered."""
        with self._transaction():
            self._database.execute("DELETE FROM events WHERE number = ?", (number,))

    def set_aside(self, number: int, answer: str, limit: int) -> None:
        """Move an event to the refused ones, of which the latest are kept.

        Args:
            answer: of the receiver.
            limit: of refused events.
        """
        with self._transaction():
            self._database.execute("INSERT INTO refused (id, body, answer) "
                                   "SELECT id, body, ? FROM events WHERE number = ?",
                                   (answer, number))
            self._database.execute("DELETE FROM events WHERE number = ?", (number,))
            self._database.execute("DELETE FROM refused WHERE number <= "
                                   "(SELECT MAX(number) FROM refused) - ?", (limit,))

    def requeue_refused(self) -> int:
        """Append the refused events again; returns their number."""
        with self._transaction():
            self._database.execute("INSERT OR IGNORE INTO events (id, body) "
                                   "SELECT id, body FROM refused ORDER BY number")
            return self._database.execute("DELETE FROM refused").rowcount

    def __len__(self) -> int:
        [count] = self._row("SELECT COUNT(*) FROM events") or (0,)
        return int(count)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _row(self, query: str, *values: str) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
            return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
