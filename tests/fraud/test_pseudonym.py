import hashlib
import hmac

from fraud.pseudonym import pseudonym, with_pseudonyms
from tests.factories import payment


def test_a_pseudonym_is_the_first_half_of_an_hmac():
    whole = hmac.new(b"key", "Zoë".encode(), hashlib.sha256).hexdigest()
    assert pseudonym(b"key", "Zoë") == whole[:32]
    assert pseudonym(b"other", "Zoë") != pseudonym(b"key", "Zoë") != pseudonym(b"key", "Zoe")


def test_the_accounts_of_a_payment_are_replaced_and_nothing_else():
    assert with_pseudonyms(b"key", payment(origin="C1", destination="C2")) == payment(
        origin=pseudonym(b"key", "C1"), destination=pseudonym(b"key", "C2"))


def test_a_payment_without_a_destination_gets_none():
    assert with_pseudonyms(b"key", payment(destination=None)).destination is None
