"""Change Tracking: its ALTER statements, CHANGETABLE, the version functions, cleanup and TRUNCATE TABLE."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from airflow_provider_pacs.sandbox.catalog.change_tables import changes_of, kept
from airflow_provider_pacs.sandbox.catalog.principals import Securable
from airflow_provider_pacs.sandbox.catalog.sqltypes import BIGINT
from airflow_provider_pacs.sandbox.catalog.tables import Database, Source, Table, quoted
from airflow_provider_pacs.sandbox.catalog.tracking import UNITS
from airflow_provider_pacs.sandbox.model import Column, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import access
from airflow_provider_pacs.sandbox.tsql.batch import Statement
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dialect import VERSION, untranslated
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.row_changes import (
    AFTER,
    BEFORE,
    DELETED,
    INSERTED,
    prepare,
    prepare_table,
)
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_NAME = r"(?:\[(?:[^\]]|\]\])*\]|\w+)"
_NAMES = rf"({_NAME}(?:\s*\.\s*{_NAME})*)"
_DATABASE = re.compile(
    rf"ALTER\s+DATABASE\s+({_NAME})\s+SET\s+CHANGE_TRACKING\s*(?:=\s*(ON|OFF))?\s*(?:\(([^()]*)\))?\s*;?",
    re.IGNORECASE,
)
_TABLE = re.compile(
    rf"ALTER\s+TABLE\s+{_NAMES}\s+(ENABLE|DISABLE)\s+CHANGE_TRACKING"
    r"(?:\s+WITH\s*\(\s*TRACK_COLUMNS_UPDATED\s*=\s*(ON|OFF)\s*\))?\s*;?",
    re.IGNORECASE,
)
_TRUNCATE = re.compile(rf"TRUNCATE\s+TABLE\s+{_NAMES}\s*;?", re.IGNORECASE)
_CONTEXT = re.compile(
    r"WITH\s+CHANGE_TRACKING_CONTEXT\s*\(([^()]*)\)\s*(?=INSERT|UPDATE|DELETE)", re.IGNORECASE
)
_SIZE = 1 << 40


def without_context(text: str) -> tuple[str, str]:
    """A statement without WITH CHANGE_TRACKING_CONTEXT, and the expression of the context."""
    matched = _CONTEXT.match(text)
    return (text, "") if matched is None else (text[matched.end() :], matched[1])


def alter(session: SessionState, statement: Statement) -> bool:
    """Runs ALTER DATABASE or ALTER TABLE about change tracking; False for another statement.

    Raises:
        SqlError: 5088, 5089, 22115 for the database, 4996, 4997, 4998 for a table.
    """
    text = statement.text.strip()
    if matched := _DATABASE.fullmatch(text):
        _alter_database(session, matched[1], (matched[2] or "").upper(), matched[3] or "")
    elif matched := _TABLE.fullmatch(text):
        table = _table(session, matched[1], 4902)
        access.refuse_definition(session, "ALTER TABLE", ("ALTER ANY SCHEMA",))
        if matched[2].upper() == "ENABLE":
            _enable(session, table, (matched[3] or "OFF").upper() == "ON")
        else:
            _disable(session, table)
    else:
        return False
    return True


def _alter_database(session: SessionState, name: str, state: str, options: str) -> None:
    wanted = parts(name)[-1]
    database = session.catalog.databases.get(
        session.database.lower() if wanted.upper() == "CURRENT" else wanted.lower()
    )
    if database is None or not session.login.admin:
        raise SqlError(
            5011,
            "User does not have permission to alter this database, the database does not exist, or it is "
            "not in a state that allows this.",
            severity=14,
        )
    tracking = database.tracking
    if state == "ON" and tracking.enabled:
        raise SqlError(5088, f"Change tracking is already enabled for database '{database.name}'.")
    if state != "ON" and not tracking.enabled:
        raise SqlError(
            5089,
            f"Change tracking is disabled for database '{database.name}'. Change tracking must be enabled on a "
            "database to modify change tracking settings.",
        )
    if state == "OFF":
        if tracking.columns:
            raise SqlError(
                22115,
                f"Change tracking is enabled for one or more tables in database '{database.name}'. Disable "
                "change tracking on each table before disabling it for the database. Use the "
                "sys.change_tracking_tables catalog view to obtain a list of tables for which change tracking "
                "is enabled.",
            )
        tracking.enabled = False
        return
    _set_options(database, options)
    if state == "ON":
        with session.engine.cursor() as cursor:
            prepare(cursor, database)
            cursor.execute(f"UPDATE {kept(database.name, 'commits')} SET version = NULL")
            cursor.execute(f"INSERT INTO {kept(database.name, 'commits')} VALUES (0, 0, 0, NULL, NULL)")
            cursor.execute(f"DELETE FROM {kept(database.name, 'tables')}")
        tracking.enabled, tracking.version = True, 0


def _set_options(database: Database, options: str) -> None:
    tracking = database.tracking
    for key, value in re.findall(r"(\w+)\s*=\s*([\w ]+)", options):
        if key.upper() == "AUTO_CLEANUP":
            tracking.auto_cleanup = value.strip().upper() == "ON"
        elif key.upper() == "CHANGE_RETENTION":
            number, unit = value.upper().split()
            if unit not in UNITS:
                raise untranslated(options, "CHANGE_RETENTION is in MINUTES, HOURS or DAYS")
            tracking.retention, tracking.unit = int(number), unit
        else:
            raise untranslated(options, f"no option {key}")


def _enable(session: SessionState, table: Table, columns: bool) -> None:
    tracking = _database(session, table).tracking
    name = f"{table.schema}.{table.name}"
    if not tracking.enabled:
        raise SqlError(
            5089,
            f"Change tracking is disabled for database '{table.database}'. Change tracking must be enabled on a "
            "database to modify change tracking settings.",
        )
    if table.object_id in tracking.columns:
        raise SqlError(4996, f"Change tracking is already enabled for table '{name}'.")
    if not table.primary_key:
        raise SqlError(
            4997,
            f"Cannot enable change tracking on table '{name}'. Change tracking requires a primary key on the "
            "table. Create a primary key on the table before enabling change tracking.",
        )
    with session.engine.cursor() as cursor:
        prepare_table(cursor, table)
        cursor.execute(
            f"INSERT INTO {kept(table.database, 'tables')} VALUES (?, ?, 0)",
            [table.object_id, tracking.version],
        )
    tracking.track(table.object_id, columns)


def _disable(session: SessionState, table: Table) -> None:
    tracking = _database(session, table).tracking
    if table.object_id not in tracking.columns:
        raise SqlError(4998, f"Change tracking is not enabled on table '{table.schema}.{table.name}'.")
    tracking.untrack(table.object_id)
    with session.engine.cursor() as cursor:
        if not tracking.captures_of(table.object_id):
            cursor.execute(f"DROP TABLE {changes_of(table)}")
        cursor.execute(f"DELETE FROM {kept(table.database, 'tables')} WHERE object_id = ?", [table.object_id])


def truncate(session: SessionState, statement: Statement) -> None:
    """TRUNCATE TABLE. A tracked table loses its changes too: its smallest valid version is then that of the
    truncation, and a reader from before must start again.

    Raises:
        SqlError: 1088 without the table or the right.
    """
    matched = _TRUNCATE.fullmatch(statement.text.strip())
    if matched is None:
        raise untranslated(statement.text, "TRUNCATE TABLE of another form")
    table = _table(session, matched[1], 4701)
    if not access.may(session, "ALTER", table.securable, table.database):
        raise _unknown(matched[1], 1088)
    database = _database(session, table)
    if database.tracking.captures_of(table.object_id):
        raise SqlError(
            4711,
            f"Cannot truncate table '{table.name}' because it is published for replication or enabled for "
            "Change Data Capture.",
        )
    session.transactions.writing()
    with session.transactions.own():
        session.cursor.execute(f"DELETE FROM {table.stored}")
        if table.object_id in database.tracking.columns:
            session.cursor.execute(f"DELETE FROM {changes_of(table)}")
            session.cursor.execute(
                f"UPDATE {kept(table.database, 'tables')} SET begin_version = $v WHERE object_id = $id",
                {"v": database.tracking.version + 1, "id": table.object_id},
            )
            session.transactions.changes.touch(database)


def cleanup(session: SessionState, database: Database) -> int:
    """Removes what is older than the retention period, as the server's cleanup does; returns the cleanup
    version.
    """
    tracking = database.tracking
    age = timedelta(**{tracking.unit.lower(): tracking.retention})
    commits = kept(database.name, "commits")
    captured = f" AND number <= {tracking.captured}" if tracking.captures else ""
    with session.engine.cursor() as cursor:
        ((last,),) = cursor.execute(
            f"SELECT max(version) FROM {commits} WHERE local < ?", [session.engine.clock.local() - age]
        ).fetchall()
        version = int(last or 0)
        for table in session.catalog.tables(database.name):
            if table.object_id in tracking.columns:
                cursor.execute(
                    f"DELETE FROM {changes_of(table)} WHERE __tx IN (SELECT tx FROM {commits} WHERE version <= ?{captured})",
                    [version],
                )
        cursor.execute(
            f"UPDATE {kept(database.name, 'tables')} SET cleanup_version = greatest(cleanup_version, ?)",
            [version],
        )
        cursor.execute(f"DELETE FROM {commits} WHERE version < ? AND version > 0{captured}", [version])
    return version


def _refuse_secondary(database: Database) -> None:
    if database.tracking.secondary:
        raise SqlError(
            22117,
            "For databases that are members of a secondary availability replica (that is, for secondary "
            "databases), change tracking is not supported. Run change tracking queries on the databases in the "
            "primary availability replica.",
        )


def current_version(session: SessionState) -> str:
    """DuckDB text of CHANGE_TRACKING_CURRENT_VERSION(), as of the statement's snapshot."""
    database = session.catalog.databases[session.database.lower()]
    _refuse_secondary(database)
    if not database.tracking.enabled:
        return "CAST(NULL AS BIGINT)"
    return f"(SELECT max(version) FROM {kept(database.name, 'commits')})"


