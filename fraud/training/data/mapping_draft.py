"""A draft of a mapping, guessed from the names and first values of a file's columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from fraud.training.data import check
from fraud.training.data.readers import Source
from fraud.transaction import EVENT_TIME_LIMIT, EVENT_TIME_START, TYPES

# Words of column names for each field, the surest first. A field takes the first free column of
# which the name, without case and signs, is one of them, or else holds one.
WORDS = {
    "transaction_id": ("transactionid", "txid", "transnum", "trxid", "transid", "paymentid", "id"),
    "event_time": ("eventtime", "transdatetranstime", "txdatetime", "datetime", "timestamp",
                   "unixtime", "time", "date", "step"),
    "amount": ("amount", "txamount", "amt", "baseamt", "value", "sum"),
    "origin": ("origin", "nameorig", "origid", "origacct", "ccnum", "customerid", "customer",
               "sender", "account", "card", "user"),
    "destination": ("destination", "namedest", "beneid", "beneacct", "merchantname", "merchant",
                    "terminalid", "terminal", "receiver", "recipient", "beneficiary"),
    "is_fraud": ("isfraud", "txfraud", "fraud", "issar", "class", "label", "target"),
    "type": ("type", "txtype", "transactiontype", "action", "usechip", "category"),
    "origin_balance": ("originbalance", "oldbalanceorg", "oldbalanceorig"),
    "destination_balance": ("destinationbalance", "oldbalancedest"),
    "label_time": ("labeltime", "reportedat", "chargebackdate"),
    "incident_id": ("incidentid", "caseid"),
    "fraud_type": ("fraudtype", "fraudscenario"),
}
SHORT = 3                   # letters up to which a word must be the whole name
PATTERNS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f",
            "%Y-%m-%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S",
            "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y%m%d",
            "%Y%m%d%H%M%S", "%Y/%m/%d %H:%M:%S")
PARTS = ("year", "month", "day", "time")
PARTS_PATTERN = "%Y %m %d %H:%M"
FRAUD_WORDS, LEGITIMATE_WORDS = ("fraud", "y", "t"), ("legit", "legitimate", "normal", "n", "f")
PLAIN_LABELS = ("0", "1", "0.0", "1.0", "true", "false", "yes", "no")
MANY_TYPES = 20


class _Guess(NamedTuple):
    """The fields that were found, as TOML, and remarks."""

    column: dict[str, str]          # by field
    numbered: bool                  # customers and merchants are numbers, which may be the same
    event_time: str                 # TOML
    time: list[str]                 # lines of [time]


def draft(source: Source) -> str:
    """Return a mapping of a file, with comments where a person has to decide."""
    batch = next(iter(source.batches(list(source.columns), [])), None)
    values = {name: ([str(value) for value in check.examples(batch, name)]
                     if batch is not None else []) for name in source.columns}
    column = _columns(list(source.columns))
    guess = _Guess(column, _is_numbered(column, values), *_time(column, values, source.columns))
    types = _types(column, values, batch)
    lines = [f"# A draft for {source.name}: check each line, and then run",
             "#     python -m fraud.training.data check FILE --columns THIS",
             "# docs/your-data.md explains the keys.", "", "[fields]"]
    for field in WORDS:
        lines += _field(field, guess, types)
    lines += ["", "[time]", *guess.time, *_numbers(column, values), *_labels(column, values)]
    if types and types != TYPES:
        lines += ["", "[types]           # the type of each word in the file",
                  *(f"{_text(word)} = {_text(_type_name(word))}" for word in types)]
    unused = [name for name in source.columns if name not in column.values()
              and _text(name) not in guess.event_time]
    lines += ["", "[columns]", f"ignore = [{', '.join(map(_text, unused))}]"]
    return "\n".join(lines) + "\n"


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Return the column that each field seems to have."""
    free = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    found: dict[str, str] = {}
    for whole in (True, False):
        for field, words in WORDS.items():
            for word in words if field not in found else ():
                key = next((key for key in free if key == word or not whole
                            and len(word) > SHORT and word in key), None)
                if key is not None:
                    found[field] = free.pop(key)
                    break
    return found


def _field(field: str, guess: _Guess, types: Sequence[str]) -> list[str]:
    if field == "event_time":
        return [f"event_time = {guess.event_time}"]
    if guess.numbered and field in ("origin", "destination"):
        name = guess.column[field].replace('"', '""')
        source = f"'{field[0].upper()}' || \"{name}\""
        return [f"{field} = {{ expression = {_text(source)} }}   # customer 1 is not merchant 1"]
    if field in guess.column:
        return [f"{field} = {_text(guess.column[field])}"]
    match field:
        case "type":
            return ['type = { constant = "PAYMENT" }       # the file does not say']
        case "transaction_id":
            return ["# no transaction_id: rows get numbers"]
        case "amount" | "origin" | "is_fraud":
            return [f"{field} = \"?\"                      # name its column"]
        case "destination" | "origin_balance" | "destination_balance":
            return [f"# {field}: not known"]
    return []


