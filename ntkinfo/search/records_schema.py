"""Columns and types of a sweep's records: which values a row may hold, and one schema for all the parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ntkinfo.search.workers import ERROR, FINGERPRINT, SECONDS

# What Arrow raises for a value, or columns, of a kind that does not fit.
UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError, OverflowError)


def no_rows() -> pa.Table:
    """The columns that every record has."""
    return pa.schema([(FINGERPRINT, pa.string()), (ERROR, pa.string()), (SECONDS, pa.float64())]).empty_table()


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table.

    Raises:
        TypeError: a value that is no number, text or truth value; what `UNFIT` names where Arrow cannot hold a column.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    for name, column in columns.items():
        kind = column.type
        if not any(test(kind) for test in _KINDS):
            raise TypeError(f"column {name!r} holds {kind}; a record holds numbers, texts and truth values")
    table = pa.table(columns)
    for field in no_rows().schema:
        column = table[field.name].cast(field.type)
        table = table.set_column(table.schema.get_field_index(field.name), field.name, column)
    return table


_KINDS = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_null,
)


def unified(schemas: Iterable[pa.Schema], path: Path | None = None) -> pa.Schema:
    """The columns of all the schemas, whole numbers as fractions where any part has these.

    Raises:
        ValueError: a column of two kinds.
    """
    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        where = f" in {path}" if path else ""
        raise ValueError(f"a column{where} is of another kind than before ({error})") from error


def in_schema(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The table with the columns and types of a schema that its own is a part of."""
    return pa.concat_tables([schema.empty_table(), table], promote_options="permissive")


def misfit(row: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The record of a trial whose values cannot be recorded."""
    text = f"the measured row cannot be recorded: {error}"
    return {FINGERPRINT: str(row[FINGERPRINT]), ERROR: text, SECONDS: float(row.get(SECONDS) or 0.0)}