def min_valid_version(session: SessionState, object_id: Any) -> str:
    """DuckDB text of CHANGE_TRACKING_MIN_VALID_VERSION(object_id); NULL where the table is not tracked or the
    login may not know.
    """
    database = session.catalog.databases[session.database.lower()]
    _refuse_secondary(database)
    table = next((t for t in session.catalog.tables(database.name) if t.object_id == object_id), None)
    if table is None or table.object_id not in database.tracking.columns or not _may_view(session, table):
        return "CAST(NULL AS BIGINT)"
    return (
        f"(SELECT greatest(begin_version, cleanup_version) FROM {kept(database.name, 'tables')} WHERE object_id "
        f"= {table.object_id})"
    )


def _may_view(session: SessionState, table: Table) -> bool:
    return access.may(session, "VIEW CHANGE TRACKING", table.securable, table.database)


def table_function(session: SessionState, name: str, args: list[Any]) -> Source:
    """CHANGETABLE as a source.

    Raises:
        SqlError: 22105 where the table is not tracked, 22114 where the version is no number, 229 and 230
            without VIEW CHANGE TRACKING and SELECT on the key.
    """
    table = _table(session, str(args[0]), 208)
    database = _database(session, table)
    _refuse_secondary(database)
    if table.object_id not in database.tracking.columns:
        raise SqlError(22105, f"Change tracking is not enabled on table '{args[0]}'.")
    access.require(session, "VIEW CHANGE TRACKING", table, ())
    access.require(session, "SELECT", table, table.primary_key)
    keys = [table.column(name) for name in table.primary_key]
    if name == VERSION:
        return _version(session, table, keys, args)
    last = args[1]
    if last is not None and not isinstance(last, int):
        raise SqlError(8114, "Error converting data type varchar to bigint.")
    listed = ", ".join(quoted(c.name) for c in keys)
    place = f"CAST(c.version AS HUGEINT) * {_SIZE} + l.__seq"
    masks = database.tracking.columns[table.object_id]
    mask = "CASE WHEN __o = 'U' THEN unhex('00000000' || __m) END" if masks else "CAST(NULL AS BLOB)"
    sql = (
        f"(SELECT __v, __i, __o, {mask}, __c, {listed} FROM (SELECT max(c.version) AS __v, max(CASE WHEN l.__op = "
        f"{INSERTED} THEN c.version END) AS __i, CASE WHEN arg_max(l.__op, {place}) = {DELETED} THEN 'D' WHEN "
        f"bool_or(l.__op = {INSERTED}) THEN 'I' ELSE 'U' END AS __o, arg_max_null(l.__context, {place}) AS __c, "
        f"{_masks(table)} AS __m, "
        f"{', '.join(f'l.{quoted(c.name)}' for c in keys)} FROM {changes_of(table)} AS l JOIN "
        f"{kept(table.database, 'commits')} AS c ON c.tx = l.__tx JOIN {kept(table.database, 'tables')} AS t ON "
        f"t.object_id = {table.object_id} WHERE l.__op <> {BEFORE} AND c.version > t.begin_version AND c.version > "
        f"{last if last is not None else -1} GROUP BY {', '.join(f'l.{quoted(c.name)}' for c in keys)}))"
    )
    columns = (
        Column("SYS_CHANGE_VERSION", BIGINT),
        Column("SYS_CHANGE_CREATION_VERSION", BIGINT),
        Column("SYS_CHANGE_OPERATION", SqlType("nchar", 1)),
        Column("SYS_CHANGE_COLUMNS", SqlType("varbinary", 4100)),
        Column("SYS_CHANGE_CONTEXT", SqlType("varbinary", 128)),
        *keys,
    )
    return Source(sql, columns, None, table.name)


