"""Change Data Capture at the source -> the capture instances of a table, what keeps them from being read, and
whether the capture process keeps up.

The process reads the transaction log and fills the change tables. It stops without a word to any reader when
SQL Server Agent does, and then every range looks as if nothing had happened; so its last entry in
`cdc.lsn_time_mapping` is looked at, which an idle process renews about every five minutes
(correctness.md C3; tsql/10, 11).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.source.port import SourceReader

_INSTANCES = """SELECT ct.capture_instance AS instance, ct.role_name AS role, c.name AS name,
  c.is_computed AS computed, CASE WHEN cc.column_name IS NULL THEN 0 ELSE 1 END AS captured
FROM cdc.change_tables AS ct
JOIN sys.columns AS c ON c.object_id = ct.source_object_id
LEFT JOIN cdc.captured_columns AS cc ON cc.object_id = ct.object_id AND cc.column_id = c.column_id
WHERE ct.source_object_id = OBJECT_ID(?) AND COALESCE(ct.has_drop_pending, 0) = 0
ORDER BY ct.create_date, ct.capture_instance, c.column_id"""
"""By number, not by name: a column that was dropped and made again is not captured any more."""
_READABLE = """DECLARE @instance nvarchar(128) = CONVERT(nvarchar(128), ?);
DECLARE @min binary(10) = sys.fn_cdc_get_min_lsn(@instance);
DECLARE @max binary(10) = sys.fn_cdc_get_max_lsn();
SELECT CASE WHEN @min IS NULL OR @min = 0x00000000000000000000 THEN 0 ELSE 1 END AS readable,
  CASE WHEN @max IS NULL OR @max < @min THEN 0 ELSE 1 END AS begun"""
"""The smallest LSN is zero, and no error, for a login outside of the instance's gating role."""
_PROGRESS = """SELECT CONVERT(varchar(23), MAX(m.tran_end_time), 121) AS captured_up_to,
  DATEDIFF(SECOND, MAX(m.tran_end_time), SYSDATETIME()) AS seconds,
  CONVERT(varchar(23), MIN(m.tran_end_time), 121) AS kept_since
FROM cdc.lsn_time_mapping AS m"""
_SCANS = """SELECT TOP (1) s.error_count AS errors, s.latency AS latency, s.empty_scan_count AS empty_scans
FROM sys.dm_cdc_log_scan_sessions AS s ORDER BY s.start_time DESC"""
_ERRORS = """SELECT TOP (1) e.error_number AS number, CONVERT(varchar(23), e.entry_time, 121) AS at
FROM sys.dm_cdc_errors AS e ORDER BY e.entry_time DESC"""
START = (
    "have SQL Server Agent and the capture job run (sys.sp_cdc_start_job @job_type = N'capture'), and look "
    "at sys.dm_cdc_errors"
)


@dataclass(frozen=True, slots=True)
class CaptureInstance:
    """One capture instance of a table: which of the table's columns its changes are captured by.

    Attributes:
        name: its name, which the functions that read it end with.
        uncaptured: columns in lower case whose update alone leaves no row; computed ones are not among them.
        computed: the table's computed columns in lower case: an instance holds NULL in their place.
    """

    name: str
    uncaptured: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """What it would have to capture so that no change of these columns is passed by.

        A computed column changes with any column of the row.
        """
        wanted = {column.lower() for column in columns}
        if wanted & set(self.computed):
            return self.uncaptured
        return tuple(name for name in self.uncaptured if name in wanted)


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """How far the capture process has read the log.

    Attributes:
        captured_up_to: the source's local time of its last entry, as text; None where there is none.
        seconds: that entry's age by the server's clock; None where there is none.
        errors: errors of its last scan; None where the login may not see them.
        error_number: of the last error that the server remembers; None where there is none or it is unknown.
        latency: seconds between a commit and its capture in the last scan; None where it is unknown.
        kept_since: the source's local time of its first entry, as text: what the cleanup job has left.
    """

    captured_up_to: str | None
    seconds: int | None
    errors: int | None = None
    error_number: int | None = None
    latency: int | None = None
    kept_since: str | None = None

    def stalled(self, minutes: int) -> str | None:
        """Why nothing may be concluded from an empty range, what follows "Change Data Capture is"; None where
        the process keeps up.

        Args:
            minutes: how old its last entry may be.
        """
        because = f" with error {self.error_number}" if self.error_number is not None else ""
        if self.seconds is None:
            return f"on, but its capture process has not captured anything yet{because}"
        if self.seconds > minutes * 60:
            last = self.captured_up_to
            return f"on, but its capture process stands still{because}: the last entry is of {last}"
        return None


