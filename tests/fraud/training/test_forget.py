import pytest

from fraud.pseudonym import pseudonym, with_pseudonyms
from fraud.training import forget
from tests.factories import NOON, payment
from tests.tools import run_main

KEY = "key"


@pytest.mark.parametrize("kind", ["redis", "dynamodb"])
def test_an_account_is_removed_once_and_others_stay(request, opened, monkeypatch, capsys, kind):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", KEY)
    url = request.getfixturevalue(f"{kind}_url")
    store = opened(url)
    store.claim([with_pseudonyms(KEY.encode(), payment("a"))], NOON)
    arguments = ("--store", url, "C1", "C9")
    assert run_main(capsys, forget.main, *arguments)[:2] == (0, (
        f"C1 ({pseudonym(b'key', 'C1')}): removed\n"
        f"C9 ({pseudonym(b'key', 'C9')}): not in the store\n"))
    [claim] = store.claim([with_pseudonyms(KEY.encode(), payment("b"))], NOON)
    assert not any(claim.counts[:len(claim.counts) // 2]) and any(claim.counts)


@pytest.mark.parametrize(("key", "arguments", "message"), [
    ("", ("--store", "redis://localhost:1", "C1"), "FRAUD_ACCOUNT_KEY is not set"),
    (KEY, ("--store", "redis://localhost:1", "nan"), "account is 'nan', which stands for a"),
    (KEY, ("--store", "memory:///file", "C1"), "belongs to one process; restart"),
    (KEY, ("--store", "redis://127.0.0.1:1", "C1"), "Redis: ")])
def test_an_account_that_cannot_be_removed_is_an_error(
        monkeypatch, capsys, key, arguments, message):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", key)
    code, out, err = run_main(capsys, forget.main, *arguments)
    assert (code, out) == (2, "") and err.startswith("error: ") and message in err