def _masks(table: Table) -> str:
    """The updated columns of a group as hex: four bytes of each column_id, little-endian."""
    ids = [n for n, _ in enumerate(table.columns, start=1)]
    cells = [
        f"CASE WHEN bool_or(l.__op = {AFTER} AND list_contains(string_split(l.__mask, ','), '{n}')) THEN "
        f"'{n.to_bytes(4, 'little').hex().upper()}' ELSE '' END"
        for n in ids
    ]
    return " || ".join(cells)


def _version(session: SessionState, table: Table, keys: list[Column], args: list[Any]) -> Source:
    names, values = [parts(n.strip())[-1] for n in str(args[1]).split(",")], args[2:]
    if sorted(n.lower() for n in names) != sorted(c.name.lower() for c in keys) or len(values) != len(keys):
        raise SqlError(
            22110,
            "The number of columns specified in the CHANGETABLE(VERSION ...) function does not match the number "
            "of primary key columns for table '" + table.name + "'.",
        )
    values_by_name = dict(zip((n.lower() for n in names), values, strict=True))
    cells = []
    for c in keys:
        text = str(values_by_name[c.name.lower()]).replace("'", "''")
        cells.append(convert(f"'{text}'", SqlType("varchar", max(1, len(text))), c.type))
    match = " AND ".join(f"l.{quoted(c.name)} = {cell}" for c, cell in zip(keys, cells, strict=True))
    place = f"CAST(c.version AS HUGEINT) * {_SIZE} + l.__seq"
    sql = (
        f"(SELECT max(c.version), arg_max_null(l.__context, {place}), {', '.join(cells)} FROM {changes_of(table)} AS l JOIN "
        f"{kept(table.database, 'commits')} AS c ON c.tx = l.__tx WHERE {match})"
    )
    columns = (
        Column("SYS_CHANGE_VERSION", BIGINT),
        Column("SYS_CHANGE_CONTEXT", SqlType("varbinary", 128)),
        *keys,
    )
    return Source(sql, columns, None, table.name)


