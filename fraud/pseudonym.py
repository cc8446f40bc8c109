"""Pseudonyms of accounts: HMACs, so that no store and no log holds a name."""

from __future__ import annotations

import hmac

from msgspec.structs import replace

from fraud.transaction import Transaction


def pseudonym(key: bytes, account: str) -> str:
    """Return the first half of the HMAC-SHA-256 of an account's name: 32 hexadecimal digits."""
    return hmac.digest(key, account.encode(), "sha256")[:16].hex()


def with_pseudonyms(key: bytes, payment: Transaction) -> Transaction:
    """Return a payment whose accounts are pseudonyms instead of names."""
    destination = payment.destination
    return replace(payment, origin=pseudonym(key, payment.origin),
                   destination=None if destination is None else pseudonym(key, destination))
