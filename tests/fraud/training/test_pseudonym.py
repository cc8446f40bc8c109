from fraud.pseudonym import pseudonym
from fraud.training.pseudonym import main
from tests.tools import run_main


def test_the_pseudonym_of_an_account_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "key")
    assert run_main(capsys, main, " C1 ")[:2] == (0, pseudonym(b"key", "C1") + "\n")


def test_without_a_key_no_pseudonym_is_printed(monkeypatch, capsys):
    monkeypatch.delenv("FRAUD_ACCOUNT_KEY", raising=False)
    code, out, err = run_main(capsys, main, "C1")
    assert (code, out) == (2, "")
    assert err == ("error: FRAUD_ACCOUNT_KEY is not set: pseudonyms would not be those of the "
                   "service; set its key\n")
