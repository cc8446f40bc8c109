import hashlib
import hmac

from fraud.pseudonym import pseudonym


def test_a_pseudonym_is_the_first_half_of_an_hmac():
    whole = hmac.new(b"key", "Zoë".encode(), hashlib.sha256).hexdigest()
    assert pseudonym(b"key", "Zoë") == whole[:32]
    assert pseudonym(b"other", "Zoë") != pseudonym(b"key", "Zoë") != pseudonym(b"key", "Zoe")
