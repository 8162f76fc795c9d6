"""The documented functions of Change Data Capture: ranges, times, masks, all and net changes."""

from __future__ import annotations

from typing import Any

from airflow_provider_pacs.sandbox.catalog.captures import LSN, change_table
from airflow_provider_pacs.sandbox.catalog.sqltypes import INT
from airflow_provider_pacs.sandbox.catalog.tables import Database, Source, Table, quoted, stored_name
from airflow_provider_pacs.sandbox.catalog.tracking import Capture
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import access
from airflow_provider_pacs.sandbox.tsql.scope import Typed
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

ALL, NET = "fn_cdc_get_all_changes_", "fn_cdc_get_net_changes_"
_RELATIONS = {
    "largest less than": ("<", "max"),
    "largest less than or equal": ("<=", "max"),
    "smallest greater than": (">", "min"),
    "smallest greater than or equal": (">=", "min"),
}


def _database(session: SessionState) -> Database:
    return session.catalog.databases[session.database.lower()]


def _mapping(session: SessionState) -> str:
    return stored_name(_database(session).name, "cdc", "lsn_time_mapping")


def scalar(session: SessionState, name: str, args: list[Any]) -> Typed:
    """A function of LSNs and times, with known arguments.

    Raises:
        SqlError: 208 where the database has no CDC, 313 with too few arguments.
    """
    if not _database(session).cdc and name not in ("FN_CDC_INCREMENT_LSN", "FN_CDC_DECREMENT_LSN"):
        raise SqlError(208, "Invalid object name 'cdc.lsn_time_mapping'.")
    if name in ("FN_CDC_INCREMENT_LSN", "FN_CDC_DECREMENT_LSN"):
        step = 1 if "INCREMENT" in name else -1
        return _lsn(None if args[0] is None else (int.from_bytes(args[0], "big") + step).to_bytes(10, "big"))
    if name == "FN_CDC_GET_MAX_LSN":
        return _lsn(_one(session, f"SELECT max(start_lsn) FROM {_mapping(session)}", []))
    if name == "FN_CDC_GET_MIN_LSN":
        return _lsn(_min_lsn(session, str(args[0])))
    if name == "FN_CDC_GET_COLUMN_ORDINAL":
        number = ordinal(session, str(args[0]), str(args[1]))
        return Typed("CAST(NULL AS INTEGER)" if number is None else str(number), INT, number is None, number)
    relation, pick = _RELATIONS.get(str(args[0]).lower(), ("", ""))
    if not relation or args[1] is None:
        return _lsn(None)
    sql = f"SELECT {pick}(start_lsn) FROM {_mapping(session)} WHERE tran_end_time {relation} ?"
    return _lsn(_one(session, sql, [args[1]]))


def _lsn(value: bytes | None) -> Typed:
    if value is None:
        return Typed("CAST(NULL AS BLOB)", LSN, True, None)
    return Typed(f"unhex('{bytes(value).hex()}')", LSN, False, bytes(value))


def _one(session: SessionState, sql: str, params: list[Any]) -> Any:
    ((value,),) = session.rows(sql, params)
    return value


def _capture(session: SessionState, name: str) -> Capture | None:
    return _database(session).tracking.captures.get(name.lower())


def _source(session: SessionState, capture: Capture) -> Table:
    return next(t for t in session.catalog.tables(session.database) if t.object_id == capture.source)


def _may_read(session: SessionState, capture: Capture) -> bool:
    """The gating role, and SELECT on every captured column."""
    if session.login.admin:
        return True
    table = _source(session, capture)
    return bool(capture.role is None or access.in_role(session, capture.role)) and all(
        access.may_column(session, "SELECT", table, table.column(name)) for name in capture.columns
    )


def _min_lsn(session: SessionState, name: str) -> bytes:
    """Zero for an unknown instance, or one that the login may not read."""
    capture = _capture(session, name)
    if capture is None or not _may_read(session, capture):
        return bytes(10)
    tables = stored_name(_database(session).name, "cdc", "change_tables")
    return bytes(
        _one(session, f"SELECT max(start_lsn) FROM {tables} WHERE capture_instance = ?", [capture.name])
    )


