"""API keys: the configuration holds their hashes, so reading it gives no access.

    python -m serve.keys --owner checkout --scopes score --expires 2027-06-30

prints a key, its hash and its entry. Give the key to the caller, who sends Authorization: Bearer
KEY; the key itself is stored nowhere. FRAUD_API_KEYS is a JSON array of entries, or hashes,
separated by commas: keys without an owner and with the default scopes.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import wraps
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta
from sanic import HTTPResponse, Request

from fraud.caller import Caller
from fraud.command_line import Arguments, command, parser
from fraud.errors import JSON_ERRORS
from fraud.settings import SettingsError
from serve.observation import Handler
from serve.problems import ProblemError

PREFIX = "Bearer "
Scope = Literal["score", "labels", "read"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("score", "read")     # labels shape the next model: on request
Owner = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$")]


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as the configuration knows it."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    owner: Owner | Literal[""] = ""                 # in access lines and metrics
    scopes: Annotated[Sequence[Scope], Meta(min_length=1)] = DEFAULT_SCOPES
    expires: date | None = None                     # the last day, UTC, on which the key works


class Keys:
    """The keys of the API; without any, it is open.

    Args:
        configured: a JSON array of `Key`, or sha256 hashes in hexadecimal, separated by commas.

    Raises:
        SettingsError: an entry is not such a key or hash.
    """

    def __init__(self, configured: str):
        self._keys = _entries(configured) if configured.lstrip().startswith("[") else [
            _key(number, {"sha256": text}) for number, text
            in enumerate(filter(None, map(str.strip, configured.split(","))), 1)]
        self._digests = [bytes.fromhex(key.sha256) for key in self._keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, authorization: str | None) -> Key | None:
        """Return the key that an Authorization header gives, or None if it is unknown.

        Keys are long and random, so one round of SHA-256 protects them; every hash is compared in
        constant time.
        """
        if not authorization or not authorization.startswith(PREFIX):
            return None
        given = sha256(authorization[len(PREFIX):].encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return self._keys[matches.index(True)] if True in matches else None


def authenticated(scope: Scope) -> Callable[[Handler], Handler]:
    """Decorate a handler that only callers with a key of this scope may use."""
    def decorated(handler: Handler) -> Handler:
        @wraps(handler)
        async def checked(request: Request, **arguments: Any) -> HTTPResponse:
            if request.app.ctx.keys:
                _, request_id, traceparent = request.ctx.caller
                request.ctx.caller = Caller(_owner(request, scope), request_id, traceparent)
            return await handler(request, **arguments)

        return checked

    return decorated


def _owner(request: Request, scope: Scope) -> str:
    keys: Keys = request.app.ctx.keys
    key = keys.find(request.headers.get("authorization"))
    if key is None:
        raise ProblemError(401, "unauthorized", "the Authorization header is missing or its "
                           "key is unknown; send Authorization: Bearer KEY")
    if key.expires and datetime.now(UTC).date() > key.expires:
        raise ProblemError(401, "key-expired", f"the key of {key.owner or 'this caller'} expired "
                           f"after {key.expires}; ask for another one")
    if scope not in key.scopes:
        raise ProblemError(403, "missing-scope", f"the key of {key.owner or 'this caller'} lacks "
                           f"the scope {scope!r}; ask for a key that has it")
    return key.owner


def _entries(configured: str) -> list[Key]:
    try:
        entries = msgspec.json.decode(configured, type=list[Any])
    except JSON_ERRORS as error:
        raise SettingsError(f"FRAUD_API_KEYS: is not a JSON array ({error}); python -m serve.keys "
                            "prints its entries") from error
    return [_key(number, entry) for number, entry in enumerate(entries, 1)]


def _key(number: int, entry: object) -> Key:
    try:
        return msgspec.convert(entry, Key)
    except msgspec.ValidationError as error:
        raise SettingsError(f"FRAUD_API_KEYS: entry {number} is not a key ({error}); create one "
                            "with python -m serve.keys") from error


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m serve.keys", __doc__)
    options.add_argument("--owner", default="", help="name of the caller, in logs and metrics")
    options.add_argument("--scopes", default=",".join(DEFAULT_SCOPES),
                         help=f"what the key may do, of {','.join(SCOPES)} (default %(default)s)")
    options.add_argument("--expires", help="YYYY-MM-DD: the last day on which the key works")
    given = options.parse_args(arguments)
    secret = secrets.token_urlsafe(32)
    key = _key(1, {"sha256": sha256(secret.encode()).hexdigest(), "owner": given.owner,
                   "scopes": given.scopes.split(","), "expires": given.expires})
    print(f"key (give it to the caller)     {secret}\n"
          f"hash (set in FRAUD_API_KEYS)    {key.sha256}\n"
          f"entry (of a JSON array there)   {msgspec.json.encode(key).decode()}")


if __name__ == "__main__":
    main()
