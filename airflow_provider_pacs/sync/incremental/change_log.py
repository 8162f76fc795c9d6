"""change_log: PACS's own journal, written by triggers on its tables -> the root keys that changed, and who
changed them (domain.md C3).

A number (`lChangeID`) is given when a statement runs, not when its transaction is committed: a long
transaction brings low numbers late. So each window begins at the last entry that is older than the cursor by
the overlap, and entries are read twice; a transaction that is known to be open holds the cursor back.

PACS switches the journal off for a machine or a table: for supplements, new years, GIS updates. Then every
row is compared, as long as it is off, and until a run begins after the overlap from then: what was changed
without an entry may be committed later. `feed` is what is switched off and which triggers there are; the
third part of a cursor is when that was seen last. What moves layers beside the journal shows in the contents
of `prop_supp_assoc`, which are compared in every run.
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
from airflow_provider_pacs.sync.schema.joined import Journal
from airflow_provider_pacs.sync.schema.tsql import literals, qualified

NAME = "change_log"
CUT = "entries since the cursor were removed from the journal: every row is compared"
BACK = "the journal's numbers went back: it was restored or emptied, so every row is compared"
RESTS = (
    "the journal was switched off within the overlap, and transactions of that time may have been open: "
    "every row is compared"
)
_NUMBER = "RIGHT('000000000' + CONVERT(varchar(10), {}), 10)"
"""A number of the journal as text: ten digits, the first ten characters of every bound."""
_MOST_AUTHORS = 200
_POLLED = 10_000
"""Numbers at the journal's end that a poll counts."""


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, `hi`, `behind`: 1 where the journal's numbers went back, `cut`: 1 where entries after
    the cursor may have been removed, `machines` and `tables` that are switched off, `rests`: 1 where that was
    within the overlap before the cursor, and `feed`.

    `hi` is the last number, and the moment from which on an open transaction may still bring lower ones: by
    the server's local clock, which stamps the journal, whatever clock stamps the county's rows.
    """
    journal = _journal(request.table)
    return ChangeQuery(
        "DECLARE @lag int = CONVERT(int, ?);\n"
        "DECLARE @overlap int = CONVERT(int, ?);\n"
        "DECLARE @now datetime2(7) = CONVERT(datetime2(7), NULLIF(?, ''), 121);\n"
        "DECLARE @oldest datetime2(7) = CONVERT(datetime2(7), NULLIF(?, ''), 121);\n"
        "DECLARE @cursor varchar(60) = NULLIF(CONVERT(varchar(60), ?), '');\n"
        "DECLARE @upper varchar(60) = NULLIF(CONVERT(varchar(60), ?), '');\n"
        "DECLARE @lost int = CONVERT(int, ?);\n"
        "DECLARE @open int = DATEDIFF(SECOND, @oldest, @now);\n"
        "DECLARE @back int = CASE WHEN @open > @lag THEN @open ELSE @lag END;\n"
        "DECLARE @safe datetime = CONVERT(datetime, DATEADD(SECOND, -@back, SYSDATETIME()));\n"
        "DECLARE @id int = CONVERT(int, LEFT(@cursor, 10));\n"
        "DECLARE @at datetime = CONVERT(datetime, NULLIF(SUBSTRING(@cursor, 12, 23), ''), 121);\n"
        "DECLARE @since datetime = DATEADD(MINUTE, -@overlap, @at);\n"
        "DECLARE @off varchar(23) = NULLIF(SUBSTRING(@cursor, 36, 23), '');\n"
        "DECLARE @rests int = CASE WHEN @at < DATEADD(MINUTE, @overlap, CONVERT(datetime, @off, 121)) "
        "THEN 1 ELSE 0 END;\n"
        f"SELECT CASE WHEN @at IS NULL THEN @cursor ELSE {_NUMBER.format(_begin(journal))} END AS lo, "
        f"COALESCE(LEFT(@upper, 34), {_NUMBER.format('COALESCE(j.last_id, 0)')} + ' ' "
        "+ CONVERT(varchar(23), @safe, 121)) + CASE WHEN @lost = 1 OR machines.n + tables.n > 0 "
        "THEN ' ' + CONVERT(varchar(23), CONVERT(datetime, SYSDATETIME()), 121) "
        "WHEN @rests = 1 THEN ' ' + @off ELSE '' END AS hi, "
        "CASE WHEN COALESCE(j.last_id, 0) < @id THEN 1 ELSE 0 END AS behind, "
        "CASE WHEN j.first_id > @id + 1 THEN 1 ELSE 0 END AS cut, "
        "machines.n AS machines, tables.n AS tables, @rests AS rests, "
        f"{_folded('machines')} + ' ' + {_folded('tables')} + ' ' + {_folded('made')} AS feed "
        f"FROM {_extent(journal)} AS j CROSS JOIN {_machines(journal)} AS machines "
        f"CROSS JOIN {_tables(journal)} AS tables CROSS JOIN {_triggers(journal)} AS made",
        (
            str(request.lag_seconds),
            str(request.overlap_minutes),
            request.now,
            request.oldest or "",
            request.cursor or "",
            request.upper or "",
            str(int(request.lost)),
        ),
    )


def _begin(journal: Journal) -> str:
    """The last entry that is older than the cursor by the overlap, found backwards by the primary key; where
    none is kept, what is before the first.
    """
    return (
        f"COALESCE((SELECT TOP (1) b.lChangeID FROM {_at(journal, 'change_log')} AS b "  # noqa: S608
        "WHERE b.lChangeID <= @id AND b.dtChange < @since ORDER BY b.lChangeID DESC), "
        "j.first_id - 1, 0)"
    )


def _extent(journal: Journal) -> str:
    return (
        "(SELECT MIN(c.lChangeID) AS first_id, MAX(c.lChangeID) AS last_id "  # noqa: S608
        f"FROM {_at(journal, 'change_log')} AS c)"
    )


def _machines(journal: Journal) -> str:
    name = "u.machine + '|' + CONVERT(varchar(12), u.hostid)"
    return f"({_fold(name)} FROM {_at(journal, 'chg_log_user')} AS u WHERE u.log_changes = 0)"


def _tables(journal: Journal) -> str:
    names = literals([table.table for table in journal.tables])
    return (
        f"({_fold('CONVERT(varchar(128), e.szTableName)')} FROM {_at(journal, 'pacs_trigger_enable')} AS e "
        f"WHERE e.bEnabled = 0 AND e.szTableName IN ({names}))"
    )


def _triggers(journal: Journal) -> str:
    """A trigger that is altered, disabled or made again is another one."""
    numbers = ", ".join(
        f"OBJECT_ID({literals([qualified(journal.schema, table.table)])})" for table in journal.tables
    )
    name = "CONVERT(varchar(20), g.object_id) + '|' + CONVERT(varchar(23), g.modify_date, 121)"
    return f"({_fold(name)} FROM sys.triggers AS g WHERE g.is_disabled = 0 AND g.parent_id IN ({numbers}))"


def _fold(text: str) -> str:
    """How many rows there are, and one number that is another one when a row is."""
    number = f"SUM(CONVERT(bigint, SUBSTRING(HASHBYTES('SHA1', {text}), 1, 4)))"
    return f"SELECT COUNT_BIG(*) AS n, COALESCE({number}, 0) AS h"


def _folded(name: str) -> str:
    return f"CONVERT(varchar(20), {name}.n) + '/' + CONVERT(varchar(40), {name}.h)"


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows of every root key with an entry in the window."""
    return ChangeQuery(
        _declared("lo", "hi") + rows_of_root_keys(table, _entries(table, "> @lo", "<= @hi")),
        (window.lo or window.hi, window.hi),
    )


