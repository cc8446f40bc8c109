"""Round trips to Redis within a deadline, whatever DNS, network or server do.

A name is looked up in a thread: while DNS does not answer, connections use the last addresses.
Every new connection starts a lookup, so that a server that moved is found at the next attempt.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any, TypeVar

from redis import Connection, ConnectionPool, RedisError, SSLConnection
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ConnectionError, NoScriptError, ReadOnlyError
from redis.retry import Retry

from fraud.history import StoreUnavailable

COMMANDS_MAX = 6        # in flight: small trips run side by side, full ones one by one
ADDRESSES_MAX = 3       # of a name: each may take the deadline to connect
Command = tuple[str | bytes | int, ...]
Part = TypeVar("Part")
Result = TypeVar("Result")


class RedisClient:
    """A pool of connections. Any thread may use it.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        deadline: seconds for Redis to connect, or to reply to a command; after them, a call raises
            `StoreUnavailable`. Time spent waiting for other trips of this process is not counted.
        scripts: Lua scripts that each connection loads.

    Raises:
        ValueError: the URL cannot be used.
    """

    def __init__(self, url: str, deadline: float, scripts: Collection[str]):
        self._deadline, self._scripts = deadline, scripts
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), redis_connect_func=self._set_up,
            socket_timeout=deadline, socket_connect_timeout=deadline,
            **_by_last_addresses(url, deadline))
        self._in_flight = InFlight(COMMANDS_MAX)
        self._refused = ""

    def trip(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies of one round trip. See `map`."""
        return self.map(commands, lambda command: command, lambda _, reply: reply)

    def map(self, parts: Sequence[Part], command: Callable[[Part], Command],
            result: Callable[[Part, Any], Result]) -> list[Result]:
        """Return the results of one round trip, or of a second one if the connection was stale.

        Each command is sent when it is built, and each reply is read when it is there: Redis works
        on one part of the work while this process works on another.

        Args:
            parts: of the work, a command each.
            command: builds the command of a part; it may be called twice.
            result: returns the result of a part and Redis' reply.

        Raises:
            StoreUnavailable: Redis does not answer, or must not be used.
        """
        if self._refused:
            raise StoreUnavailable(self._refused)
        return self._trip(parts, command, result)

    def memory(self) -> dict[str, str]:
        """Return the fields of INFO memory; refuse the server from now on if it may evict keys.

        Raises:
            StoreUnavailable: Redis does not answer, or may evict keys.
        """
        [reply] = self._trip([()], lambda _: ("INFO", "memory"), lambda _, reply: reply)
        fields = _fields(reply)
        try:
            _check_eviction(fields)
        except ConnectionError as error:
            self._refused = f"Redis: {error}"
            raise StoreUnavailable(self._refused) from error
        self._refused = ""
        return fields

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    def _trip(self, parts: Sequence[Part], command: Callable[[Part], Command],
              result: Callable[[Part, Any], Result]) -> list[Result]:
        with self._in_flight.of(len(parts)):
            began = monotonic()
            try:
                try:
                    return self._exchange(parts, command, result)
                except (ConnectionError, NoScriptError, ReadOnlyError) as error:
                    if isinstance(error, ReadOnlyError):
                        self._pool.disconnect(inuse_connections=False)      # the primary moved
                    if monotonic() > began + self._deadline / 2:
                        raise
                    return self._exchange(parts, command, result)
            except (RedisError, OSError) as error:
                raise StoreUnavailable(f"Redis: {error}") from error

    def _exchange(self, parts: Sequence[Part], command: Callable[[Part], Command],
                  result: Callable[[Part, Any], Result]) -> list[Result]:
        connection: Any = self._pool.get_connection()       # redis-py has few types
        try:
            for part in parts:
                connection.send_packed_command(connection.pack_command(*command(part)))
            return [result(part, connection.read_response()) for part in parts]
        except BaseException:
            connection.disconnect()         # late replies would answer the next command
            raise
        finally:
            self._pool.release(connection)

    def _set_up(self, connection: Any) -> None:
        """Load the scripts on a new connection, and check that the server never evicts keys."""
        connection.on_connect()
        commands = [*(("SCRIPT", "LOAD", script) for script in self._scripts), ("INFO", "memory")]
        connection.send_packed_command(connection.pack_commands(commands))
        replies = [connection.read_response() for _ in commands]
        _check_eviction(_fields(replies[-1]))


