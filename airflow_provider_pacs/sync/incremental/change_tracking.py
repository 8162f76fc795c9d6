"""Change Tracking: the versions that SQL Server counts, and the keys that changed since one (tsql/05).

The cursor is a version of the database, as text. A run takes one current version for all its tables, before
it reads any of them; what changed since the cursor is then read as it is now, so a row may be newer than that
version, and the next run reads it again. The row decides, never the letter of the operation: a changed key
without a row is gone. A first load takes the version before its read, so nothing falls between the two.

The window shows all changes only while the server keeps them. A cursor below the smallest valid version, or
above the current one, means that every row is compared; so does tracking that began anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Late,
    Window,
    distinct_root_keys,
    key_text,
    rows_of,
    rows_of_root_keys,
    select_list,
)
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest, PolledTable, SourceFacts, Support
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.joined import SINCE
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

NAME = "change_tracking"
_INTERNAL_TYPE = 209
"""Of sys.internal_tables: the table that keeps one table's tracked changes."""
_FULL = (
    ("off", "Change Tracking is off for a table, or the login may not see its changes"),
    ("behind", "the database's change tracking version went back: it was restored, or tracking began anew"),
    (
        "expired",
        "the server no longer keeps every change since the cursor: they expired, or a table was truncated",
    ),
    ("began", "tracking began no earlier than the cursor, so changes between the two may not be shown"),
)
"""Columns of the bounds that end a cursor, and what each means."""


def places(table: ResolvedTable) -> tuple[str, ...]:
    """The tracked tables that an entity's changes are read from, quoted."""
    if table.selection is None:
        return (qualified(table.map.schema, table.map.table),)
    return tuple(qualified(track.schema, track.table) for track in table.selection.tracks)


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, the cursor; `hi`, the run's version; `feed`; and, 1 or 0, `off`, `behind`, `expired` and
    `began`.

    `feed` names, per table, the object, the version at which its tracking began, and the internal table that
    keeps its changes, as far as the login may see them: each is another one after the table was made again or
    its tracking was switched off and on. Without the internal table's number a cursor at the very version at
    which tracking began proves nothing.
    """
    assert request.table is not None, "the versions are those of tables"
    names = places(request.table)
    every = range(len(names))
    declares = [
        "DECLARE @cursor bigint = CONVERT(bigint, NULLIF(?, ''));",
        "DECLARE @now bigint = CHANGE_TRACKING_CURRENT_VERSION();",
        "DECLARE @hi bigint = COALESCE(CONVERT(bigint, NULLIF(?, '')), @now);",
    ]
    rows = ["(VALUES (1)) AS one (n)"]
    feed: list[str] = []
    for n in every:
        declares += [
            f"DECLARE @t{n} int = OBJECT_ID(?);",
            f"DECLARE @min{n} bigint = CHANGE_TRACKING_MIN_VALID_VERSION(@t{n});",
        ]
        rows += [
            f"LEFT JOIN sys.change_tracking_tables AS t{n} ON t{n}.object_id = @t{n}",
            f"LEFT JOIN sys.internal_tables AS i{n} ON i{n}.parent_object_id = @t{n} "
            f"AND i{n}.internal_type = {_INTERNAL_TYPE}",
        ]
        feed += [
            f"COALESCE(CONVERT(varchar(20), {value}), '')"
            for value in (f"@t{n}", f"t{n}.begin_version", f"i{n}.object_id")
        ]
    conditions = {
        "off": " OR ".join(["@now IS NULL", *(f"@min{n} IS NULL" for n in every)]),
        "behind": "@cursor > @now",
        "expired": " OR ".join(f"@cursor < @min{n}" for n in every),
        "began": " OR ".join(
            f"(i{n}.object_id IS NULL AND @cursor <= COALESCE(t{n}.begin_version, @min{n}))" for n in every
        ),
    }
    columns = [
        "CONVERT(varchar(20), @cursor) AS lo",
        "CONVERT(varchar(20), @hi) AS hi",
        *(
            f"CASE WHEN {condition} THEN 1 ELSE 0 END AS {quote(name)}"
            for name, condition in conditions.items()
        ),
        " + '/' + ".join(feed) + " AS feed",
    ]
    return ChangeQuery(
        "\n".join([*declares, f"SELECT {', '.join(columns)} FROM {rows[0]}", *rows[1:]]),  # noqa: S608
        (request.cursor or "", request.upper or "", *names),
    )


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows, as they are now, of every key that changed since the lower bound."""
    if table.selection is not None:
        sql = _declared("lo") + rows_of_root_keys(table, _tracked(table, "@lo"))
    else:
        sql = (
            f"{_declared('lo')}SELECT {select_list(table)} FROM {_changes(table, '@lo')} AS ct\n"  # noqa: S608
            f"JOIN {rows_of(table)} ON {_same_key(table)}"
        )
    return ChangeQuery(sql, (window.lo or window.hi,))