def root_keys_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """One column `root_key` (text): the root keys of `window_query`, also those without a row."""
    return ChangeQuery(
        _declared("lo", "hi") + distinct_root_keys(_entries(table, "> @lo", "<= @hi")),
        (window.lo or window.hi, window.hi),
    )


def authors_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """Who wrote the entries of the window: `account`, `machine`, `pacs_user`, `entries`, `first_at` and
    `last_at`; no value of a row.
    """
    journal = _journal(table)
    names = literals([each.table for each in journal.tables])
    return ChangeQuery(
        f"{_declared('lo', 'hi')}SELECT TOP ({_MOST_AUTHORS}) c.szSQLAccount AS account, "
        "c.szMachineName AS machine, CONVERT(varchar(12), c.lPacsUserID) AS pacs_user, "
        "COUNT_BIG(*) AS entries, CONVERT(varchar(23), MIN(c.dtChange), 121) AS first_at, "
        f"CONVERT(varchar(23), MAX(c.dtChange), 121) AS last_at\nFROM {_logged(journal)}\n"
        f"WHERE c.lChangeID > @lo AND c.lChangeID <= @hi AND t.szTableName IN ({names})\n"
        "GROUP BY c.szSQLAccount, c.szMachineName, c.lPacsUserID ORDER BY COUNT_BIG(*) DESC",
        (window.lo or window.hi, window.hi),
    )


