"""A record's class -> the select list that fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[Any]
Record = TypeVar("Record")


def columns(record: Any) -> LiteralString:
    """The fields of a record as a select list: `class_row` wants exactly these."""
    return ", ".join(f'"{each.name}"' for each in fields(record))


def read(
    connection: Connection, record: type[Record], tail: LiteralString, values: Sequence[object]
) -> list[Record]:
    """Rows of a table as records. `tail` is what follows the select list, from FROM on."""
    with connection.cursor(row_factory=class_row(record)) as cursor:
        return cursor.execute(f"SELECT {columns(record)} {tail}", values).fetchall()
