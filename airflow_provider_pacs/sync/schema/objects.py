"""What stands behind a mapped name: a table, a view or a synonym, and whose counter a rowversion comes from.

A rowversion is compared with MIN_ACTIVE_ROWVERSION() of the database that the login is in. A view or a
synonym may show the stamps of another database, whose counter has nothing to do with that bound: rows then
stay below or above it for ever. Such a column is no change column, and a view that can't be looked through
counts as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.tsql import quote
from airflow_provider_pacs.sync.source.port import SourceReader

_SYNONYM = "SELECT y.base_object_name AS base FROM sys.synonyms AS y WHERE y.object_id = OBJECT_ID(?)"
_REFERENCES = """SELECT DISTINCT d.referenced_server_name AS server,
       CASE WHEN d.referenced_database_name = DB_NAME() THEN NULL ELSE d.referenced_database_name END AS db,
       d.referenced_entity_name AS name, o.type AS kind, o.object_id AS object_id
FROM sys.sql_expression_dependencies AS d
LEFT JOIN sys.objects AS o ON o.object_id = COALESCE(d.referenced_id,
  OBJECT_ID(QUOTENAME(COALESCE(d.referenced_schema_name, 'dbo')) + '.' + QUOTENAME(d.referenced_entity_name)))
WHERE d.referencing_id = ? AND d.referenced_class = 1"""
_SYNONYM_BY_ID = """SELECT y.base_object_name AS base, o.type AS kind, o.object_id AS object_id
FROM sys.synonyms AS y LEFT JOIN sys.objects AS o ON o.object_id = OBJECT_ID(y.base_object_name)
WHERE y.object_id = ?"""
_BOUND = "SELECT CONVERT(varchar(18), MIN_ACTIVE_ROWVERSION(), 1) AS bound"
_PART = re.compile(r"\[((?:[^\]]|\]\])*)\]|([^.\[\]]+)|(?<=\.)(?=\.)")
_SYNONYM_TYPE = "SN"
_MOST_VIEWS = 40
"""A view that stands on more views than these is not looked through."""
_TABLE, _THROUGH, _BESIDE = "U", frozenset({"V", "IF", "TF"}), frozenset({"FN", "FS", "SO", "TT"})
"""Types of sys.objects: a table, what shows other objects' rows, what has no rows of its own to show."""


@dataclass(frozen=True, slots=True)
class SynonymBase:
    """The object that a synonym names. `database` is None for the login's own."""

    database: str | None
    schema: str
    name: str

    @property
    def quoted(self) -> str:
        """As OBJECT_ID takes it."""
        parts = [self.database] if self.database else []
        return ".".join(quote(part) for part in (*parts, self.schema, self.name))


def synonym_base(reader: SourceReader, quoted: str, name: str, setting: str) -> SynonymBase | None:
    """What a synonym stands for; None where the name is no synonym, or nobody says.

    Args:
        reader: an open reader.
        quoted: the mapped name as OBJECT_ID takes it.
        name: the same for people.
        setting: where the county's file names another table.

    Raises:
        ConfigError: PACS-003, it names a table of another server.
    """
    rows = optional_query(reader, _SYNONYM, (quoted,))
    if not rows:
        return None
    base = str(rows[0]["base"])
    parts = _parts(base)
    if len(parts) > 3:
        raise ConfigError(
            f"{name} is a synonym for {base}, a table of another server, which is not read through a link",
            remedy=f"connect to that server, or have a copy of the table made here and name it in {setting}",
            code="PACS-003",
        )
    database, schema, table = (["", "", *parts])[-3:]
    return SynonymBase(database or None, schema or "dbo", table)


def foreign_rowversion(
    reader: SourceReader, name: str, object_id: int | None, kind: str | None, base: SynonymBase | None
) -> str | None:
    """Why an object's rowversion can't be compared with this database's bound; None where it can.

    Args:
        reader: an open reader.
        name: the object's name for people.
        object_id: its number, of a synonym that of its base.
        kind: its type in sys.objects; None where the server does not say, which counts as a table.
        base: what a synonym stands for.
    """
    if base is not None and base.database is not None:
        return f"{name} is a synonym for a table of database {base.database}, which has a counter of its own"
    if kind is None or kind == _TABLE:
        return None
    return _foreign_below(reader, name, object_id) if kind in _THROUGH else f"{name} is no table and no view"


def _foreign_below(reader: SourceReader, name: str, object_id: int | None) -> str | None:
    """The same for a view, whose rows come from what it names, and so on down to tables."""
    unseen = (
        f"nobody can tell whose counter the view {name} shows (the login may not see what it is made of: "
        "GRANT VIEW DEFINITION)"
    )
    pending, seen = [object_id], set[int | None]()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        rows = optional_query(reader, _REFERENCES, (current,)) if current is not None else None
        if not rows or len(seen) > _MOST_VIEWS:
            return unseen
        for row in rows:
            if row["server"] is not None or row["db"] is not None:
                place = f"database {row['db']}" if row["server"] is None else f"server {row['server']}"
                return f"the view {name} reads from {place}, which has a counter of its own"
            kind, number = str(row["kind"] or "").strip(), row["object_id"]
            if kind == _SYNONYM_TYPE:
                kind, number = _behind_synonym(reader, number)
                if not kind:
                    return f"the view {name} reads through the synonym {row['name']}, which leads elsewhere"
            if kind in _THROUGH:
                pending.append(number)
            elif kind != _TABLE and kind not in _BESIDE:
                return unseen
    return None


def _behind_synonym(reader: SourceReader, object_id: int) -> tuple[str, int | None]:
    """Type and number of what a synonym of this database names; no type where it is in another database."""
    rows = optional_query(reader, _SYNONYM_BY_ID, (object_id,))
    if not rows or len(_parts(str(rows[0]["base"]))) > 2:
        return "", None
    return str(rows[0]["kind"] or "").strip(), rows[0]["object_id"]


def no_rowversion_bound(reader: SourceReader) -> str | None:
    """Why the server can't say below which rowversion nobody writes any more; None where it can."""
    rows = optional_query(reader, _BOUND)
    if rows and rows[0]["bound"] is not None:
        return None
    return (
        "the server does not answer MIN_ACTIVE_ROWVERSION(), without which open writers' rows would be lost"
    )


def _parts(name: str) -> list[str]:
    """The parts of a name as sys.synonyms has it; an empty one stands for a default."""
    return [(quoted.replace("]]", "]") if quoted else plain) or "" for quoted, plain in _PART.findall(name)]