def _is_numbered(column: Mapping[str, str], values: Mapping[str, list[str]]) -> bool:
    sides = [column.get(side, "") for side in ("origin", "destination")]
    is_merchant = any(word in sides[1].lower() for word in ("merchant", "terminal"))
    given = [value for side in sides for value in values.get(side, [])]
    return is_merchant and all(value.isdecimal() for value in given)


def _time(column: Mapping[str, str], values: Mapping[str, list[str]],
          kinds: Mapping[str, pa.DataType]) -> tuple[str, list[str]]:
    """Return the source of event_time, and the lines of [time]."""
    by_key = {name.lower(): name for name in values}
    if all(part in by_key for part in PARTS):
        parts = ", ".join(_text(by_key[part]) for part in PARTS)
        return f"{{ columns = [{parts}] }}", [f"pattern = {_text(PARTS_PATTERN)}",
                                              'zone = "UTC"       # of the file']
    name = column.get("event_time")
    if name is None:
        return '"?"                # name its column', ['unit = "milliseconds"']
    kind, given = kinds[name], values[name]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _text(name), ["# timestamps with a zone"] if getattr(kind, "tz", None) else [
            'zone = "UTC"       # of the file']
    if given and all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) for value in given):
        return _text(name), _unit([float(value) for value in given])
    pattern = next((pattern for pattern in PATTERNS
                    if given and all(_fits(value, pattern) for value in given)), None)
    if pattern is None:
        return _text(name), ['# pattern = "?"     as strptime has it; ISO text with an offset '
                             'needs none']
    return _text(name), [f"pattern = {_text(pattern)}", 'zone = "UTC"       # of the file']


def _unit(numbers: list[float]) -> list[str]:
    for unit, factor in (("milliseconds", 1), ("seconds", 1e3), ("microseconds", 1e-3),
                         ("nanoseconds", 1e-6)):
        if all(EVENT_TIME_START <= number * factor < EVENT_TIME_LIMIT for number in numbers):
            return [f'unit = "{unit}"']
    if all(_fits(str(int(number)), "%Y%m%d") for number in numbers):
        return ['pattern = "%Y%m%d"', 'zone = "UTC"       # of the file']
    return ['unit = "hours"     # of a step; or days, minutes, seconds',
            'start = "2024-01-01"      # when step 0 begins']


def _fits(value: str, pattern: str) -> bool:
    try:
        return 2000 <= datetime.strptime(value, pattern).year < 2100
    except ValueError:
        return False


def _types(column: Mapping[str, str], values: Mapping[str, list[str]],
           batch: pa.RecordBatch | None) -> Sequence[str]:
    """Return the words for types in the first batch; none if there is no such column."""
    if "type" not in column or batch is None:
        return ()
    words = sorted(set(check.words(batch.column(column["type"]))))
    if set(words) <= set(TYPES):
        return TYPES
    if len(words) > MANY_TYPES:
        return words[:MANY_TYPES]
    return words


def _type_name(word: str) -> str:
    name = re.sub(r"[^A-Z0-9]+", "_", word.upper()).strip("_")
    return name if name[:1].isalpha() else f"TYPE_{name}"


def _numbers(column: Mapping[str, str], values: Mapping[str, list[str]]) -> list[str]:
    given = values.get(column.get("amount", ""), [])
    lines = []
    sign = next((match.group() for value in given
                 if (match := re.search(r"[$€£]|[A-Z]{3}", value))), None)
    if sign:
        lines.append(f"currency = [{_text(sign)}]")
    if any(re.search(r",[0-9]{1,2}$", value) for value in given):
        lines.append('decimal = ","')
        if any("." in value for value in given):
            lines.append('thousands = "."')
    elif any(re.search(r"[0-9],[0-9]{3}", value) for value in given):
        lines.append('thousands = ","')
    if any("-" in value for value in given):
        lines.append('negative = "REFUND"       # the type of payments of a negative amount')
    return ["", "[numbers]", *lines] if lines else []


def _labels(column: Mapping[str, str], values: Mapping[str, list[str]]) -> list[str]:
    given = values.get(column.get("is_fraud", ""), [])
    lines = [] if "label_time" in column else [
        "delay_hours = 168        # from a payment to its label, as nothing says when it was known"]
    words = [value for value in given if value.lower() not in PLAIN_LABELS]
    if words:
        frauds = [word for word in words if word.lower() in FRAUD_WORDS]
        others = [word for word in words if word.lower() in LEGITIMATE_WORDS]
        lines += [f"fraud = [{', '.join(map(_text, frauds))}]",
                  f"legitimate = [{', '.join(map(_text, others))}]"]
    return ["", "[labels]", *lines] if lines else []


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
