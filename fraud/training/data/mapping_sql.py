"""SQL of a mapping: an expression of DuckDB for each field of a payment.

DuckDB was chosen because it parses times, replaces text and evaluates expressions of users in one
vectorised pass over Arrow batches, without extensions and without a network.
"""

from __future__ import annotations

import duckdb

from fraud.training.data.mapping import UNITS, Field, Fields, Mapping
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.transaction import MISSING_NAMES

ROWS = "source_rows"        # the name of a batch in SQL
TIMES = ("event_time", "label_time")
MONEY = ("amount", "origin_balance", "destination_balance")
NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
           "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL")


def sources(fields: Fields) -> dict[str, Field]:
    """Return the source of each field that a mapping gives."""
    given = {name: getattr(fields, name) for name in fields.__struct_fields__}
    return {name: Field(column=source) if isinstance(source, str) else source
            for name, source in given.items() if source is not None}


def select(mapping: Mapping, connection: duckdb.DuckDBPyConnection) -> str:
    """Return the statement that gives the fields of the rows in `ROWS`.

    Args:
        connection: holds a table `ROWS` with the columns of the file, for the types.

    Raises:
        TrainingError: DuckDB refuses an expression, or a time has no zone.
    """
    given = sources(mapping.fields)
    expressions = {name: _expression(name, field, mapping, connection)
                   for name, field in given.items()}
    if mapping.numbers.negative:
        amount = _source("amount", given["amount"], connection)
        is_negative = f"(starts_with({_plain(amount[0], mapping)}, '-'))"
        if amount[1].startswith(NUMERIC):
            is_negative = f"({amount[0]} < 0)"
            expressions["amount"] = f"abs({amount[0]})"
        else:
            expressions["amount"] = f"ltrim({expressions['amount']}, '-')"
        expressions["type"] = (f"CASE WHEN {is_negative} THEN {_text(mapping.numbers.negative)} "
                               f"ELSE {expressions['type']} END")
    columns = ", ".join(f"{expression} AS {_name(name)}"
                        for name, expression in expressions.items())
    return f"SELECT {columns} FROM {ROWS}"


def _expression(name: str, field: Field, mapping: Mapping,
                connection: duckdb.DuckDBPyConnection) -> str:
    sql, kind = _source(name, field, connection)
    if name in TIMES:
        return _time(name, sql, kind, mapping)
    if name in MONEY:
        return sql if kind.startswith(NUMERIC) else _plain(sql, mapping)
    if name == "is_fraud":
        return _words(sql, {word: label for label, words in (
            ("1", mapping.labels.fraud), ("0", mapping.labels.legitimate)) for word in words})
    if name == "type":
        return _words(sql, mapping.types)
    return f"trim(CAST({sql} AS VARCHAR))"


def _source(name: str, field: Field, connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    """Return the SQL of a field's source, and its type."""
    if field.column is not None:
        sql = _name(field.column)
    elif field.columns:
        sql = f" || {_text(field.separator)} || ".join(map(_present, field.columns))
    elif field.constant is not None:
        sql = _text(str(field.constant))
    else:
        sql = f"({field.expression})"
    try:
        return sql, str(connection.sql(f"SELECT {sql} AS x FROM {ROWS}").types[0])
    except duckdb.Error as error:
        raise TrainingError(f"the mapping's field {name} cannot be evaluated ({reason(error)}); "
                            "fix its column or expression") from error


def _present(column: str) -> str:
    """Return the SQL of a column's text, null where it stands for a missing value."""
    text = f"trim(CAST({_name(column)} AS VARCHAR))"
    words = ", ".join(map(_text, ["", *sorted(MISSING_NAMES)]))
    return f"CASE WHEN lower({text}) IN ({words}) THEN NULL ELSE {text} END"


def _plain(sql: str, mapping: Mapping) -> str:
    """Return the SQL of a number in text, as JSON writes numbers."""
    numbers, sql = mapping.numbers, f"CAST({sql} AS VARCHAR)"
    for sign in numbers.currency:
        sql = f"replace({sql}, {_text(sign)}, '')"
    if numbers.thousands:
        sql = f"replace({sql}, {_text(numbers.thousands)}, '')"
    if numbers.decimal != ".":
        sql = f"replace(replace({sql}, '.', '?'), {_text(numbers.decimal)}, '.')"
    return f"ltrim(trim({sql}), '+')"


def _words(sql: str, words: dict[str, str]) -> str:
    """Return the SQL of text in which words are replaced; others stay."""
    text = f"trim(CAST({sql} AS VARCHAR))"
    if not words:
        return text
    cases = " ".join(f"WHEN {_text(word)} THEN {_text(value)}" for word, value in words.items())
    return f"CASE {text} {cases} ELSE {text} END"


def _time(name: str, sql: str, kind: str, mapping: Mapping) -> str:
    """Return the SQL of ms since the epoch, null where it is not a time."""
    form = mapping.time
    if kind.startswith("TIMESTAMP WITH TIME ZONE"):
        return f"epoch_ms({sql})"
    if kind.startswith(("TIMESTAMP", "DATE")):
        if not form.zone:
            raise TrainingError(f"the times of {name} have no zone; give one as zone under [time] "
                                "of the mapping, such as UTC")
        return f"epoch_ms(timezone({_text(form.zone)}, CAST({sql} AS TIMESTAMP)))"
    if form.pattern:
        moment = f"try_strptime(trim(CAST({sql} AS VARCHAR)), {_text(form.pattern)})"
        return (f"epoch_ms({moment})" if "%z" in form.pattern
                else f"epoch_ms(timezone({_text(form.zone)}, {moment}))")
    if form.unit == "milliseconds" and not form.start:
        if form.zone and not kind.startswith(NUMERIC):
            return f"epoch_ms(timezone({_text(form.zone)}, TRY_CAST(trim({sql}) AS TIMESTAMP)))"
        return sql
    units = f"TRY_CAST({sql} AS DOUBLE) * {UNITS[form.unit]!r}"
    return f"CAST({form.start_ms} + round({units}) AS BIGINT)"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
