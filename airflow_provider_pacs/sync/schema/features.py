"""The source's catalog -> which change feeds and snapshots the database and its tables offer.

What a view denies or lacks is unknown, never off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_pacs.sync.schema.captures import CaptureInstance
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.source.port import SourceReader

_DATABASE = """SELECT d.is_cdc_enabled AS cdc, d.snapshot_isolation_state AS snapshots,
  d.is_read_committed_snapshot_on AS committed
FROM sys.databases AS d WHERE d.database_id = DB_ID()"""
_TRACKING = """SELECT c.is_auto_cleanup_on AS cleanup, c.retention_period AS period, c.retention_period_units
  AS units
FROM sys.change_tracking_databases AS c WHERE c.database_id = DB_ID()"""
_TRACKED = """SELECT s.name AS schema_name, t.name AS table_name FROM sys.change_tracking_tables AS c
JOIN sys.tables AS t ON t.object_id = c.object_id JOIN sys.schemas AS s ON s.schema_id = t.schema_id"""
_CAPTURED = """SELECT s.name AS schema_name, t.name AS table_name FROM sys.tables AS t
JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.is_tracked_by_cdc = 1"""
_MINUTES = {1: 1, 2: 60, 3: 24 * 60}
"""Units of sys.change_tracking_databases: minutes, hours, days."""
_ON = 1


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """Feeds of one table; None where it is unknown."""

    change_tracking: bool | None = None
    cdc: bool | None = None

    @property
    def feeds(self) -> tuple[str, ...]:
        """The feeds that are on, in words."""
        named = (("Change Tracking", self.change_tracking), ("Change Data Capture", self.cdc))
        return tuple(name for name, on in named if on)


@dataclass(frozen=True, slots=True)
class SourceFeatures:
    """What a source database offers; None where it is unknown.

    Attributes:
        change_tracking: Change Tracking is on for the database.
        retention_minutes: how long it keeps changes; None also where it never cleans up.
        cdc: Change Data Capture is on for the database.
        snapshot_isolation: ALLOW_SNAPSHOT_ISOLATION is on.
        read_committed_snapshot: readers at READ COMMITTED see versions and wait for nobody.
        tracked: (schema, table) in lower case of each table with Change Tracking.
        captured: the same for Change Data Capture.
    """

    change_tracking: bool | None = None
    retention_minutes: int | None = None
    cdc: bool | None = None
    snapshot_isolation: bool | None = None
    read_committed_snapshot: bool | None = None
    tracked: frozenset[tuple[str, str]] | None = field(default=None)
    captured: frozenset[tuple[str, str]] | None = field(default=None)

    def of(self, schema: str, table: str) -> TableFeatures:
        """One table's feeds."""
        name = (schema.lower(), table.lower())
        return TableFeatures(
            _holds(self.change_tracking, self.tracked, name), _holds(self.cdc, self.captured, name)
        )


def read_features(reader: SourceReader) -> SourceFeatures:
    """Ask the catalog, four small questions.

    Raises:
        RetryableError: the connection itself failed.
    """
    database = (optional_query(reader, _DATABASE) or [{}])[0]
    tracking = optional_query(reader, _TRACKING)
    return SourceFeatures(
        change_tracking=None if tracking is None else bool(tracking),
        retention_minutes=_retention(tracking[0]) if tracking else None,
        cdc=_bit(database.get("cdc")),
        snapshot_isolation=None if database.get("snapshots") is None else int(database["snapshots"]) == _ON,
        read_committed_snapshot=_bit(database.get("committed")),
        tracked=_tables(optional_query(reader, _TRACKED)),
        captured=_tables(optional_query(reader, _CAPTURED)),
    )


@dataclass(frozen=True, slots=True)
class TableFeed:
    """What one table offers to one incremental strategy that reads a feed of the server, as tried.

    Attributes:
        strategy: the strategy's name.
        schema: the table's schema, unquoted.
        table: its name, unquoted.
        lack: why the strategy can't be used, in words that follow "but"; None where it can.
        remedy: what would help; `{grantee}` stands for the login.
        key: the columns by which the feed names a row: the table's primary key.
        columns: the columns in lower case whose changes PACS's journal holds.
        is_on: the feed is switched on for the table, whether or not it can be read; None where nobody knows.
        instances: the capture instances of Change Data Capture that can be read, oldest first.
        passing: `lack` may pass by itself, such as a capture process that lags.
    """

    strategy: str
    schema: str
    table: str
    lack: str | None = None
    remedy: str = ""
    key: tuple[str, ...] = ()
    is_on: bool | None = True
    columns: frozenset[str] = frozenset()
    instances: tuple[CaptureInstance, ...] = ()
    passing: bool = False


@dataclass(frozen=True, slots=True)
class MissingFeature:
    """Something that a server of this version usually answers and this one does not.

    Attributes:
        name: what was tried.
        consequence: what is done without it, one sentence.
        remedy: what would give it; empty where nothing would.
    """

    name: str
    consequence: str
    remedy: str = ""


_TRIED = (
    (
        "SELECT CONVERT(varchar(18), MIN_ACTIVE_ROWVERSION(), 1) AS answer",
        MissingFeature(
            "MIN_ACTIVE_ROWVERSION()",
            "No table is read by its rowversion: the next strategy that fits it is taken.",
            "SQL Server 2005 SP2 or later has it.",
        ),
    ),
    (
        "SELECT COUNT_BIG(*) AS answer FROM sys.dm_tran_database_transactions AS t",
        MissingFeature(
            "sys.dm_tran_database_transactions",
            "Open writers are not seen: rows that are committed late are found by the overlap alone.",
            "GRANT VIEW SERVER STATE TO {grantee}; (optional)",
        ),
    ),
    (
        "SELECT COUNT_BIG(*) AS answer FROM sys.fn_my_permissions(NULL, 'DATABASE') AS p",
        MissingFeature(
            "sys.fn_my_permissions",
            "What the login could do beyond reading is unknown.",
            "Compare the login's rights with what `pacs grants` prints.",
        ),
    ),
)


def missing_features(reader: SourceReader) -> tuple[MissingFeature, ...]:
    """What the source does not answer, though nothing in its version says so: each is tried, none is assumed.

    Raises:
        RetryableError: the connection itself failed.
    """
    answers = [(optional_query(reader, sql), feature) for sql, feature in _TRIED]
    return tuple(feature for rows, feature in answers if not rows or rows[0]["answer"] is None)


def _holds(
    database: bool | None, tables: frozenset[tuple[str, str]] | None, name: tuple[str, str]
) -> bool | None:
    return False if database is False else None if tables is None else name in tables


def _bit(value: object) -> bool | None:
    return None if value is None else bool(value)


def _tables(rows: list[dict[str, str]] | None) -> frozenset[tuple[str, str]] | None:
    return (
        None
        if rows is None
        else frozenset((row["schema_name"].lower(), row["table_name"].lower()) for row in rows)
    )


def _retention(row: Mapping[str, object]) -> int | None:
    period, unit = row["period"], _MINUTES.get(int(str(row["units"] or 0)))
    return int(str(period)) * unit if row["cleanup"] and period is not None and unit else None
