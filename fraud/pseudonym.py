"""Pseudonyms of accounts: HMACs, so that no log holds a name."""

from __future__ import annotations

import hmac


def pseudonym(key: bytes, account: str) -> str:
    """Return the first half of the HMAC-SHA-256 of an account's name: 32 hexadecimal digits."""
    return hmac.digest(key, account.encode(), "sha256")[:16].hex()
