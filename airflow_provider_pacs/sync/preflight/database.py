"""The source's database -> findings: which server, compatibility level, snapshots, change feeds, whose
database it is, and its clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_provider_pacs.sync.incremental.cdc import NAME as CDC
from airflow_provider_pacs.sync.incremental.last_modified import clock_query
from airflow_provider_pacs.sync.preflight.context import PreflightContext, in_one_line
from airflow_provider_pacs.sync.preflight.report import Finding, State, in_words
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from airflow_provider_pacs.sync.schema.captures import START, read_progress
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import missing_features
from airflow_provider_pacs.sync.schema.identity import check_identity, read_identity
from airflow_provider_pacs.sync.schema.stamping import check_stamping_clock

_VERSION = """SELECT CONVERT(varchar(128), SERVERPROPERTY('ProductVersion')) AS version, CONVERT(varchar(128),
  SERVERPROPERTY('Edition')) AS edition"""
_LEVEL = (
    "SELECT d.compatibility_level AS level, d.is_read_only AS read_only FROM sys.databases AS d WHERE "
    "d.database_id = DB_ID()"
)
OLDEST_SERVER, OLDEST_LEVEL = 11, 110
"""SQL Server 2012."""
SKEW_SECONDS = 120


def check_database(context: PreflightContext) -> Iterator[Finding]:
    """Version, compatibility level, isolation, change feeds, identity."""
    yield from _version(context)
    yield from _level(context)
    yield from _snapshots(context)
    yield from _feeds(context)
    yield from _capture(context)
    yield from _missing(context)
    yield from _identity(context)


def _version(context: PreflightContext) -> Iterator[Finding]:
    row = (optional_query(context.source, _VERSION) or [{"version": None, "edition": None}])[0]
    if row["version"] is None:
        yield Finding("database.version", "database", "unknown", "The server does not tell its version.")
        return
    old = (
        str(row["version"]).split(".")[0].isdecimal()
        and int(str(row["version"]).split(".")[0]) < OLDEST_SERVER
    )
    remedy = "SQL Server 2012 or later is needed." if old else ""
    yield Finding(
        "database.version",
        "database",
        "fail" if old else "ok",
        f"SQL Server {row['version']}, {row['edition'] or 'edition unknown'}.",
        remedy,
    )


def _level(context: PreflightContext) -> Iterator[Finding]:
    row = (optional_query(context.source, _LEVEL) or [{"level": None, "read_only": None}])[0]
    if row["level"] is None:
        yield Finding(
            "database.level",
            "database",
            "unknown",
            "The login may not see the database's compatibility level.",
            _settings_grant(context),
        )
        return
    low = int(row["level"]) < OLDEST_LEVEL
    remedy = (
        f"Below {OLDEST_LEVEL} nothing was ever tried: watch the first full run, or ask for a higher level."
        if low
        else ""
    )
    yield Finding(
        "database.level", "database", "warn" if low else "ok", f"Compatibility level {row['level']}.", remedy
    )
    if row["read_only"]:
        yield Finding(
            "database.read_only",
            "database",
            "ok",
            "The database itself is read-only (a replica or a restored copy).",
        )


def _settings_grant(context: PreflightContext) -> str:
    return f"GRANT VIEW DEFINITION TO {context.grantee}; in the database (optional)"


def _snapshots(context: PreflightContext) -> Iterator[Finding]:
    features, wanted = context.features, context.source.facts().isolation_level == "SNAPSHOT"
    versions = ", READ COMMITTED reads row versions" if features.read_committed_snapshot else ""
    if features.snapshot_isolation is None:
        text = "The login may not see whether SNAPSHOT isolation is allowed."
        yield Finding("database.snapshot", "database", "unknown", text, _settings_grant(context))
    elif wanted and not features.snapshot_isolation:
        remedy = (
            "Have it allowed (ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON), or drop "
            "isolation_level "
            "from the connection."
        )
        text = "The connection asks for SNAPSHOT isolation, which the database does not allow (error 3952)."
        yield Finding("database.snapshot", "database", "fail", text, remedy)
    else:
        text = (
            f"SNAPSHOT isolation is {'allowed' if features.snapshot_isolation else 'not allowed'}{versions}."
        )
        yield Finding("database.snapshot", "database", "ok", text)


def _feeds(context: PreflightContext) -> Iterator[Finding]:
    """Change Tracking and Change Data Capture, of the database and of the mapped tables."""
    tables = [table for entity in context.entities for table in context.tables(entity)]
    for name, feed, on, which in (
        ("database.change_tracking", "Change Tracking", context.features.change_tracking, "change_tracking"),
        ("database.cdc", "Change Data Capture", context.features.cdc, "cdc"),
    ):
        if on is None:
            yield Finding(
                name,
                "database",
                "unknown",
                f"The login may not see whether {feed} is on.",
                _settings_grant(context),
            )
            continue
        of = {table.text: getattr(context.features.of(table.schema, table.name), which) for table in tables}
        tracked, unseen = (
            [table for table, on in of.items() if on],
            [table for table, on in of.items() if on is None],
        )
        kept = context.features.retention_minutes if which == "change_tracking" else None
        parts = [f"{feed} is {'on' if on else 'off'}"]
        parts += [f"for {in_words(tracked)}" if tracked else "for no mapped table"] * (on and not unseen)
        parts += [f"unknown for {in_words(unseen)}"] * bool(unseen) + [
            f"changes are kept {(kept or 0) / 60:,.0f} h"
        ] * bool(kept)
        text = f"{', '.join(parts)}."
        yield Finding(
            name, "database", "unknown" if unseen else "ok", text, _settings_grant(context) if unseen else ""
        )


def _capture(context: PreflightContext) -> Iterator[Finding]:
    """How far the capture process of Change Data Capture is: it stops without a word to any reader."""
    if not context.features.cdc:
        return
    progress = read_progress(context.source)
    if progress is None:
        yield Finding(
            "database.cdc.capture",
            "database",
            "unknown",
            "The login may not see how far the capture process is.",
            f"pacs grants {context.config.county} --cdc prints what it needs.",
        )
        return
    stalled = progress.stalled(context.config.sync.capture_lag_minutes)
    if stalled is not None:
        choices = [context.read_choice(entity) for entity in context.entities]
        feeds = [feed for choice in choices if isinstance(choice, ReadChoice) for feed in choice.feeds]
        reads = any(feed.strategy == CDC and feed.passing for feed in feeds)
        state: State = "fail" if reads else "warn"
        text = f"Change Data Capture is {stalled}."
        yield Finding("database.cdc.capture", "database", state, text, f"{START.capitalize()}.")
        return
    parts = [f"The capture process has read the log up to {progress.captured_up_to}"]
    parts += [f"its latency is {progress.latency} s"] if progress.latency is not None else []
    parts += [f"changes are kept since {progress.kept_since}"]
    yield Finding("database.cdc.capture", "database", "ok", f"{', '.join(parts)}.")


def _missing(context: PreflightContext) -> Iterator[Finding]:
    """What the server does not answer, and what a run does without it."""
    for feature in missing_features(context.source):
        yield Finding(
            f"database.without.{feature.name.removesuffix('()').removeprefix('sys.').lower()}",
            "database",
            "unknown",
            f"The server does not answer {feature.name}. {feature.consequence}",
            feature.remedy.replace("{grantee}", context.grantee),
        )


def _identity(context: PreflightContext) -> Iterator[Finding]:
    if isinstance(context.target, PacsError):
        return
    journal = context.journal()
    identity = read_identity(context.source)
    accept = f"pacs check {context.config.county} --accept-source"
    stored = journal.runs.source_identity(context.config.fips) if journal else None
    if not stored:
        text = f"Not seen before: {identity['db']} on {identity['server']}; the first run will remember it."
        yield Finding("database.identity", "database", "ok", text)
        return
    try:
        restored = check_identity(context.config.county, stored, identity)
    except ConfigError as error:
        yield Finding("database.identity", "database", "fail", in_one_line(error), error.remedy)
        return
    state: State = "warn" if restored else "ok"
    text = (
        f"The same database as before: {identity['db']} on {identity['server']}."
        if not restored
        else f"{identity['db']} was restored since the last run."
    )
    yield Finding(
        "database.identity",
        "database",
        state,
        text,
        f"The next run reads everything and compares; {accept} says so now." if restored else "",
    )


def check_clock(context: PreflightContext) -> Iterator[Finding]:
    """The source's clock beside ours, and its time zone beside the county's."""
    row = context.source.query(clock_query(context.config.sync.clock).sql)[0]
    stamp, offset = datetime.fromisoformat(str(row["now"])[:26]), int(row["tz_offset_min"] or 0)
    ahead_of_it = timedelta(minutes=context.config.sync.clock_offset_minutes or 0)
    context.source_now = (
        (stamp + ahead_of_it).isoformat(" ", "microseconds") if ahead_of_it else str(row["now"])
    )
    ahead = offset if context.config.sync.clock == "local" else 0
    skew = (stamp - context.now.replace(tzinfo=None)).total_seconds() - ahead * 60
    far = abs(skew) > SKEW_SECONDS
    text = (
        f"The source's clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} ours."
        if far
        else "The source's clock agrees with ours."
    )
    remedy = (
        "Set both machines by NTP. Runs go by the source's clock alone, so only what people read is off."
        if far
        else ""
    )
    yield Finding("clock.skew", "clock", "warn" if far else "ok", text, remedy)
    yield from _stamping(context, offset)
    zone = context.config.timezone
    ours = context.now.astimezone(ZoneInfo(zone)).utcoffset()
    minutes = int(ours.total_seconds() // 60) if ours is not None else 0
    if minutes == offset:
        yield Finding(
            "clock.zone", "clock", "ok", f"The server's time zone is the county's: {zone}, {_offset(offset)}."
        )
    elif context.config.sync.clock == "utc":
        yield Finding(
            "clock.zone",
            "clock",
            "ok",
            f"The server is at {_offset(offset)}, the county at {_offset(minutes)}; its stamps are UTC.",
        )
    else:
        text = f"The server's clock is at {_offset(offset)}, but {zone} is at {_offset(minutes)} now."
        yield Finding(
            "clock.zone",
            "clock",
            "warn",
            text,
            "Correct `timezone` in the county's file, or set sync.clock: utc where stamps are UTC.",
        )


def _stamping(context: PreflightContext, offset: int) -> Iterator[Finding]:
    """Whether the clock that stamps rows is the one that the county's file says, where the server's own
    record of its last writes can be seen.
    """
    sync = context.config.sync
    choices = [context.read_choice(entity) for entity in context.entities]
    tables = [choice.dated for choice in choices if isinstance(choice, ReadChoice)]
    behind = (offset if sync.clock == "utc" else 0) - (sync.clock_offset_minutes or 0)
    stamping = check_stamping_clock(context.source, tables, utc_minutes=behind)
    refusal = stamping.refusal(context.config.county)
    if refusal is not None:
        state: State = "fail" if sync.clock_offset_minutes is None else "warn"
        yield Finding("clock.stamps", "clock", state, in_one_line(refusal), refusal.remedy)
    elif stamping.text:
        text = f"Some stamps may be written by another clock than the server's: {stamping.text}."
        remedy = (
            "Ask the county which machine stamps rows; sync.clock_offset_minutes says how far it is ahead."
        )
        yield Finding("clock.stamps", "clock", "warn", text, remedy)
    elif any(sample.behind_written is not None for sample in stamping.stamps):
        text = "The newest stamps agree with the server's last writes."
        yield Finding("clock.stamps", "clock", "ok", text)


def _offset(minutes: int) -> str:
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
