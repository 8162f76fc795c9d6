"""Full: a table map -> every row of the table, or rows by key.

First load, comparison and reconcile read this way.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    guid_digits,
    is_guid_as_text,
    rows_of,
    select_list,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import quote
from airflow_provider_pacs.sync.source.port import LobBound, SourceReader

ROOT_KEY = "_root_key"
"""The column of a joined entity that says which root a row belongs to."""

KEYS_PER_STATEMENT = 500
"""SQL Server takes 2,100 parameters in a statement; a few hundred keep plans small."""


def full_query(table: ResolvedTable) -> ChangeQuery:
    """All rows, no filter: inactive rows travel too (domain.md G4)."""
    return ChangeQuery(f"SELECT {select_list(table)} FROM {rows_of(table)}", complete=True)  # noqa: S608


def sample_query(table: ResolvedTable, rows: int) -> ChangeQuery:
    """At most `rows` rows, whichever the server hands out first: for a look, never for a load."""
    return ChangeQuery(f"SELECT TOP ({int(rows)}) {select_list(table)} FROM {rows_of(table)}")  # noqa: S608


def keys_query(table: ResolvedTable, keys: tuple[str, ...], column: str | None = None) -> ChangeQuery:
    """The rows with these keys (text, at most `KEYS_PER_STATEMENT`), where they still exist.

    Keys are compared in the column's own type. A GUID that the county keeps as text is known by its digits:
    its case, braces and dashes are the county's, while our keys are written as PostgreSQL writes them.

    Args:
        table: the table.
        keys: keys as text; of a joined entity its `_source_key`s.
        column: a source column other than the key; `_root_key` of a joined entity.
    """
    if table.selection is not None:
        return _joined_keys_query(table, keys, column)
    column = column or table.map.key
    if is_guid_as_text(table, column):
        digits = tuple(key.strip("{}").replace("-", "").upper() for key in keys)
        marks = ", ".join(["CONVERT(varchar(32), ?)"] * len(keys))
        return ChangeQuery(
            f"SELECT {select_list(table)} FROM {rows_of(table)} WHERE {guid_digits(column)} IN ({marks})",  # noqa: S608
            digits,
        )
    marks = ", ".join([_converted(table, column)] * len(keys))
    return ChangeQuery(
        f"SELECT {select_list(table)} FROM {rows_of(table)} WHERE s.{quote(column)} IN ({marks})",  # noqa: S608
        keys,
    )


def _joined_keys_query(table: ResolvedTable, keys: tuple[str, ...], column: str | None) -> ChangeQuery:
    """A key begins with its root key, by which the tables underneath are found; the key itself is made by the
    SELECT.
    """
    root_key_type = table.selection.root_key_type if table.selection else ""
    roots = tuple(dict.fromkeys(key.split("/")[0] for key in keys))
    text = (
        f"SELECT {select_list(table)} FROM {rows_of(table)} WHERE s.[_root_key] IN "  # noqa: S608
        f"({', '.join([f'CONVERT({root_key_type}, ?)'] * len(roots))})"
    )
    if column == ROOT_KEY:
        return ChangeQuery(text, roots)
    return ChangeQuery(
        f"{text} AND s.[_source_key] IN ({', '.join(['CONVERT(varchar(60), ?)'] * len(keys))})",
        (*roots, *keys),
    )


def redaction_query(table: ResolvedTable) -> ChangeQuery | None:
    """One column `party`: whose rows must say no more than a new row of theirs would; None where the entity
    has no such parties.
    """
    redaction = table.selection.redaction if table.selection else None
    return ChangeQuery(redaction.sql) if redaction else None


def lob_query(table: ResolvedTable) -> ChangeQuery | None:
    """One row, one column per mapped LOB column: bytes of its longest value; None where the table has no such
    column.
    """
    lobs = [source for source in table.map.sources if (column := table.columns.get(source)) and column.is_lob]
    if not lobs:
        return None
    inner = ", ".join(
        f"MAX(DATALENGTH(s.{quote(source)})) AS {quote(f'n{index}')}" for index, source in enumerate(lobs)
    )
    return ChangeQuery(f"SELECT {inner} FROM {rows_of(table)}")  # noqa: S608


def lob_bound(source: SourceReader, table: ResolvedTable) -> LobBound | None:
    """For `SourceReader.stream`: asks the server for the length of the longest value of each LOB column.

    None where there is no such column.
    """
    query = lob_query(table)
    if query is None:
        return None
    names = [name for name in table.map.sources if (c := table.columns.get(name)) and c.is_lob]

    def longest() -> dict[str, int]:
        values = source.query(query.sql)[0].values()
        return {name: int(value or 0) for name, value in zip(names, values, strict=True)}

    return longest


def _converted(table: ResolvedTable, name: str) -> str:
    column = table.columns.get(name)
    return f"CONVERT({column.declared}, ?)" if column else "?"