@dataclass(frozen=True, slots=True)
class Captures:
    """What Change Data Capture offers for one table.

    Attributes:
        instances: those that the login may read, oldest first; a table has two at most.
        lack: why none can be read, what follows "Change Data Capture is"; empty where one can, or it is off.
        remedy: what to do about `lack`.
        passing: `lack` may pass by itself, such as a capture process that lags.
    """

    instances: tuple[CaptureInstance, ...] = ()
    lack: str = ""
    remedy: str = ""
    passing: bool = False


def read_captures(reader: SourceReader, table: str, *, lag_minutes: int) -> Captures:
    """The capture instances of a table for which CDC is on, each of them tried.

    Args:
        reader: an open reader.
        table: quoted, with its schema.
        lag_minutes: how old the capture process's last entry may be.

    Raises:
        RetryableError: the connection itself failed.
    """
    rows = optional_query(reader, _INSTANCES, (table,))
    progress = read_progress(reader) if rows else None
    if rows is None or (rows and progress is None):
        return Captures((), "on, but the login may not read schema cdc", _grants())
    instances = _instances(rows)
    if not instances:
        return Captures()
    readable, lack = [], Captures()
    for instance in instances:
        tried = (optional_query(reader, _READABLE, (instance.name,)) or [{"readable": 0, "begun": 0}])[0]
        if not tried["readable"]:
            role = next((row["role"] for row in rows if row["instance"] == instance.name and row["role"]), "")
            member = f" be a member of role {role} and" if role else ""
            lack = Captures(
                (),
                f"on, but the login may not read capture instance {instance.name}",
                f"have the login{member} hold SELECT on every column that the instance captures",
            )
        elif not tried["begun"]:
            lack = _not_begun(instance)
        else:
            readable.append(instance)
    if not readable:
        return lack
    stalled = progress.stalled(lag_minutes) if progress is not None else None
    if stalled is not None:
        return Captures((), stalled, START, passing=True)
    return Captures(tuple(readable))


def _not_begun(instance: CaptureInstance) -> Captures:
    return Captures(
        (), f"on, but capture has not reached the begin of instance {instance.name}", START, passing=True
    )


def _grants() -> str:
    return (
        "GRANT SELECT on cdc.change_tables, cdc.captured_columns and cdc.lsn_time_mapping to the login: "
        "`pacs grants COUNTY --cdc`"
    )


def _instances(rows: list[dict[str, object]]) -> tuple[CaptureInstance, ...]:
    columns: dict[str, tuple[list[str], list[str]]] = {}
    for row in rows:
        uncaptured, computed = columns.setdefault(str(row["instance"]), ([], []))
        name = str(row["name"]).lower()
        if row["computed"]:
            computed.append(name)
        elif not row["captured"]:
            uncaptured.append(name)
    return tuple(CaptureInstance(name, tuple(un), tuple(of)) for name, (un, of) in columns.items())


def read_progress(reader: SourceReader) -> CaptureProgress | None:
    """How far the capture process is; None where the login may not see even that.

    Raises:
        RetryableError: the connection itself failed.
    """
    rows = optional_query(reader, _PROGRESS)
    if not rows:
        return None
    scan = (optional_query(reader, _SCANS) or [{}])[0]
    failed = (optional_query(reader, _ERRORS) or [{}])[0] if scan.get("errors") else {}
    seconds = rows[0]["seconds"]
    return CaptureProgress(
        rows[0]["captured_up_to"],
        None if seconds is None else int(seconds),
        _number(scan.get("errors")),
        _number(failed.get("number")),
        _number(scan.get("latency")),
        rows[0]["kept_since"],
    )


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