def late(table: ResolvedTable) -> Late:
    """Rows of a root key with an entry after the bound."""
    keys = f"SELECT DISTINCT e.root_key FROM ({_entries(table, '> @hi')}) AS e"  # noqa: S608
    rows = f"{rows_of(table)}\nLEFT JOIN ({keys}) AS late ON late.root_key = s.[_root_key]"
    return Late(_declared("hi"), rows, "late.root_key IS NOT NULL")


def _declared(*names: str) -> str:
    return "".join(
        f"DECLARE @{name} int = CONVERT(int, LEFT(CONVERT(varchar(60), ?), 10));\n" for name in names
    )


def _entries(table: ResolvedTable, *bounds: str) -> str:
    """One column `root_key`: the root keys that the entries within the bounds lead to."""
    journal = _journal(table)
    where = " AND ".join(f"c.lChangeID {bound}" for bound in bounds)
    keys, columns = _at(journal, "change_log_keys"), _at(journal, "pacs_columns")
    parts = []
    for each in journal.tables:
        entries = (
            f"FROM {_logged(journal)} JOIN {keys} AS k ON k.lChangeID = c.lChangeID "
            f"JOIN {columns} AS p ON p.iColumnID = k.iColumnID "
            f"{each.via}WHERE {where} AND t.szTableName = {literals([each.table])} "
            f"AND p.szColumnName = {literals([each.key])}"
        )
        parts.append(f"SELECT {each.root} AS root_key {entries}")
    return " UNION ALL ".join(parts)


def _logged(journal: Journal) -> str:
    """The entries as `c`, each with its table as `t`."""
    log, tables = _at(journal, "change_log"), _at(journal, "pacs_tables")
    return f"{log} AS c JOIN {tables} AS t ON t.iTableID = c.iTableID"


def _at(journal: Journal, table: str) -> str:
    return qualified(journal.schema, table)


def _journal(table: ResolvedTable | None) -> Journal:
    journal = table.selection.journal if table is not None and table.selection is not None else None
    if journal is None:
        raise ValueError("the entity has no journal")
    return journal


class ChangeLog:
    """The strategy over PACS's journal, for an entity of several tables."""

    name = NAME
    shows_deletes = False

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A joined entity whose tables all have their triggers, and whose columns are all journalled."""
        journal = table.selection.journal if table.selection is not None else None
        if table.selection is None or journal is None:
            return Support(None, "its profile knows no journal for it")
        for each in journal.tables:
            feed = facts.feed(self.name, journal.schema, each.table)
            if feed is None or not feed.is_on:
                return Support(None, "the source has no journal (change_log)")
            missing = sorted(name for name in each.columns if name.lower() not in feed.columns)
            lack = feed.lack or (f"it does not audit {', '.join(missing)}" if missing else None)
            if lack is not None:
                return Support(None, f"the journal does not show every change of {each.table}: {lack}")
        names = ", ".join(each.table for each in journal.tables)
        contents = ", ".join(probe.name for probe in journal.probes)
        return Support(
            replace(table, selection=replace(table.selection, probes=journal.probes)),
            f"properties with a journal entry of {names}, or changed in {contents} (contents compared), are "
            "read again",
        )

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next window of entries."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """A journal that was emptied, cut or restored, or that is switched off somewhere."""
        if bounds["behind"] == 1:
            return BACK
        if bounds["cut"] == 1:
            return CUT
        if bounds["rests"] == 1:
            return RESTS
        off = [f"{bounds[name]} {name}" for name in ("machines", "tables") if bounds[name]]
        return f"the journal is switched off for {' and '.join(off)}: every row is compared" if off else None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of every root key with an entry in the window."""
        return window_query(table, window)

    def root_keys(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The root keys of `select`."""
        return root_keys_query(table, window)

    def authors(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """Who wrote the window's entries."""
        return authors_query(table, window)

    def position(self, table: PolledTable) -> str:
        """The journal's last number, and how many of the last numbers have an entry: a late one moves it too.

        What has no trigger is seen by the poll's sweep.
        """
        log = qualified(table.schema, "change_log")
        last = f"(SELECT MAX(m.lChangeID) FROM {log} AS m)"  # noqa: S608
        return (
            "(SELECT CONVERT(varchar(12), MAX(c.lChangeID)) + '/' + CONVERT(varchar(12), COUNT_BIG(*)) "  # noqa: S608
            f"FROM {log} AS c WHERE c.lChangeID > {last} - {_POLLED})"
        )

    def late(self, table: ResolvedTable) -> Late:
        """Rows of a root key with an entry after the bound."""
        return late(table)
