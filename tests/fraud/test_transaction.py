import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.transaction import (
    AMOUNT_LIMIT, BALANCE_LIMIT, EVENT_TIME_LIMIT, EVENT_TIME_START, InvalidTransaction,
    Transaction, parse, shown, time_problem, whole_cents)

# Every field of a good payment, as the JSON text of its value.
GOOD = {
    "transaction_id": '"t-1"',
    "event_time": "1767225600000",
    "type": '"TRANSFER"',
    "amount": "181.05",
    "origin": '"C1"',
    "destination": '"C2"',
    "origin_balance": "181.05",
    "destination_balance": "0",
}
NAME_FIELDS = ("transaction_id", "origin", "destination")
BALANCE_FIELDS = ("origin_balance", "destination_balance")
MONEY_FIELDS = ("amount",) + BALANCE_FIELDS
OPTIONAL_FIELDS = ("destination",) + BALANCE_FIELDS
NUMBER_FIELDS = ("event_time",) + MONEY_FIELDS
MAX_AMOUNT_CENTS = 10**14
MAX_BALANCE_CENTS = 10**15

DEEP = 100_000      # far beyond Python's recursion limit
DEEP_ARRAY = pytest.param("[" * DEEP + "]" * DEEP, id="deep array")
OPEN_ARRAY = pytest.param("[" * DEEP, id="open array")
OPEN_OBJECT = pytest.param('{"a": ' * DEEP, id="open object")
LONG_NUMBER = pytest.param("9" * 5000, id="long number")


def body(**changes: str) -> str:
    """A good payment with the JSON text of some fields changed, or of new fields added."""
    return joined({**GOOD, **changes})