def ordinal(session: SessionState, name: str, column: str) -> int | None:
    """The place of a captured column."""
    capture = _capture(session, name)
    names = [c.lower() for c in capture.columns] if capture is not None else []
    return names.index(column.lower()) + 1 if column.lower() in names else None


def table_function(session: SessionState, name: str, args: list[Any]) -> Source | None:
    """`cdc.fn_cdc_get_all_changes_<instance>` and its net sibling; None for an unknown instance.

    Raises:
        SqlError: 313 for a range outside of what the instance holds, 229 without the right.
    """
    kind = ALL if name.startswith(ALL) else NET
    capture = _capture(session, name.removeprefix(kind))
    if capture is None or (kind == NET and not capture.net_changes):
        return None
    if not _may_read(session, capture):
        raise SqlError(
            229,
            f"The SELECT permission was denied on the object '{kind}{capture.name}', database "
            f"'{session.database}', schema 'cdc'.",
            severity=14,
            state=5,
        )
    low, high, rows = (*args, None, None, None)[:3]
    top = _one(session, f"SELECT max(start_lsn) FROM {_mapping(session)}", [])
    filters = {"all", "all update old"} if kind == ALL else {"all", "all with mask", "all with merge"}
    valid = low is not None and high is not None and top is not None and str(rows).lower() in filters
    if not valid or not _min_lsn(session, capture.name) <= low <= high <= bytes(top):
        raise SqlError(
            313,
            f"An insufficient number of arguments were supplied for the procedure or function cdc.{kind} ... .",
        )
    source = _source(session, capture)
    table = change_table(source, capture)
    inside = f"\"__$start_lsn\" >= unhex('{low.hex()}') AND \"__$start_lsn\" <= unhex('{high.hex()}')"
    if kind == NET:
        return _net(source, capture, table, inside, str(rows).lower())
    columns = tuple(c for c in table.columns if c.name not in ("__$end_lsn", "__$command_id"))
    old = "" if str(rows).lower() == "all update old" else ' AND "__$operation" <> 3'
    listed = ", ".join(quoted(c.name) for c in columns)
    return Source(f"(SELECT {listed} FROM {table.stored} WHERE {inside}{old})", columns, None, name)


def _net(source: Table, capture: Capture, table: Table, inside: str, rows: str) -> Source:
    """One row for each key: what it was before the range against what it is after it."""
    keys = ", ".join(quoted(c) for c in source.primary_key)
    columns = tuple(c for c in table.columns if c.name not in ("__$end_lsn", "__$command_id", "__$seqval"))
    order = '"__$start_lsn", "__$seqval", "__$operation"'
    operation = (
        'CASE WHEN __first = 2 THEN 2 WHEN "__$operation" = 1 THEN 1 ELSE '
        + ("5" if rows == "all with merge" else "4")
        + " END"
    )
    listed = ", ".join(
        operation
        if c.name == "__$operation"
        else "CAST(NULL AS BLOB)"
        if c.name == "__$update_mask" and rows == "all"
        else quoted(c.name)
        for c in columns
    )
    sql = (
        f'(SELECT {listed} FROM (SELECT *, first_value("__$operation") OVER (PARTITION BY {keys} ORDER BY {order}) AS '
        f'__first, row_number() OVER (PARTITION BY {keys} ORDER BY "__$start_lsn" DESC, "__$seqval" DESC, '
        f'"__$operation" DESC) AS __back FROM {table.stored} WHERE {inside}) WHERE __back = 1 AND NOT (__first = 2 AND '
        '"__$operation" = 1))'
    )
    return Source(sql, columns, None, f"{NET}{capture.name}")


def time_text(session: SessionState, lsn: str) -> tuple[str, SqlType]:
    """DuckDB text of sys.fn_cdc_map_lsn_to_time."""
    return (
        f"(SELECT max(m.tran_end_time) FROM {_mapping(session)} AS m WHERE m.start_lsn = {lsn})",
        SqlType("datetime"),
    )
