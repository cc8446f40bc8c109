"""The fields of a payment in a file with a mapping, evaluated batch by batch in DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping as Dict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud.training.data import mapping_sql, parsing
from fraud.training.data.column_forms import CURRENCY
from fraud.training.data.mapping import MappingFile
from fraud.training.data.readers import open_source
from fraud.training.errors import TrainingError
from fraud.training.files import fetched, reason


class MappedColumns:
    """The fields of a payment in a file with a mapping.

    Attributes:
        by_field: keys are the fields that the mapping gives.
        names: of the columns to read.
        ignored: columns that the mapping does not name.
        time_base: see `FileColumns.time_base`.

    Raises:
        TrainingError: the mapping names a column that the file does not have, or DuckDB refuses an
            expression.
    """

    form = "mapped"

    def __init__(self, file: str, columns: Dict[str, pa.DataType], given: MappingFile):
        mapping = given.mapping
        self.by_field = mapping_sql.sources(mapping.fields)
        used, expressions = self._used()
        _check_columns(file, given.path, list(columns), [*used, *mapping.columns.ignore])
        unnamed = [name for name in columns if name not in (*used, *mapping.columns.ignore)]
        self.ignored = [name for name in unnamed
                        if not any(re.search(rf"\b{re.escape(name)}\b", expression, re.IGNORECASE)
                                   for expression in expressions)]
        self.names = (list(columns) if expressions else
                      [*used, *(name for name in self.ignored if CURRENCY.search(name))])
        # Steps that start at a date of the mapping have no calendar of their own.
        self.time_base = "step" if mapping.time.start else "event_time"
        self._labels = _labels(given) if mapping.labels.file else None
        self._mapping = mapping
        self._connection = duckdb.connect(
            config={"enable_external_access": "false", "threads": "1"})
        empty = {name: pa.array([], pa.string() if parsing.is_text(kind) else kind)
                 for name, kind in columns.items() if name in self.names}
        self._connection.register(mapping_sql.ROWS, pa.table(empty))
        self._sql = mapping_sql.select(mapping, self._connection)

    def _used(self) -> tuple[list[str], list[str]]:
        """Return the columns that fields name, and the expressions."""
        used = [name for field in self.by_field.values()
                for name in [*field.columns, field.column] if name is not None]
        return used, [field.expression for field in self.by_field.values() if field.expression]

    def fields(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], np.ndarray | None]:
        """Return the fields of rows, and a mask of those with a cell that cannot be decoded."""
        columns, undecodable = {}, np.zeros(batch.num_rows, bool)
        for name in dict.fromkeys(self.names):
            column = batch.column(name)
            if parsing.is_text(column.type):
                column, damaged = parsing.text(column)
                undecodable |= damaged
            columns[name] = column
        self._connection.register(mapping_sql.ROWS, pa.table(columns))
        try:
            table = self._connection.sql(self._sql).to_arrow_table().combine_chunks()
        except duckdb.Error as error:
            raise TrainingError(f"the mapping cannot be evaluated ({reason(error)}); fix its "
                                "expressions") from error
        fields = {name: _chunk(table[name]) for name in table.column_names}
        if self._labels is not None:
            fields["is_fraud"] = self._labelled(fields["transaction_id"])
        return fields, undecodable

    def _labelled(self, transaction_id: pa.Array) -> pa.Array:
        """Return the labels of a second file; null where a payment is unlabelled."""
        labels: Any = self._labels
        index = pc.index_in(transaction_id, labels["id"].combine_chunks())
        others = "0" if self._mapping.labels.others == "legitimate" else None
        listed = labels["label"].combine_chunks().take(index)
        return pc.if_else(index.is_valid(), listed, pa.scalar(others, pa.string()))


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _check_columns(file: str, mapping: Path, columns: list[str], named: list[str]) -> None:
    absent = [name for name in named if name not in columns]
    if absent:
        raise TrainingError(f"{mapping}: names the column{'s' if len(absent) > 1 else ''} "
                            f"{', '.join(absent)}, and {file} has {', '.join(columns)}; correct "
                            "the mapping")


def _labels(given: MappingFile) -> pa.Table:
    """Read a second file with labels: a table of strings `id` and `label`."""
    form = given.mapping.labels
    path = str(given.path.parent / form.file)
    wanted = [name for name in (form.id, form.label) if name]
    with fetched(path, given.path.parent) as file, open_source(file) as source:
        _check_columns(path, given.path, list(source.columns), wanted)
        batches = [batch.select(wanted) for batch in source.batches(wanted, [])]
    table = pa.Table.from_batches(batches)
    ids = _strings(table[form.id])
    words = {**{word: "1" for word in form.fraud}, **{word: "0" for word in form.legitimate}}
    given_labels = _strings(table[form.label]).to_pylist() if form.label else ["1"] * len(ids)
    labels = pa.array([words.get(label, label) for label in given_labels], pa.string())
    if pc.count_distinct(ids).as_py() != len(ids):
        raise TrainingError(f"{path}: has a transaction id twice in {form.id!r}; keep one label "
                            "for each")
    return pa.table({"id": ids, "label": labels})


def _strings(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    if parsing.is_text(column.type):
        return parsing.text(column)[0]
    return column.cast(pa.string())