def joined(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"


def refusal(raw: bytes | str) -> str:
    """The error of a body that is refused."""
    with pytest.raises(InvalidTransaction) as caught:
        parse(raw)
    return str(caught.value)


def decimal(whole: int) -> str:
    """Cents as people write money: 1234 is 12.34."""
    sign, (units, rest) = "-" if whole < 0 else "", divmod(abs(whole), 100)
    return f"{sign}{units}.{rest:02d}"


amounts = st.integers(0, MAX_AMOUNT_CENTS)
balances = st.integers(-MAX_BALANCE_CENTS, MAX_BALANCE_CENTS)


# What is accepted.

def test_a_good_payment_becomes_a_transaction_in_cents():
    assert parse(body()) == Transaction(
        transaction_id="t-1",
        event_time=1767225600000,
        type="TRANSFER",
        amount_cents=18105,
        origin="C1",
        destination="C2",
        origin_balance_cents=18105,
        destination_balance_cents=0,
    )


def test_a_payment_reads_the_same_from_bytes_as_from_text():
    raw = body(origin='"Zoë"')
    assert parse(raw.encode()) == parse(raw)
    assert parse(raw).origin == "Zoë"


def test_the_order_of_fields_does_not_matter():
    assert parse(joined(dict(reversed(GOOD.items())))) == parse(body())


def test_a_payment_cannot_be_changed():
    with pytest.raises(AttributeError):
        parse(body()).amount_cents = 1


@pytest.mark.parametrize("name", ["CASH_IN", "REFUND", "card payment"])
def test_a_type_is_any_name_as_the_model_knows_the_types(name):
    assert parse(body(type=f'"{name}"')).type == name


@pytest.mark.parametrize("field", ["destination", *BALANCE_FIELDS])
def test_what_is_not_known_may_be_null_or_absent(field):
    name = field if field == "destination" else f"{field}_cents"
    assert getattr(parse(body(**{field: "null"})), name) is None
    absent = joined({other: text for other, text in GOOD.items() if other != field})
    assert getattr(parse(absent), name) is None


@pytest.mark.parametrize("field", NAME_FIELDS)
def test_blanks_around_a_name_are_removed(field):
    assert getattr(parse(body(**{field: '" A b\\t"'})), field) == "A b"


@pytest.mark.parametrize(("text", "whole"), [
    ("0", 0), ("-0.0", 0), ("0.01", 1), ("0.1", 10), ("1.10", 110), ("5", 500), ("1.5e2", 15000),
    ("999999999999.99", MAX_AMOUNT_CENTS - 1), ("1e12", MAX_AMOUNT_CENTS),
    ("1000000000000", MAX_AMOUNT_CENTS)])
def test_an_amount_is_valid_up_to_its_limits(text, whole):
    assert parse(body(amount=text)).amount_cents == whole


@pytest.mark.parametrize("field", BALANCE_FIELDS)
@pytest.mark.parametrize(("text", "whole"), [
    ("1e13", MAX_BALANCE_CENTS), ("-1e13", -MAX_BALANCE_CENTS),
    ("9999999999999.99", MAX_BALANCE_CENTS - 1), ("-9999999999999.99", 1 - MAX_BALANCE_CENTS)])
def test_a_balance_is_valid_up_to_its_limits(field, text, whole):
    assert getattr(parse(body(**{field: text})), f"{field}_cents") == whole


@pytest.mark.parametrize("field", BALANCE_FIELDS)
@pytest.mark.parametrize(("text", "whole"), [("-0.01", -1), ("-250.75", -25075)])
def test_an_overdraft_is_valid(field, text, whole):
    assert getattr(parse(body(**{field: text})), f"{field}_cents") == whole


@pytest.mark.parametrize("time", [946_684_800_000, 4_102_444_799_999])     # from 2000 to 2099
def test_an_event_time_is_valid_up_to_its_limits(time):
    assert parse(body(event_time=str(time))).event_time == time


@pytest.mark.parametrize("field", NAME_FIELDS)
@pytest.mark.parametrize("name", ["x", "x" * 64, "é" * 64, "\N{PILE OF POO}" * 64])
def test_a_name_is_valid_from_one_to_64_characters_however_many_bytes(field, name):
    assert getattr(parse(body(**{field: f'"{name}"'})), field) == name


# What is refused, and why.

@pytest.mark.parametrize("field", [name for name in GOOD if name not in OPTIONAL_FIELDS])
def test_a_missing_field_is_named_with_what_to_give(field):
    message = refusal(joined({name: text for name, text in GOOD.items() if name != field}))
    assert message.startswith(f"{field} is missing; give a")


@pytest.mark.parametrize("field", ["colour", "is_fraud", "newbalanceOrig", "Amount"])
def test_an_unknown_field_is_named_with_the_known_ones(field):
    assert refusal(body(**{field: "1"})) == (
        f"{field!r} is not a field of a payment; the fields are {', '.join(GOOD)}")


@pytest.mark.parametrize("field", GOOD)
@pytest.mark.parametrize("text", ["true", "[]", "{}", "[[[]]]"])
def test_a_field_that_is_neither_text_nor_number_is_named_with_its_value(field, text):
    assert refusal(body(**{field: text})).startswith(f"{field} is {text}; give a")


@pytest.mark.parametrize("field", GOOD)
@pytest.mark.parametrize("text", [DEEP_ARRAY, OPEN_ARRAY, OPEN_OBJECT])
def test_a_field_that_nests_too_deeply_is_named(field, text):
    assert f"`$.{field}`" in refusal(body(**{field: text}))


@pytest.mark.parametrize("field", [name for name in GOOD if name not in OPTIONAL_FIELDS])
def test_a_required_field_may_not_be_null(field):
    assert refusal(body(**{field: "null"})).startswith(f"{field} is null; give a")


@pytest.mark.parametrize("field", NUMBER_FIELDS)
@pytest.mark.parametrize("text", ["true", "false", '"5"', '""'])
def test_a_bool_or_a_string_for_a_number_is_named(field, text):
    assert refusal(body(**{field: text})).startswith(f"{field} is {text}; give a")


@pytest.mark.parametrize("field", NAME_FIELDS + ("type",))
def test_a_number_for_a_text_is_named(field):
    assert refusal(body(**{field: "1"})).startswith(f"{field} is 1; give a")


def test_a_long_value_is_cut_in_the_message():
    assert refusal(body(origin=f'"{"x" * 1_000}"')).startswith(
        f'origin is "{"x" * 99}... (1002 characters); give a string of 1 to 64 characters')


@pytest.mark.parametrize("field", NAME_FIELDS)
@pytest.mark.parametrize("name", ["nan", "NULL", "#N/A", " ", "None", "-"])
def test_a_word_for_a_missing_value_is_not_a_name(field, name):
    assert refusal(body(**{field: f'"{name}"'})).startswith(
        f"{field} is {name!r}, which stands for a missing value")


@pytest.mark.parametrize("field", NAME_FIELDS)
@pytest.mark.parametrize("name", ["2.29E+15", "1E+20", "4,5e+9"])
def test_a_number_that_a_spreadsheet_rounded_is_not_a_name(field, name):
    assert "a spreadsheet has rounded" in refusal(body(**{field: f'"{name}"'}))


@pytest.mark.parametrize("text", ["-0.01", "-1", "-1e308", "1000000000000.01", "1e13", "1e308"])
def test_an_amount_out_of_its_limits_is_refused_with_them(text):
    message = refusal(body(amount=text))
    assert message.startswith("amount is ")
    assert message.endswith(f"give a number from 0 to {AMOUNT_LIMIT:,.0f}, in currency units")


@pytest.mark.parametrize("field", BALANCE_FIELDS)
@pytest.mark.parametrize("digits", ["10000000000000.01", "10000000000001", "1e308"])
def test_a_balance_beyond_its_limits_either_way_is_refused(field, digits):
    for text in (digits, f"-{digits}"):
        assert f"give a number from -{BALANCE_LIMIT:,.0f} to {BALANCE_LIMIT:,.0f}" in refusal(
            body(**{field: text}))


@pytest.mark.parametrize("field", MONEY_FIELDS)
@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e99999999999999999999", LONG_NUMBER])
def test_a_number_that_no_float_holds_is_named(field, text):
    assert field in refusal(body(**{field: text}))


@pytest.mark.parametrize("field", NUMBER_FIELDS)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_not_json_and_their_position_is_named(field, text):
    """They break the JSON itself, so the parser knows their position but not yet their field."""
    raw = body(**{field: text})
    byte = int(re.search(r"JSON is malformed.*\(byte (\d+)\)", refusal(raw)).group(1))
    start = raw.index(text)
    assert start <= byte < start + len(text)


@pytest.mark.parametrize("field", MONEY_FIELDS)
@pytest.mark.parametrize("text", ["0.001", "181.055", "1e-3", "0.3000001", "99999999999.995"])
def test_more_than_two_decimals_are_refused_with_field_value_and_fix(field, text):
    message = refusal(body(**{field: text}))
    assert message.startswith(f"{field} is {float(text)!r}")
    assert "round it to whole cents" in message


@pytest.mark.parametrize("field", MONEY_FIELDS)
@pytest.mark.parametrize(("text", "whole"), [
    ("61.699999999999996", 6170), ("0.30000000000000004", 30), ("1234567.8900000001", 123456789),
    ("99999999999.98999", 9999999999999)])
def test_the_noise_of_float_arithmetic_is_rounded_away(field, text, whole):
    name = f"{field}_cents"
    assert getattr(parse(body(**{field: text})), name) == whole


@pytest.mark.parametrize("field", BALANCE_FIELDS)
@pytest.mark.parametrize("text", ["-0.001", "-181.055"])
def test_more_than_two_decimals_of_a_balance_are_refused_over_its_whole_range(field, text):
    assert refusal(body(**{field: text})).startswith(f"{field} is {text}")


@pytest.mark.parametrize("text", ["1.5", "1.0", "1e3"])
def test_an_event_time_that_is_not_an_integer_is_refused(text):
    assert re.search(r"event_time is [0-9.]+; give an integer", refusal(body(event_time=text)))


@pytest.mark.parametrize("text", [
    "-1", "0", "946684799999", "4102444800000", str(2**63), str(-2**63 - 1),
    pytest.param("1" * 5000, id="more digits than Python reads")])
def test_an_event_time_out_of_its_limits_is_refused(text):
    assert "event_time" in refusal(body(event_time=text))


@pytest.mark.parametrize(("time", "unit"), [
    (1704067200, "seconds"), (1704067200000000, "microseconds"),
    (1704067200000000000, "nanoseconds"), (20240131, "a date written as yyyymmdd"),
    (20240131120000, "a date written as yyyymmddHHMMSS"),
    (45322, "a date of a spreadsheet, in days")])
def test_the_unit_that_an_impossible_event_time_looks_like_is_named(time, unit):
    assert f"it looks like {unit}: convert it" in refusal(body(event_time=str(time)))
    assert unit in time_problem(time)


@pytest.mark.parametrize("time", [0, 7, 20240231, 10**15 * 9])
def test_a_time_that_looks_like_nothing_gets_no_unit(time):
    assert time_problem(time).endswith("give milliseconds")


@pytest.mark.parametrize("field", NAME_FIELDS)
@pytest.mark.parametrize("name", [
    "", "x" * 65, "é" * 65, pytest.param("x" * 100_000, id="long name")])
def test_a_name_that_is_empty_or_too_long_is_refused(field, name):
    message = refusal(body(**{field: f'"{name}"'}))
    assert message.startswith(f'{field} is "')
    assert "give a string of 1 to 64 characters" in message


@pytest.mark.parametrize("raw", [
    "", " ", "{", "payment", "{'amount': 1}", body() + "x", body() + body(), body()[:-1],
    body(amount="01"), body(amount="+1"), body(amount=".5"), body(amount="1."),
    body(origin='"\n"'), body(origin=r'"\ud800"')])
def test_a_body_that_is_not_json_is_refused(raw):
    assert re.search("malformed|truncated", refusal(raw))
    assert re.search("malformed|truncated", refusal(raw.encode()))


@pytest.mark.parametrize("raw", [
    "null", "1", '"t-1"', "[]", pytest.param(f"[{body()}]", id="array of payments"), DEEP_ARRAY,
    OPEN_ARRAY])
def test_json_that_is_not_an_object_is_refused(raw):
    assert "Expected `object`" in refusal(raw)


@pytest.mark.parametrize("text", [DEEP_ARRAY, OPEN_ARRAY, OPEN_OBJECT])
def test_deep_nesting_in_an_unknown_field_is_refused(text):
    assert "nested" in refusal(joined({"nested": text, **GOOD}))


def test_bytes_that_are_not_utf_8_are_refused():
    assert "0xff" in refusal(body(origin='"C?"').encode().replace(b"?", b"\xff"))
    assert "malformed" in refusal(body().encode("utf-16"))
    assert "malformed" in refusal(body().encode("utf-8-sig"))


def test_text_that_utf_8_cannot_hold_is_refused():
    assert "surrogates" in refusal(body(origin='"\ud800"'))


@given(st.binary() | st.text(st.characters()))
def test_arbitrary_bytes_are_not_a_payment(raw):
    refusal(raw)


@given(st.integers(0, len(body())), st.integers(0, 20),
       st.text(st.characters() | st.sampled_from('{}[]",:.-+eE0123456789'), max_size=20))
def test_a_damaged_payment_is_refused_or_within_limits(start, removed, inserted):
    raw = body()[:start] + inserted + body()[start + removed:]
    try:
        payment = parse(raw)
    except InvalidTransaction:
        return
    names = [getattr(payment, field) for field in NAME_FIELDS]
    assert all(1 <= len(name) <= 64 for name in names if name is not None)
    assert EVENT_TIME_START <= payment.event_time < EVENT_TIME_LIMIT
    assert 0 <= payment.amount_cents <= MAX_AMOUNT_CENTS
    assert abs(payment.origin_balance_cents or 0) <= MAX_BALANCE_CENTS
    assert abs(payment.destination_balance_cents or 0) <= MAX_BALANCE_CENTS


# Cents are exact.

@given(amounts, balances, balances)
def test_every_number_of_cents_survives_as_a_float(amount, origin, destination):
    payment = parse(body(amount=repr(amount / 100), origin_balance=repr(origin / 100),
                         destination_balance=repr(destination / 100)))
    assert payment.amount_cents == amount
    assert payment.origin_balance_cents == origin
    assert payment.destination_balance_cents == destination


@given(amounts, balances, balances)
def test_every_number_of_cents_survives_as_a_decimal(amount, origin, destination):
    payment = parse(body(amount=decimal(amount), origin_balance=decimal(origin),
                         destination_balance=decimal(destination)))
    assert payment.amount_cents == amount
    assert payment.origin_balance_cents == origin
    assert payment.destination_balance_cents == destination


def test_every_number_of_cents_near_a_power_of_two_or_a_limit_survives_in_an_array():
    centres = np.array([0, MAX_AMOUNT_CENTS, MAX_BALANCE_CENTS] + [2**power for power in range(50)])
    near = (centres[:, None] + np.arange(-1000, 1001)).ravel()
    near = near[near <= MAX_BALANCE_CENTS]
    expected = np.concatenate([near, -near])
    whole, valid, rounded = whole_cents(expected / 100)
    assert valid.all() and not rounded.any()
    np.testing.assert_array_equal(whole, expected)


def units_between(low: int, high: int):
    """Currency units between two numbers of cents, with and without more than two decimals."""
    whole = st.integers(low + 1, high - 1)
    return st.one_of(
        st.floats(low / 100, high / 100),
        st.floats(max(low, -10), 10),
        st.integers(low, high).map(lambda cents: cents / 100),
        whole.map(lambda cents: cents / 1000),
        whole.map(lambda cents: float(np.nextafter(cents / 100, np.inf))),
    )


def parsed(field: str, value: float) -> int | None:
    try:
        return getattr(parse(body(**{field: repr(value)})), f"{field}_cents")
    except InvalidTransaction:
        return None


def assert_cents_are_those_that_parse_reads(field, money):
    whole, valid, _ = whole_cents(np.array(money))
    assert [int(value) if good else None for value, good in zip(whole, valid, strict=True)] == [
        parsed(field, value) for value in money]


@given(st.lists(units_between(-MAX_BALANCE_CENTS, MAX_BALANCE_CENTS), min_size=1, max_size=10))
def test_cents_of_an_array_of_balances_are_those_that_parse_reads(money):
    assert_cents_are_those_that_parse_reads("origin_balance", money)
    assert_cents_are_those_that_parse_reads("destination_balance", money)


@given(st.lists(units_between(0, MAX_AMOUNT_CENTS), min_size=1, max_size=10))
def test_cents_of_an_array_of_amounts_are_those_that_parse_reads(money):
    assert_cents_are_those_that_parse_reads("amount", money)


def test_cents_of_an_array_tell_which_values_have_more_than_two_decimals():
    whole, valid, rounded = whole_cents(np.array([[1.1, 0.001], [-0.01, 2.675]]))
    np.testing.assert_array_equal(valid, [[True, False], [True, False]])
    np.testing.assert_array_equal(whole[valid], [110, -1])
    assert whole.dtype == np.int64
    assert valid.dtype == rounded.dtype == np.bool_
    assert not rounded.any()


def test_cents_of_an_array_tell_which_values_were_rounded():
    whole, valid, rounded = whole_cents(np.array([61.699999999999996, 61.7, -0.30000000000000004]))
    assert whole.tolist() == [6170, 6170, -30]
    assert valid.all()
    assert rounded.tolist() == [True, False, True]


def test_cents_of_no_values_are_none():
    assert [part.shape for part in whole_cents(np.array([]))] == [(0,)] * 3


def test_a_name_that_is_missing_is_refused_with_the_fix():
    assert refusal(body(origin='"NaN"')) == (
        "origin is 'NaN', which stands for a missing value; give its name")
    assert refusal(body(destination='" "')) == (
        "destination is ' ', which stands for a missing value; give its name or null")
    assert refusal(body(origin='"1E+20"')) == (
        "origin is '1E+20', a number that a spreadsheet has rounded: different ones become the "
        "same; give all of its digits")


def test_text_that_is_not_json_is_refused_with_the_fix():
    assert refusal("{").endswith("; send one JSON object, in which NaN is not a number: leave out "
                                 "a balance that is not known")


@pytest.mark.parametrize(("length", "text"), [
    (98, '"' + 98 * "x" + '"'), (99, '"' + 99 * "x" + "... (101 characters)")])
def test_a_value_of_more_than_100_characters_is_cut(length, text):
    assert shown("x" * length) == text


@pytest.mark.parametrize(("value", "unit"), [
    (EVENT_TIME_START // 1_000 - 1, None), (EVENT_TIME_START // 1_000, "seconds"),
    (EVENT_TIME_LIMIT // 1_000 - 1, "seconds"), (EVENT_TIME_LIMIT // 1_000, None),
    (EVENT_TIME_START - 1, None), (EVENT_TIME_LIMIT, None),
    (EVENT_TIME_START * 1_000 - 1, None), (EVENT_TIME_START * 1_000, "microseconds"),
    (EVENT_TIME_LIMIT * 1_000 - 1, "microseconds"), (EVENT_TIME_LIMIT * 1_000, None),
    (EVENT_TIME_START * 10**6 - 1, None), (EVENT_TIME_START * 10**6, "nanoseconds"),
    (EVENT_TIME_LIMIT * 10**6 - 1, "nanoseconds"), (EVENT_TIME_LIMIT * 10**6, None),
    (18991231, None), (19000101, "a date written as yyyymmdd"),
    (20991231, "a date written as yyyymmdd"), (21000101, None), (20241301, None),
    (20240101000000, "a date written as yyyymmddHHMMSS"), (20241301000000, None),
    (36_525, None), (36_526, "a date of a spreadsheet, in days"),
    (73_050, "a date of a spreadsheet, in days"), (73_051, None)])
def test_a_time_that_is_none_is_named_with_the_unit_that_it_looks_like(value, unit):
    assert time_problem(value) == (
        f"{'before the year 2000' if value < EVENT_TIME_START else 'after the year 2099'} "
        "as milliseconds since 1970-01-01, UTC; "
        + (f"it looks like {unit}: convert it" if unit else "give milliseconds"))
