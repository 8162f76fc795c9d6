"""What a procedure of the sandbox reads and answers: its arguments, and a result set of one row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from airflow_provider_pacs.sandbox.catalog.sqltypes import BIGINT, arrow
from airflow_provider_pacs.sandbox.model import Column, ResultSet, SqlError, SqlType


def one_row(values: dict[str, int | str]) -> ResultSet:
    """A result set of one row: int to bigint, str to nvarchar."""
    columns = [
        Column(k, BIGINT if isinstance(v, int) else SqlType("nvarchar", 4000), False)
        for k, v in values.items()
    ]
    arrays = [pa.array([v], arrow(c.type)) for v, c in zip(values.values(), columns, strict=True)]
    return ResultSet(columns, iter([pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])]))


def argument(args: dict[str, Any], name: str, default: Any = None) -> Any:
    """A procedure's argument by name, or its only one by position.

    Raises:
        SqlError: 201 where it is missing.
    """
    value = args.get(name, args.get("0", default))
    if value is None:
        raise SqlError(201, f"Procedure or function expects parameter '@{name}', which was not supplied.")
    return value
