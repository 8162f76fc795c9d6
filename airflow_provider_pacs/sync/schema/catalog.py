"""The source's catalog -> what a table looks like.

A view that the endpoint lacks or denies means "unknown", never a failure.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.columns import (
    ROWVERSIONS,
    SourceColumn,
    TableColumns,
    Withheld,
    columns_of,
    columns_of_several,
    in_database,
    optional_query,
    refuse_withheld,
    withheld_columns,
)
from airflow_provider_pacs.sync.schema.joined import Selection, TableRead, render
from airflow_provider_pacs.sync.schema.objects import SynonymBase, foreign_rowversion, synonym_base
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from airflow_provider_pacs.sync.source.port import SourceReader

log = logging.getLogger(__name__)

_UNIQUE_KEYS = """SELECT i.index_id AS number, i.is_primary_key AS is_primary, c.name AS name,
       c.is_nullable AS is_nullable
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(?) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0
  AND ic.key_ordinal > 0
ORDER BY i.index_id, ic.key_ordinal"""

STAMP = "varbinary(8)"
"""The declared type of a rowversion, as a variable holds it."""


KeySpelling = Literal["guid", "digits", "text"]
"""How a key is written before both sides hash it: a GUID with dashes in upper case, the digits of a GUID that
the county keeps as text (its braces, dashes and case are the county's), or as it stands.
"""


@dataclass(frozen=True, slots=True)
class ResolvedTable:
    """A mapped table with its names spelled as the catalog spells them.

    Attributes:
        map: the table map; `columns` and `change_column` in the catalog's spelling where it is known.
        columns: source column name -> declaration, for a joined entity `table.column`; empty where no catalog
            view could be read.
        selection: the rendered SELECT of a joined entity; None for a single table.
        object_id: the source's number of a single table, another one after DROP and CREATE; None where it is
            unknown.
        withheld: columns in lower case, mapped or not, whose values the server does not show as they are
            stored; of a single table.
        notes: why a better way to find changes is not taken, one sentence each.
        capture: the capture instance of Change Data Capture that shows its changes; None where none is read.
    """

    map: TableMap
    columns: dict[str, SourceColumn]
    selection: Selection | None = None
    object_id: int | None = None
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    capture: str | None = None

    @property
    def mapped(self) -> tuple[str, ...]:
        """The names in `columns` that are read."""
        if self.selection is None:
            return self.map.sources
        return tuple(f"{table.table}.{column}" for table in self.selection.tables for column in table.columns)

    @property
    def name(self) -> str:
        """What messages call the place that the rows come from."""
        if self.selection is None:
            return f"{self.map.schema}.{self.map.table}"
        if len(self.selection.tables) == 1:
            (read,) = self.selection.tables
            return f"{read.schema}.{read.table}"
        return f"{self.map.entity} of profile {self.map.profile}"

    @property
    def known(self) -> bool:
        return bool(self.columns)

    @property
    def change_type(self) -> str | None:
        """Declared type of the change column; None where there is none or it is unknown."""
        if self.selection is not None:
            return STAMP if self.selection.probes else None
        column = self.columns.get(self.map.change_column or "")
        return column.declared if column else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the table's identity and the declarations of all columns that are read.

        Other columns and the order do not count.
        """
        pairs = (
            (*self.map.columns, *self.map.extra)
            if self.selection is None
            else [(name, name) for name in self.mapped]
        )
        mapped = [(canonical, source, repr(self.columns.get(source))) for canonical, source in pairs]
        return hashlib.sha256(json.dumps([mapped, self.change_type, self.object_id]).encode()).hexdigest()

    @property
    def has_rowversion(self) -> bool:
        """Whether a rowversion can show changes: of a single table, or of one that a joined entity probes."""
        if self.selection is not None:
            return any(probe.stamp for probe in self.selection.probes)
        return any(column.type_name in ROWVERSIONS for column in self.columns.values())

    def without_rowversion(self, because: str) -> ResolvedTable:
        """The same table where its rowversion is eight bytes like any other, because the bound that it would
        be compared with is another counter's, or is missing.
        """
        columns = {
            name: replace(column, type_name="varbinary", max_length=8)
            if column.type_name in ROWVERSIONS
            else column
            for name, column in self.columns.items()
        }
        selection = replace(self.selection, probes=()) if self.selection is not None else None
        return replace(self, columns=columns, selection=selection, notes=(*self.notes, because))


def describe(reader: SourceReader, table: TableMap) -> ResolvedTable:
    """Look a mapped table up in the source's catalog: a table, a view, or a synonym, which is read through.

    Raises:
        ConfigError: PACS-003, the catalog is readable and the table or a mapped column is not in it, or the
            login may not see its values.
    """
    if table.joined is not None:
        return _describe_joined(reader, table, render(table))
    table, known, base = _first_that_exists(reader, table)
    if known is None:
        return ResolvedTable(table, {})
    name = f"{table.schema}.{table.table}"
    spelled = {column.name.lower(): column.name for column in known.columns}
    wanted = list(table.sources) + ([table.change_column] if table.change_column else [])
    missing = [source for source in dict.fromkeys(wanted) if source.lower() not in spelled]
    if missing:
        raise ConfigError(
            f"table {name} has no column {_listed(missing, list(spelled.values()))}",
            remedy="name the county's columns under "
            f"tables.{table.entity}.columns{' and .extra' if table.extra else ''}",
            code="PACS-003",
        )
    _check_key(reader, table, base)
    place = (base.schema, base.name) if base else (table.schema, table.table)
    withheld = withheld_columns(reader, [place], base.database if base else None)
    hidden = withheld.get((place[0].lower(), place[1].lower()), {})
    refuse_withheld(hidden, wanted, f"tables.{table.entity}.columns")
    columns = tuple((canonical, spelled[source.lower()]) for canonical, source in table.columns)
    change = spelled[table.change_column.lower()] if table.change_column else None
    extra = tuple((name, spelled[source.lower()]) for name, source in table.extra)
    mapped = replace(table, columns=columns, change_column=change, extra=extra)
    resolved = ResolvedTable(
        mapped,
        {column.name: column for column in known.columns},
        object_id=known.object_id,
        withheld=hidden,
    )
    if not resolved.has_rowversion:
        return resolved
    foreign = foreign_rowversion(reader, name, known.object_id, known.kind, base)
    return resolved if foreign is None else resolved.without_rowversion(foreign)


def _first_that_exists(
    reader: SourceReader, table: TableMap
) -> tuple[TableMap, TableColumns | None, SynonymBase | None]:
    """The table under the first of its names that the source has, and its columns.

    Raises:
        ConfigError: PACS-003, it has none of them.
    """
    setting = f"tables.{table.entity}.table"
    names = (table.table, *table.alternatives)
    for name in names:
        known, base = _look_up(reader, table.schema, name, setting)
        if known is None or known.columns:
            if name != table.table:
                log.info("%s is read from %s.%s: there is no %s.", table.entity, table.schema, name, names[0])
            return replace(table, table=name, alternatives=()), known, base
    tried = " and ".join(f"{table.schema}.{name}" for name in names)
    raise _no_table(tried, table.entity, setting)


def _look_up(
    reader: SourceReader, schema: str, name: str, setting: str
) -> tuple[TableColumns | None, SynonymBase | None]:
    """A name's columns, and what it stands for where it is a synonym."""
    known = columns_of(reader, schema, name)
    if known is None or known.columns:
        return known, None
    base = synonym_base(reader, qualified(schema, name), f"{schema}.{name}", setting)
    if base is None:
        return known, None
    behind = columns_of(reader, base.schema, base.name, base.database)
    if behind is not None and not behind.columns:
        raise ConfigError(
            f"{schema}.{name} is a synonym for {base.quoted}, which does not exist or may not be read",
            remedy=f"GRANT SELECT on what it stands for, or name another table in {setting}",
            code="PACS-003",
        )
    return behind, base


def _describe_joined(reader: SourceReader, table: TableMap, selection: Selection) -> ResolvedTable:
    """Every table of a joined entity.

    A rowversion that a county's tables lack is no fault: then the entity is compared whole.
    """
    columns: dict[str, SourceColumn] = {}
    unknown = unstamped = False
    foreign: str | None = None
    several = columns_of_several(reader, [(read.schema, read.table) for read in selection.tables])
    hidden = withheld_columns(reader, [(read.schema, read.table) for read in selection.tables])
    for read in selection.tables:
        place, base = (read.schema.lower(), read.table.lower()), None
        known = several.get(place) if several is not None else None
        if known is None:
            known, base = _look_up(reader, read.schema, read.table, f"source.tables.{read.name}.table")
        if known is None:
            unknown = True
            continue
        columns |= {f"{read.table}.{column.name}": column for column in known.columns}
        missing = _missing_columns(table, read, known.columns)
        unstamped = unstamped or read.stamp in missing
        if missing := [name for name in missing if name != read.stamp]:
            raise ConfigError(
                f"table {read.schema}.{read.table} has no column "
                f"{_listed(missing, [column.name for column in known.columns])}",
                remedy=f"name the county's columns under source.tables.{read.name}.columns",
                code="PACS-003",
            )
        if base is not None:
            behind = withheld_columns(reader, [(base.schema, base.name)], base.database)
            hidden[place] = behind.get((base.schema.lower(), base.name.lower()), {})
        refuse_withheld(hidden.get(place, {}), read.columns, "source.tables")
        if read.stamp is not None and read.stamp not in missing and foreign is None:
            name = f"{read.schema}.{read.table}"
            foreign = foreign_rowversion(reader, name, known.object_id, known.kind, base)
    if unknown or unstamped or not any(read.stamp for read in selection.tables):
        selection = replace(selection, probes=())
    resolved = ResolvedTable(table, {} if unknown else columns, selection)
    if foreign is None or not resolved.has_rowversion:
        return resolved
    return resolved.without_rowversion(foreign)


def _missing_columns(table: TableMap, read: TableRead, columns: Sequence[SourceColumn]) -> list[str]:
    if not columns:
        raise _no_table(f"{read.schema}.{read.table}", table.entity, f"source.tables.{read.name}.table")
    spelled = {column.name.lower() for column in columns}
    return [name for name in read.columns if name.lower() not in spelled]


def _no_table(name: str, entity: str, setting: str) -> ConfigError:
    return ConfigError(
        f"table {name} for entity {entity!r} does not exist or may not be read",
        remedy=f"check source database and `pacs grants`, or set {setting} in the county's file; "
        "`pacs init COUNTY --force --source-url-file FILE` proposes the county's own names",
        code="PACS-003",
    )


def _check_key(reader: SourceReader, table: TableMap, base: SynonymBase | None) -> None:
    """Where the source declares a primary key, it must be the mapped key, or the mapped key must be unique by
    another index and never NULL: else rows are no longer what they were (case 50).
    """
    quoted = base.quoted if base else qualified(table.schema, table.table)
    database = base.database if base else None
    rows = optional_query(reader, in_database(_UNIQUE_KEYS, database), (quoted,)) or []
    keys: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        keys.setdefault(int(row["number"]), []).append(row)
    primary = next((key for key in keys.values() if key[0]["is_primary"]), None)
    if primary is None:
        return
    fitting = [
        key for key in keys.values() if [str(row["name"]).lower() for row in key] == [table.key.lower()]
    ]
    if any(key[0]["is_primary"] or not key[0]["is_nullable"] for key in fitting):
        return
    what = "is not declared as unique"
    if fitting:
        rows = reader.query(
            f"SELECT COUNT_BIG(*) AS n FROM {qualified(table.schema, table.table)} AS s "  # noqa: S608
            f"WHERE s.{quote(table.key)} IS NULL"
        )
        if not rows[0]["n"]:
            return
        what = "is unique but NULL in a row"
    declared = ", ".join(str(row["name"]) for row in primary)
    raise ConfigError(
        f"the primary key of {table.schema}.{table.table} is ({declared}), the mapping's key is "
        f"{table.key!r}, which {what}",
        remedy=f"map the key under tables.{table.entity}.columns, then run with --full; or have {table.key} "
        "declared as UNIQUE and NOT NULL",
        code="PACS-003",
    )


def _listed(missing: list[str], known: list[str]) -> str:
    def with_nearest(name: str) -> str:
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
        return f"{name!r}" + (f" (nearest: {near[0]!r})" if near else "")

    return ", ".join(with_nearest(name) for name in missing)
