"""API keys: what is configured is their hashes, so that reading the configuration gives no access.

    python -m serve.keys        makes a key and prints it with its hash

Give the key to the caller, who sends Authorization: Bearer KEY, and the hash to FRAUD_API_KEYS;
several hashes are separated by commas. The key itself is kept nowhere.
"""

from __future__ import annotations

import argparse
import hmac
import re
import secrets
from hashlib import sha256

from fraud.settings import SettingsError

PREFIX = "Bearer "
HASH = re.compile(r"[0-9a-f]{64}")


class Keys:
    """The keys that open the API; with none, it is open.

    Args:
        hashes: sha256 of each key, hexadecimal, separated by commas.

    Raises:
        SettingsError: one of them is no such hash.
    """

    def __init__(self, hashes: str):
        self._digests = []
        for place, text in enumerate(filter(None, map(str.strip, hashes.split(",")))):
            if not HASH.fullmatch(text):
                raise SettingsError(f"FRAUD_API_KEYS: entry {place + 1} is no sha256 in "
                                    "hexadecimal; make one with python -m serve.keys")
            self._digests.append(bytes.fromhex(text))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, authorization: str | None) -> bool:
        """Whether a request with this Authorization header may pass.

        A key is random and long, so that one round of SHA-256 protects it; every hash is compared
        in constant time.
        """
        if not self._digests:
            return True
        if not authorization or not authorization.startswith(PREFIX):
            return False
        given = sha256(authorization[len(PREFIX):].encode("utf-8", "surrogateescape")).digest()
        return any([hmac.compare_digest(given, digest) for digest in self._digests])


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(
        prog="python -m serve.keys", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(arguments)
    key = secrets.token_urlsafe(32)
    print(f"key (give it to the caller)         {key}")
    print(f"hash (goes into FRAUD_API_KEYS)     {sha256(key.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
