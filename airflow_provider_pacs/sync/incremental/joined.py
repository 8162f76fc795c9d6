"""The related family: a joined entity's watched tables -> the scopes that changed, and their rows
(docs/adr/0005-joined-entities.md).

A rowversion shows the scopes written from the cursor on and below `hi`, which is MIN_ACTIVE_ROWVERSION(); a
table without one is read in the few columns that count, and its contents are compared in the target.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window, rows_of, select_list
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.joined import CHANGED, ChangeProbe


def probes(shape: ResolvedTable) -> tuple[ChangeProbe, ...]:
    """What the entity probes; empty for a single table and for a joined entity without a rowversion."""
    return shape.selection.probes if shape.selection else ()


def window_query(shape: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows of every scope that a rowversion shows as written in the window, in one statement."""
    return ChangeQuery(
        f"{_declared('lo', 'hi')}SELECT {select_list(shape)} FROM {rows_of(shape)}\n"  # noqa: S608
        f"WHERE s.[_scope] IN (SELECT c.scope FROM ({_stamped(shape, '>= @lo', '< @hi')}) AS c)",
        (window.lo or window.hi, window.hi),
    )


def scopes_query(shape: ResolvedTable, window: Window) -> ChangeQuery:
    """One column `scope` (text): the scopes of `window_query`, also those that have no row left."""
    return ChangeQuery(
        f"{_declared('lo', 'hi')}SELECT DISTINCT CONVERT(varchar(20), c.scope) AS scope FROM "  # noqa: S608
        f"({_stamped(shape, '>= @lo', '< @hi')}) AS c",
        (window.lo or window.hi, window.hi),
    )


def compared(shape: ResolvedTable) -> tuple[tuple[str, ChangeQuery], ...]:
    """(watch, statement) of the tables whose contents are compared: `scope`, then the columns that count."""
    return tuple((watch.name, ChangeQuery(watch.sql)) for watch in probes(shape) if watch.stamp is None)


def late_flag_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """All rows, with `_late` = 1 for those of a scope written at `hi` or after."""
    return ChangeQuery(
        f"{_declared('hi')}SELECT {select_list(shape)}, CASE WHEN late.scope IS NULL THEN 0 ELSE 1 END AS "  # noqa: S608
        f"[_late] FROM {_with_late(shape)}",
        (hi,),
        complete=True,
    )


def count_since_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """One row: `n` rows, `late` of them of a scope written at `hi` or after."""
    return ChangeQuery(
        f"{_declared('hi')}SELECT COUNT_BIG(*) AS n, COUNT_BIG(late.scope) AS late FROM {_with_late(shape)}",  # noqa: S608
        (hi,),
    )


def _declared(*names: str) -> str:
    return "".join(f"DECLARE @{name} binary(8) = CONVERT(binary(8), ?, 1);\n" for name in names)


def _with_late(shape: ResolvedTable) -> str:
    late = f"SELECT DISTINCT c.scope FROM ({_stamped(shape, '>= @hi')}) AS c"  # noqa: S608
    return f"{rows_of(shape)}\nLEFT JOIN ({late}) AS late ON late.scope = s.[_scope]"


def _stamped(shape: ResolvedTable, *bounds: str) -> str:
    parts = []
    for watch in probes(shape):
        if watch.stamp is not None:
            parts.append(
                watch.sql.replace(CHANGED, " AND ".join(f"{watch.stamp} {bound}" for bound in bounds))
            )
    return " UNION ALL ".join(parts)
