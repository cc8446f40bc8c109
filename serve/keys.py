"""API keys: the configuration holds their hashes, so reading it gives no access.

    python -m serve.keys        create a key and print it with its hash

Give the key to the caller, who sends Authorization: Bearer KEY, and set the hash in FRAUD_API_KEYS;
separate several hashes by commas. The key itself is stored nowhere.
"""

from __future__ import annotations

import hmac
import re
import secrets
from functools import wraps
from hashlib import sha256
from typing import Any

from sanic import HTTPResponse, Request

from fraud.command_line import Arguments, command, parser
from fraud.settings import SettingsError
from serve.observation import Handler
from serve.problems import ProblemError

PREFIX = "Bearer "
HASH = re.compile(r"[0-9a-f]{64}")


class Keys:
    """The keys of the API; without any, it is open.

    Args:
        hashes: sha256 of each key, hexadecimal, separated by commas.

    Raises:
        SettingsError: an entry is not such a hash.
    """

    def __init__(self, hashes: str):
        self._digests: list[bytes] = []
        for number, text in enumerate(filter(None, map(str.strip, hashes.split(","))), 1):
            if not HASH.fullmatch(text):
                raise SettingsError(f"FRAUD_API_KEYS: entry {number} is not a sha256 in "
                                    "hexadecimal; create one with python -m serve.keys")
            self._digests.append(bytes.fromhex(text))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, authorization: str | None) -> bool:
        """Return True if a request with this Authorization header may pass.

        Keys are long and random, so one round of SHA-256 protects them; every hash is compared in
        constant time.
        """
        if not self._digests:
            return True
        if not authorization or not authorization.startswith(PREFIX):
            return False
        given = sha256(authorization[len(PREFIX):].encode("utf-8", "surrogateescape")).digest()
        return any([hmac.compare_digest(given, digest) for digest in self._digests])


def authenticated(handler: Handler) -> Handler:
    """Decorate a handler that only callers with a key may use."""
    @wraps(handler)
    async def checked(request: Request, **arguments: Any) -> HTTPResponse:
        if not request.app.ctx.keys.admit(request.headers.get("authorization")):
            raise ProblemError(401, "unauthorized", "the Authorization header is missing or its "
                               "key is unknown; send Authorization: Bearer KEY")
        return await handler(request, **arguments)

    return checked


@command
def main(arguments: Arguments) -> None:
    parser("python -m serve.keys", __doc__).parse_args(arguments)
    key = secrets.token_urlsafe(32)
    print(f"key (give it to the caller)     {key}")
    print(f"hash (set in FRAUD_API_KEYS)    {sha256(key.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
