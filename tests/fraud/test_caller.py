import pytest
from hypothesis import given, strategies

from fraud.caller import valid_request_id, valid_traceparent

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("text", ["a", "6f1c-4d.2_a", "A" * 64])
def test_a_request_id_is_taken_over(text):
    assert valid_request_id(text) == text


@pytest.mark.parametrize("text", ["", "two words", 'a"b', "a\n", "A" * 65, "é"])
def test_a_text_that_may_not_stand_in_logs_is_not(text):
    assert valid_request_id(text) == ""


@pytest.mark.parametrize("text", [TRACEPARENT, TRACEPARENT.replace("00-", "01-", 1)])
def test_a_traceparent_is_taken_over(text):
    assert valid_traceparent(text) == text


@pytest.mark.parametrize("text", [
    "", TRACEPARENT.upper(), TRACEPARENT + "-1", TRACEPARENT.replace("00-", "ff-", 1),
    f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"])
def test_another_text_is_not_a_traceparent(text):
    assert valid_traceparent(text) == ""


@given(strategies.text())
def test_a_valid_id_is_ascii_without_spaces_or_quotes(text):
    for valid in (valid_request_id(text), valid_traceparent(text)):
        assert valid in ("", text)
        assert valid.isascii() and not set(valid) & set(" \"'\\\n\r\t{}")
