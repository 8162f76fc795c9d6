"""PACS's own journal at the source -> which tables and columns it audits, as one feed per table.

Triggers write the journal, so a table without all three shows no change; and they write only the columns that
`chg_log_columns` marks (domain.md C3).
"""

from __future__ import annotations

from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import TableFeed
from airflow_provider_pacs.sync.source.port import SourceReader

STRATEGY = "change_log"
_ENTRIES = """SELECT TOP (1) c.lChangeID AS number FROM dbo.change_log AS c
LEFT JOIN dbo.change_log_keys AS k ON k.lChangeID = c.lChangeID
LEFT JOIN dbo.pacs_columns AS p ON p.iColumnID = k.iColumnID"""
_SWITCHES = """SELECT COUNT_BIG(*) AS number FROM dbo.chg_log_user AS u
FULL JOIN dbo.pacs_trigger_enable AS e ON e.szTableName = u.machine"""
_TABLES = "SELECT t.szTableName AS name FROM dbo.pacs_tables AS t"
_AUDITED = """SELECT c.chg_log_tables AS table_name, c.chg_log_columns AS name FROM dbo.chg_log_columns AS c
WHERE c.chg_log_audit = 1"""
_TRIGGERS = """SELECT t.name AS table_name, e.type_desc AS event FROM sys.triggers AS g
JOIN sys.trigger_events AS e ON e.object_id = g.object_id
JOIN sys.tables AS t ON t.object_id = g.parent_id WHERE g.is_disabled = 0"""
_EVENTS = ("INSERT", "UPDATE", "DELETE")


def read_journal(reader: SourceReader, schema: str) -> tuple[TableFeed, ...]:
    """A feed for each table that the journal knows; none where there is no journal, or it may not be read.

    Raises:
        RetryableError: the connection itself failed.
    """
    if optional_query(reader, _ENTRIES) is None or optional_query(reader, _SWITCHES) is None:
        return ()
    tables, audited = optional_query(reader, _TABLES), optional_query(reader, _AUDITED)
    if tables is None or audited is None:
        return ()
    triggers = optional_query(reader, _TRIGGERS) or []
    columns: dict[str, set[str]] = {}
    events: dict[str, set[str]] = {}
    for row in audited:
        columns.setdefault(row["table_name"].lower(), set()).add(row["name"].lower())
    for row in triggers:
        events.setdefault(row["table_name"].lower(), set()).add(row["event"])
    return tuple(
        _feed(schema, row["name"], columns.get(row["name"].lower(), set()), events.get(row["name"].lower()))
        for row in tables
    )


def _feed(schema: str, table: str, columns: set[str], events: set[str] | None) -> TableFeed:
    missing = [event for event in _EVENTS if event not in (events or ())]
    lack = f"it has no enabled trigger for {', '.join(missing)} that the login may see" if missing else None
    remedy = f"GRANT VIEW DEFINITION ON OBJECT::{schema}.{table} TO {{grantee}};" if missing else ""
    return TableFeed(STRATEGY, schema, table, lack, remedy, columns=frozenset(columns))
