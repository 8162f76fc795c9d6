"""Joined: an entity read from several tables -> the root keys that changed, and their rows
(docs/adr/0005-joined-entities.md).

A rowversion shows the root keys written from the cursor on and below `hi`, which is MIN_ACTIVE_ROWVERSION();
a table without one is read in the few columns that count, and its contents are compared in the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_pacs.sync.incremental.statements import (
    RESTORED,
    ChangeQuery,
    Late,
    Window,
    distinct_root_keys,
    rows_of,
    rows_of_root_keys,
)
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    PolledTable,
    SourceFacts,
    Support,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.joined import CHANGED, ChangeProbe


def probes(table: ResolvedTable) -> tuple[ChangeProbe, ...]:
    """What the entity probes; empty for a single table and for a joined entity without a rowversion."""
    return table.selection.probes if table.selection else ()


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows of every root key that a rowversion shows as written in the window, in one statement."""
    return ChangeQuery(
        _declared("lo", "hi") + rows_of_root_keys(table, _stamped(table, ">= @lo", "< @hi")),
        (window.lo or window.hi, window.hi),
    )


def root_keys_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """One column `root_key` (text): the root keys of `window_query`, also those that have no row left."""
    return ChangeQuery(
        _declared("lo", "hi") + distinct_root_keys(_stamped(table, ">= @lo", "< @hi")),
        (window.lo or window.hi, window.hi),
    )


def compared(table: ResolvedTable) -> tuple[tuple[str, ChangeQuery], ...]:
    """(probe, statement) of the tables whose contents are compared: `root_key`, then what counts."""
    return tuple((probe.name, ChangeQuery(probe.sql)) for probe in probes(table) if probe.stamp is None)


def _declared(*names: str) -> str:
    return "".join(f"DECLARE @{name} binary(8) = CONVERT(binary(8), ?, 1);\n" for name in names)


def late(table: ResolvedTable) -> Late:
    """Rows of a root key written at the bound or after."""
    keys = f"SELECT DISTINCT c.root_key FROM ({_stamped(table, '>= @hi')}) AS c"  # noqa: S608
    rows = f"{rows_of(table)}\nLEFT JOIN ({keys}) AS late ON late.root_key = s.[_root_key]"
    return Late(_declared("hi"), rows, "late.root_key IS NOT NULL")


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, the cursor as it is, `hi`, as `0x` text, and `behind`: the database's counter, as for
    rowversion.
    """
    return ChangeQuery(
        "DECLARE @cursor binary(8) = CONVERT(binary(8), NULLIF(?, ''), 1);\n"
        "DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION();\n"
        "SELECT CONVERT(varchar(18), @cursor, 1) AS lo, CONVERT(varchar(18), @hi, 1) AS hi, "
        "CASE WHEN @cursor > @hi THEN 1 ELSE 0 END AS behind",
        (request.cursor or "",),
    )


class Joined:
    """The strategy over an entity of several tables, of which some have a rowversion."""

    name = "joined"
    shows_deletes = False

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A joined entity with a rowversion to probe, on a writable database with the documented bound."""
        if table.selection is None:
            return Support(None, "it is read from one table")
        if not probes(table):
            return Support(None, "no table of it has a rowversion to probe")
        if not facts.writable:
            return Support(None, "the database is a readable secondary")
        if lack := facts.lack("rowversion"):
            return Support(None, lack)
        if len(table.selection.tables) == 1:
            return Support(table, "rows by its rowversion, and keys that came or went by comparing all keys")
        stamped = ", ".join(probe.name for probe in probes(table) if probe.stamp)
        contents = ", ".join(probe.name for probe in probes(table) if probe.stamp is None)
        return Support(
            table,
            f"properties changed in {stamped} (rowversion) or {contents} (contents compared) are read again",
        )

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next window."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """A counter behind the cursor."""
        return RESTORED if bounds["behind"] == 1 else None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of every root key that a rowversion shows as written in the window."""
        return window_query(table, window)

    def root_keys(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The root keys of `select`, also those that have no row left."""
        return root_keys_query(table, window)

    def position(self, table: PolledTable) -> str:
        """The bound of a run that is planned now: it moves when a writer ends, whatever table it wrote."""
        return "CONVERT(varchar(18), CONVERT(binary(8), MIN_ACTIVE_ROWVERSION()), 1)"

    def late(self, table: ResolvedTable) -> Late:
        """Rows of a root key written at the bound or after."""
        return late(table)


def _stamped(table: ResolvedTable, *bounds: str) -> str:
    parts = []
    for probe in probes(table):
        if probe.stamp is not None:
            parts.append(
                probe.sql.replace(CHANGED, " AND ".join(f"{probe.stamp} {bound}" for bound in bounds))
            )
    return " UNION ALL ".join(parts)
