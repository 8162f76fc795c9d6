"""The feeds that a source keeps of its tables' changes -> what each table offers to the strategies that read
one: tried, never assumed (case D16).
"""

from __future__ import annotations

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import cdc, change_log, change_tracking
from airflow_provider_pacs.sync.schema.captures import read_captures
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import SourceFeatures, TableFeed
from airflow_provider_pacs.sync.schema.journal import read_journal
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from airflow_provider_pacs.sync.source.port import SourceReader

_PRIMARY_KEY = """SELECT c.name AS name FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(?) AND i.is_primary_key = 1 AND ic.key_ordinal > 0
ORDER BY ic.key_ordinal"""
_TRACKED = """SELECT CONVERT(varchar(20), CHANGE_TRACKING_CURRENT_VERSION()) AS version,
  CONVERT(varchar(20), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID(?))) AS smallest,
  HAS_PERMS_BY_NAME(?, 'OBJECT', 'VIEW CHANGE TRACKING') AS allowed"""


def places_of(table: ResolvedTable) -> tuple[tuple[str, str], ...]:
    """(schema, table) of the tables whose feeds an entity could be read by."""
    if table.selection is None:
        return ((table.map.schema, table.map.table),)
    return tuple((track.schema, track.table) for track in table.selection.tracks)


class FeedTrial:
    """Tries the feeds of one source, each table once.

    Args:
        config: the county.
        source: an open reader.
        features: what the source's catalog says of its feeds.
        writable: False on a readable secondary.
    """

    def __init__(
        self, config: CountyConfig, source: SourceReader, features: SourceFeatures, *, writable: bool
    ) -> None:
        self._config, self._source, self._features, self._writable = config, source, features, writable
        self._tried: dict[tuple[str, str], TableFeed] = {}
        self._journal: dict[str, tuple[TableFeed, ...]] = {}

    def feeds(self, table: ResolvedTable) -> tuple[TableFeed, ...]:
        """What an entity's tables offer."""
        tracked = [self._tracked(schema, name) for schema, name in places_of(table)]
        if table.selection is None:
            return (*tracked, self._captured(table.map.schema, table.map.table))
        return (*tracked, *self._journalled(table))

    def _captured(self, schema: str, table: str) -> TableFeed:
        on = self._features.of(schema, table).cdc
        if not on:
            unknown = "off" if on is False else "not known to be on"
            lack = f"Change Data Capture is {unknown} for {schema}.{table}"
            return TableFeed(cdc.NAME, schema, table, lack, is_on=on)
        minutes = self._config.sync.capture_lag_minutes
        captures = read_captures(self._source, qualified(schema, table), lag_minutes=minutes)
        why = captures.lack or f"off for {schema}.{table}"
        return TableFeed(
            cdc.NAME,
            schema,
            table,
            None if captures.instances else f"Change Data Capture is {why}",
            captures.remedy,
            is_on=bool(captures.instances or captures.lack),
            instances=captures.instances,
            passing=captures.passing,
        )

    def _journalled(self, table: ResolvedTable) -> tuple[TableFeed, ...]:
        """PACS's journal is looked at only where nothing better may show an entity's changes."""
        journal = table.selection.journal if table.selection is not None else None
        named = self._config.tables.get(table.map.entity)
        pinned = named is not None and named.mode == change_log.NAME
        if journal is None or (table.has_rowversion and self._writable and not pinned):
            return ()
        if journal.schema not in self._journal:
            self._journal[journal.schema] = read_journal(self._source, journal.schema)
        names = {each.table.lower() for each in journal.tables}
        return tuple(feed for feed in self._journal[journal.schema] if feed.table.lower() in names)

    def _tracked(self, schema: str, table: str) -> TableFeed:
        place = (schema.lower(), table.lower())
        if place not in self._tried:
            self._tried[place] = self._try_tracking(schema, table)
        return self._tried[place]

    def _try_tracking(self, schema: str, table: str) -> TableFeed:
        name, quoted = f"{schema}.{table}", qualified(schema, table)
        feed = TableFeed(change_tracking.NAME, schema, table)
        on = self._features.of(schema, table).change_tracking
        if on is False:
            return _without(feed, f"Change Tracking is off for {name}", is_on=False)
        if not self._writable:
            return _without(
                feed,
                "Change Tracking can't be queried on a readable secondary (error 22117)",
                "Connect to the primary: take application_intent=ReadOnly from the connection.",
            )
        tried = (optional_query(self._source, _TRACKED, (quoted, quoted)) or [{}])[0]
        if tried.get("version") is None:
            return _without(feed, f"the server tells no version of Change Tracking for {name}", is_on=on)
        if tried["smallest"] is None and tried["allowed"] == 0:
            return _without(
                feed,
                f"the login may not see the tracked changes of {name}",
                f"GRANT VIEW CHANGE TRACKING ON OBJECT::{quoted} TO {{grantee}};",
            )
        if tried["smallest"] is None:
            return _without(feed, f"Change Tracking is off for {name}", is_on=False)
        key = tuple(str(row["name"]) for row in optional_query(self._source, _PRIMARY_KEY, (quoted,)) or ())
        if not key:
            return _without(
                feed,
                f"the primary key of {name} can't be seen",
                f"GRANT VIEW DEFINITION ON OBJECT::{quoted} TO {{grantee}};",
            )
        query = change_tracking.answer_query(quoted)
        if not optional_query(self._source, query.sql, query.params):
            return _without(
                feed,
                f"the server does not answer CHANGETABLE for {name}, or not this login",
                f"GRANT SELECT ON OBJECT::{quoted} ({', '.join(map(quote, key))}) TO {{grantee}};",
            )
        return TableFeed(feed.strategy, schema, table, key=key)


def _without(feed: TableFeed, lack: str, remedy: str = "", *, is_on: bool | None = True) -> TableFeed:
    return TableFeed(feed.strategy, feed.schema, feed.table, lack, remedy, is_on=is_on)
