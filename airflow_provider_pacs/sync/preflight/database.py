"""The source's database -> findings: which server, compatibility level, snapshots, change feeds, whose database it is, and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_pacs.sync.changes.ordered import clock_query
from airflow_provider_pacs.sync.errors import ConfigError
from airflow_provider_pacs.sync.preflight.report import Finding, State
from airflow_provider_pacs.sync.preflight.visit import Visit, told
from airflow_provider_pacs.sync.source.catalog import optional_query
from airflow_provider_pacs.sync.source.identity import check_identity, read_identity

_VERSION = (
    """SELECT CONVERT(varchar(128), SERVERPROPERTY('ProductVersion')) AS version, CONVERT(varchar(128), SERVERPROPERTY('Edition')) AS edition"""
)
_STATE = """SELECT d.compatibility_level AS level, d.snapshot_isolation_state_desc AS snapshot, d.is_read_committed_snapshot_on AS rcsi,
       d.is_cdc_enabled AS cdc, d.is_read_only AS read_only
FROM sys.databases AS d WHERE d.database_id = DB_ID()"""
_TRACKING = "SELECT COUNT_BIG(*) AS n FROM sys.change_tracking_databases AS t WHERE t.database_id = DB_ID()"
OLDEST_SERVER, OLDEST_LEVEL = 11, 110
"""SQL Server 2012."""
SKEW_SECONDS = 120


def look_at_database(visit: Visit) -> Iterator[Finding]:
    """Version, compatibility level, isolation, change feeds, identity."""
    yield from _version(visit)
    rows = optional_query(visit.source, _STATE)
    if not rows:
        text = "The login may not see the database's own settings (compatibility level, snapshots, change feeds)."
        yield Finding("database.settings", "database", "unknown", text, f"GRANT VIEW DEFINITION TO {visit.grantee}; in the database (optional)")
    else:
        yield from _settings(visit, rows[0])
    yield from _identity(visit)


def _version(visit: Visit) -> Iterator[Finding]:
    row = (optional_query(visit.source, _VERSION) or [{"version": None, "edition": None}])[0]
    if row["version"] is None:
        yield Finding("database.version", "database", "unknown", "The server does not tell its version.")
        return
    old = str(row["version"]).split(".")[0].isdecimal() and int(str(row["version"]).split(".")[0]) < OLDEST_SERVER
    remedy = "SQL Server 2012 or later is needed." if old else ""
    yield Finding(
        "database.version", "database", "fail" if old else "ok", f"SQL Server {row['version']}, {row['edition'] or 'edition unknown'}.", remedy
    )


def _settings(visit: Visit, row: dict[str, Any]) -> Iterator[Finding]:
    low = row["level"] is not None and int(row["level"]) < OLDEST_LEVEL
    remedy = f"Below {OLDEST_LEVEL} nothing was ever tried: watch the first full run, or ask for a higher level." if low else ""
    yield Finding("database.level", "database", "warn" if low else "ok", f"Compatibility level {row['level']}.", remedy)
    wanted, allowed = visit.source.facts().isolation_level == "SNAPSHOT", str(row["snapshot"]).upper() == "ON"
    rcsi = ", READ COMMITTED reads row versions" if row["rcsi"] else ""
    if wanted and not allowed:
        remedy = "Have it allowed (ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON), or drop isolation_level from the connection."
        text = "The connection asks for SNAPSHOT isolation, which the database does not allow (error 3952)."
        yield Finding("database.snapshot", "database", "fail", text, remedy)
    else:
        yield Finding("database.snapshot", "database", "ok", f"SNAPSHOT isolation is {'allowed' if allowed else 'not allowed'}{rcsi}.")
    yield Finding("database.cdc", "database", "ok", f"Change Data Capture is {'on' if row['cdc'] else 'off'}.")
    tracking = optional_query(visit.source, _TRACKING)
    if tracking is None:
        text, grant = "The login may not see whether Change Tracking is on.", f"GRANT VIEW DEFINITION TO {visit.grantee}; in the database (optional)"
        yield Finding("database.change_tracking", "database", "unknown", text, grant)
    else:
        yield Finding("database.change_tracking", "database", "ok", f"Change Tracking is {'on' if tracking[0]['n'] else 'off'}.")
    if row["read_only"]:
        yield Finding("database.read_only", "database", "ok", "The database itself is read-only (a replica or a restored copy).")


def _identity(visit: Visit) -> Iterator[Finding]:
    journal = visit.journal()
    if journal is None:
        return
    found = read_identity(visit.source)
    accept = f"pacs check {visit.config.county} --accept-source"
    try:
        restored = check_identity(visit.config.county, journal.source_identity(visit.config.fips), found)
    except ConfigError as error:
        yield Finding("database.identity", "database", "fail", told(error), error.remedy)
        return
    state: State = "warn" if restored else "ok"
    text = f"The same database as before: {found['db']} on {found['server']}." if not restored else f"{found['db']} was restored since the last run."
    yield Finding(
        "database.identity", "database", state, text, f"The next run reads everything and compares; {accept} says so now." if restored else ""
    )


def look_at_clock(visit: Visit) -> Iterator[Finding]:
    """The source's clock beside ours, and its time zone beside the county's."""
    row = visit.source.query(clock_query(visit.config.sync.clock).sql)[0]
    visit.source_now = str(row["now"])
    stamp, offset = datetime.fromisoformat(visit.source_now[:26]), int(row["tz_offset_min"] or 0)
    ahead = offset if visit.config.sync.clock == "local" else 0
    skew = (stamp - visit.now.replace(tzinfo=None)).total_seconds() - ahead * 60
    far = abs(skew) > SKEW_SECONDS
    text = f"The source's clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} ours." if far else "The source's clock agrees with ours."
    remedy = "Set both machines by NTP. Runs go by the source's clock alone, so only what people read is off." if far else ""
    yield Finding("clock.skew", "clock", "warn" if far else "ok", text, remedy)
    zone = visit.config.timezone
    ours = visit.now.astimezone(ZoneInfo(zone)).utcoffset()
    minutes = int(ours.total_seconds() // 60) if ours is not None else 0
    if minutes == offset:
        yield Finding("clock.zone", "clock", "ok", f"The server's time zone is the county's: {zone}, {_offset(offset)}.")
    elif visit.config.sync.clock == "utc":
        yield Finding("clock.zone", "clock", "ok", f"The server is at {_offset(offset)}, the county at {_offset(minutes)}; its stamps are UTC.")
    else:
        text = f"The server's clock is at {_offset(offset)}, but {zone} is at {_offset(minutes)} now."
        yield Finding("clock.zone", "clock", "warn", text, "Correct `timezone` in the county's file, or set sync.clock: utc where stamps are UTC.")


def _offset(minutes: int) -> str:
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