def gone_keys_query(table: ResolvedTable, window: Window) -> ChangeQuery | None:
    """One column `k`: the keys that changed since the lower bound and have no row; None for a joined entity,
    whose root keys show it.
    """
    if table.selection is not None:
        return None
    key = f"s.{quote(table.map.key)}"
    return ChangeQuery(
        f"{_declared('lo')}SELECT {key_text(table, 'ct')} AS k FROM {_changes(table, '@lo')} AS ct\n"  # noqa: S608
        f"LEFT JOIN {rows_of(table)} ON {_same_key(table)} WHERE {key} IS NULL",
        (window.lo or window.hi,),
    )


def root_keys_query(table: ResolvedTable, window: Window) -> ChangeQuery | None:
    """One column `root_key` (text): the root keys that a change since the lower bound belongs to; None for a
    single table.
    """
    if table.selection is None:
        return None
    sql = _declared("lo") + distinct_root_keys(_tracked(table, "@lo"))
    return ChangeQuery(sql, (window.lo or window.hi,))


def late(table: ResolvedTable) -> Late:
    """Rows that changed after the bound; of a joined entity, all rows of a root key that something changed
    of.
    """
    if table.selection is None:
        rows = f"{rows_of(table)}\nLEFT JOIN {_changes(table, '@hi')} AS ct ON {_same_key(table)}"
        return Late(_declared("hi"), rows, "ct.SYS_CHANGE_VERSION IS NOT NULL")
    keys = f"SELECT DISTINCT c.root_key FROM ({_tracked(table, '@hi')}) AS c"  # noqa: S608
    rows = f"{rows_of(table)}\nLEFT JOIN ({keys}) AS late ON late.root_key = s.[_root_key]"
    return Late(_declared("hi"), rows, "late.root_key IS NOT NULL")


def answer_query(place: str) -> ChangeQuery:
    """One row, `n`: whether the server answers for this table (quoted) at all; it finds nothing."""
    return ChangeQuery(
        "DECLARE @now bigint = CHANGE_TRACKING_CURRENT_VERSION();\n"
        f"SELECT COUNT_BIG(*) AS n FROM CHANGETABLE(CHANGES {place}, @now) AS ct"
    )


class ChangeTracking:
    """The strategy over SQL Server's Change Tracking."""

    name = NAME
    shows_deletes = True

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A table that is tracked by the mapped key; a joined entity all of whose tables are."""
        if lack := facts.lack(self.name):
            return Support(None, lack)
        if table.selection is None:
            lack = self._lack(facts, table.map.schema, table.map.table, (table.map.key,))
            if lack is not None:
                return Support(None, lack)
            return Support(table, f"Change Tracking is on for {table.name}")
        selection = table.selection
        if selection.untracked or not selection.tracks:
            which = ", ".join(selection.untracked) or table.name
            return Support(None, f"the changes of {which} do not show whose they are")
        for track in selection.tracks:
            lack = self._lack(facts, track.schema, track.table, track.key)
            if lack is not None:
                return Support(None, lack)
        named = ", ".join(track.table for track in selection.tracks)
        return Support(
            replace(table, selection=replace(selection, probes=())),
            f"Change Tracking is on for {named}",
        )

    def _lack(self, facts: SourceFacts, schema: str, table: str, key: tuple[str, ...]) -> str | None:
        """Why a table's tracked changes can't be used; they must name rows by `key`."""
        feed = facts.feed(self.name, schema, table)
        if feed is None:
            return f"nobody knows whether Change Tracking is on for {schema}.{table}"
        if feed.lack is not None:
            return feed.lack
        if {name.lower() for name in feed.key} != {name.lower() for name in key}:
            return (
                f"Change Tracking names the rows of {schema}.{table} by ({', '.join(feed.key)}), "
                f"not by {', '.join(key)}"
            )
        return None

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next window."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """The changes since the cursor are not, or may not be, all there."""
        return next((why for name, why in _FULL if bounds[name] == 1), None)

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of every changed key."""
        return window_query(table, window)

    def gone(self, table: ResolvedTable, window: Window) -> ChangeQuery | None:
        """The changed keys without a row."""
        return gone_keys_query(table, window)

    def root_keys(self, table: ResolvedTable, window: Window) -> ChangeQuery | None:
        """The changed root keys of a joined entity."""
        return root_keys_query(table, window)

    def position(self, table: PolledTable) -> str:
        """The database's version: it moves with every transaction that changes a tracked table."""
        return "CONVERT(varchar(20), CHANGE_TRACKING_CURRENT_VERSION())"

    def late(self, table: ResolvedTable) -> Late:
        """Rows that changed after the bound."""
        return late(table)


def _declared(name: str) -> str:
    return f"DECLARE @{name} bigint = CONVERT(bigint, ?);\n"


def _changes(table: ResolvedTable, since: str) -> str:
    (place,) = places(table)
    return f"CHANGETABLE(CHANGES {place}, {since})"


def _same_key(table: ResolvedTable) -> str:
    key = quote(table.map.key)
    return f"s.{key} = ct.{key}"


def _tracked(table: ResolvedTable, since: str) -> str:
    tracks = table.selection.tracks if table.selection else ()
    return " UNION ALL ".join(track.sql.replace(SINCE, since) for track in tracks)
