import msgspec
import pytest
from hypothesis import given, strategies as st

from fraud.labels import InvalidLabel, Label, parse, parse_value
from tests.factories import NOON

PSEUDONYM = "0123456789abcdef" * 2


def body(**changes) -> bytes:
    return msgspec.json.encode({"transaction_id": "t-1", "is_fraud": 1, "label_time": NOON,
                                **changes})


def test_a_label_has_its_fields_without_blanks_around_names():
    assert parse(body()) == Label("t-1", 1, NOON)
    assert parse(body(transaction_id=" t-1 ", origin=" C1", destination="C2 ")) == Label(
        "t-1", 1, NOON, origin="C1", destination="C2")
    assert parse(body(is_fraud=0, source="chargeback", incident_id="i", fraud_type="mule",
                      origin_pseudonym=PSEUDONYM)) == Label(
        "t-1", 0, NOON, "i", "mule", "chargeback", origin_pseudonym=PSEUDONYM)


labels = st.builds(
    Label, st.text("abc", min_size=1, max_size=64), st.sampled_from([0, 1]),
    st.integers(NOON, NOON + 10 ** 9), *[st.none() | st.text(max_size=256)] * 3,
    st.just("C1"), st.none() | st.just("C2"))


@given(labels)
def test_an_encoded_label_parses_to_itself(label):
    assert parse(msgspec.json.encode(label)) == label


@pytest.mark.parametrize(("changes", "problem"), [
    ({"is_fraud": 2}, "is_fraud is 2; give 1 for fraud or 0 for a legitimate payment"),
    ({"is_fraud": True}, "is_fraud is true; give 1"),
    ({"is_fraud": "1"}, 'is_fraud is "1"; give 1'),
    ({"transaction_id": ""}, 'transaction_id is ""; give the id of the payment'),
    ({"transaction_id": "NaN"}, "transaction_id is 'NaN', which stands for a missing value"),
    ({"label_time": 1.5}, "label_time is 1.5; give an integer: milliseconds"),
    ({"label_time": -1}, "label_time is -1: before the year 2000"),
    ({"label_time": NOON // 1000}, "it looks like seconds: convert it"),
    ({"source": "s" * 257}, "source is \"sss.*give a string of at most 256 characters, or null"),
    ({"origin": ""}, 'origin is ""; give a string of 1 to 64 characters, or null'),
    ({"origin": "1.2E+11"}, "origin is '1.2E\\+11', a number that a spreadsheet has rounded"),
    ({"orign": "C1"}, "'orign' is not a field of a label; the fields are transaction_id, is_fraud"),
    ({"origin_pseudonym": "C1"}, 'origin_pseudonym is "C1"; give the 32 hexadecimal digits'),
    ({"destination": "C2"}, "the destination is given, 'C2', without the origin; give both"),
    ({"destination_pseudonym": PSEUDONYM}, f"is given, '{PSEUDONYM}', without the origin"),
    ({"origin": "C1", "origin_pseudonym": PSEUDONYM}, "as a name, 'C1', and as a pseudonym"),
    ({"origin": "C1", "destination_pseudonym": PSEUDONYM}, "give both as names or both as")])
def test_an_invalid_field_is_named_with_its_value_and_the_fix(changes, problem):
    with pytest.raises(InvalidLabel, match=problem):
        parse(body(**changes))


@pytest.mark.parametrize(("text", "problem"), [
    (b'{"transaction_id": "a", "is_fraud": 1}', "label_time is missing; give an integer"),
    (b"fraud!", "Not a label: JSON is malformed"), (b"\xff", "Not a label"),
    (b"[]", "Not a label: Expected `object`, got `array`; send one JSON object"),
    (b'{"is_fraud": 2, "b": ' + b"[" * 2000, "Not a label"),
    (None, "^it has no value; replace a label by a later one$")])
def test_a_message_that_is_not_a_label_is_refused(text, problem):
    with pytest.raises(InvalidLabel, match=problem):
        parse_value(text)


def test_a_label_may_not_be_later_than_a_moment():
    assert parse(body(), NOON).label_time == NOON
    assert parse_value(body(), NOON).label_time == NOON
    for parser in (parse, parse_value):
        with pytest.raises(InvalidLabel) as caught:
            parser(body(), NOON - 2_000_000)
        assert str(caught.value) == (
            f"label_time is {NOON}, 2000 s later than the clock here allows; give the time when "
            "the label became known")