class InFlight:
    """A limit on the commands that threads have sent and not yet seen answered.

    Without it, a process under load would wait for its own commands, which Redis runs one by one,
    and take that for a slow Redis.
    """

    def __init__(self, limit: int):
        self._limit, self._free, self._changed = limit, limit, Condition()

    @contextmanager
    def of(self, commands: int) -> Iterator[None]:
        """Wait until as many more commands may be in flight, and count them until the end."""
        commands = min(commands, self._limit)       # more than that are in flight alone
        with self._changed:
            self._changed.wait_for(lambda: self._free >= commands)
            self._free -= commands
        try:
            yield
        finally:
            with self._changed:
                self._free += commands
                self._changed.notify_all()


class Addresses:
    """The addresses of a host name: those of the last lookup that succeeded. Thread-safe.

    Args:
        timeout: seconds to wait while there are none yet.
    """

    def __init__(self, host: str, timeout: float):
        self._host, self._timeout = host, timeout
        self._last: list[str] = []
        self._error: OSError | None = None
        self._lock, self._lookup = Lock(), Thread()
        self._start()

    def get(self) -> list[str]:
        """Return the last addresses and look the name up again, without waiting for that.

        Raises:
            OSError: there are none.
        """
        lookup = self._start()
        if not self._last:
            lookup.join(self._timeout)
        if not self._last:
            raise self._error or OSError(f"DNS has not answered for {self._host!r} yet")
        return self._last

    def _start(self) -> Thread:
        with self._lock:
            if not self._lookup.is_alive():
                # Not a thread pool: a hanging lookup would hold up the end of the process.
                self._lookup = Thread(target=self._look_up, name="dns", daemon=True)
                self._lookup.start()
            return self._lookup

    def _look_up(self) -> None:
        try:
            results = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            self._last = [str(address[0]) for *_, address in results]
        except OSError as error:
            self._error = error


class _ByLastAddresses(Connection):
    """A TCP connection to the last addresses of its host."""

    def __init__(self, addresses: Addresses, **options: Any):
        super().__init__(**options)     # type: ignore[no-untyped-call]
        self._addresses = addresses

    def _connect(self) -> Any:
        host, failure = self.host, OSError()
        for address in self._addresses.get()[:ADDRESSES_MAX]:
            self.host = address
            try:
                return super()._connect()       # type: ignore[no-untyped-call]
            except OSError as error:
                failure = error
            finally:
                self.host = host        # TLS checks the name
        raise failure


class _TlsByLastAddresses(SSLConnection, _ByLastAddresses):
    """The same with TLS."""


def _by_last_addresses(url: str, timeout: float) -> dict[str, Any]:
    """Return the options of a pool that connects to the last addresses of the URL's host."""
    options = parse_url(url)    # type: ignore[no-untyped-call]
    if "path" in options:       # unix://
        return {}
    is_tls = options.get("connection_class") is SSLConnection
    return {"connection_class": _TlsByLastAddresses if is_tls else _ByLastAddresses,
            "addresses": Addresses(options.get("host", "localhost"), timeout)}


def _check_eviction(memory: dict[str, str]) -> None:
    policy = memory.get("maxmemory_policy", "unknown")
    if memory.get("maxmemory") != "0" and policy != "noeviction":
        raise ConnectionError(f"maxmemory-policy is {policy}: it may forget accounts; set it to "
                              "noeviction")


def _fields(reply: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO."""
    lines = reply.decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