def _database(session: SessionState, table: Table) -> Database:
    return session.catalog.databases[table.database.lower()]


def _table(session: SessionState, name: str, number: int) -> Table:
    named = parts(name)
    table = session.catalog.table(session.database, named[-2] if len(named) > 1 else "dbo", named[-1])
    if table is None:
        raise _unknown(name, number)
    return table


def _unknown(name: str, number: int) -> SqlError:
    if number == 208:
        return SqlError(208, f"Invalid object name '{name}'.")
    return SqlError(
        number, f'Cannot find the object "{name}" because it does not exist or you do not have permissions.'
    )


def function(session: SessionState, name: str, args: list[Any]) -> str:
    """DuckDB text of a version function."""
    if name == "CHANGE_TRACKING_CURRENT_VERSION":
        return current_version(session)
    return min_valid_version(session, args[0] if args else None)


def rows_of_databases(session: SessionState) -> list[tuple[Any, ...]]:
    """sys.change_tracking_databases."""
    return [
        (d.database_id, d.tracking.auto_cleanup, d.tracking.retention, UNITS[d.tracking.unit])
        for d in session.catalog.databases.values()
        if d.tracking.enabled
    ]


def rows_of_tables(session: SessionState) -> list[tuple[Any, ...]]:
    """sys.change_tracking_tables."""
    database = session.catalog.databases[session.database.lower()]
    tracking = database.tracking
    if not tracking.columns:
        return []
    tracked = session.cursor.execute(
        f"SELECT object_id, begin_version, cleanup_version FROM {kept(database.name, 'tables')}"
    ).fetchall()
    seen = {t.object_id for t in _seen(session, database)}
    return [
        (number, tracking.columns[number], max(begin, cleaned), begin, cleaned)
        for number, begin, cleaned in tracked
        if number in seen and number in tracking.columns
    ]


def rows_of_internal_tables(session: SessionState) -> list[tuple[Any, ...]]:
    """sys.internal_tables: those with tracked changes."""
    database = session.catalog.databases[session.database.lower()]
    inner = database.tracking.inner
    return [
        (f"change_tracking_{t.object_id}", inner[t.object_id], t.object_id, "IT", 209, "CHANGE_TRACKING")
        for t in _seen(session, database)
        if t.object_id in inner
    ]


def _seen(session: SessionState, database: Database) -> list[Table]:
    """The tables whose metadata the login may see."""
    return [
        t
        for t in session.catalog.tables(database.name)
        if access.sees(session, t) or access.may(session, "VIEW DEFINITION", Securable())
    ]
