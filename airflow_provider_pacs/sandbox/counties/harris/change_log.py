"""PACS's own journal: what its triggers write into change_log and change_log_keys for each changed row.

As the vendor's triggers do it: an insert is one entry for each audited column, an update one for each audited
column that changed, a delete a single entry without a column. An entry's number is given when the statement
runs, so a transaction that commits late brings low numbers late, and one that is rolled back leaves a gap. The
future-year layer (year 0) is journalled under its real year. Logging is off for a machine
(`EXEC SetMachineLogChanges 0`), for a table (pacs_trigger_enable) or for a column (chg_log_columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_pacs.sandbox.catalog.change_tables import changes_of
from airflow_provider_pacs.sandbox.catalog.sqltypes import INTEGER
from airflow_provider_pacs.sandbox.catalog.tables import Table, quoted, stored_name
from airflow_provider_pacs.sandbox.counties.harris.tables import DATABASE
from airflow_provider_pacs.sandbox.model import Column, ResultSet, RowCount, SqlType
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dml import Change
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.row_changes import (
    AFTER,
    BEFORE,
    DELETED,
    INSERTED,
    prepare,
    prepare_table,
)
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState
from airflow_provider_pacs.sandbox.tsql.variables import ticks

WITHOUT_TRIGGER = frozenset(
    {"prop_supp_assoc", "property_profile", "wash_prop_owner_val", "change_log", "change_log_keys"}
)
YEARS = frozenset({"prop_val_yr", "owner_tax_yr", "exmpt_tax_yr", "sup_tax_yr", "year"})
KNOWN_TABLES = {"owner": 546, "property_val": 763}
KNOWN_COLUMNS = {
    "prop_id": 4026,
    "owner_id": 3493,
    "owner_tax_yr": 3505,
    "sup_num": 5002,
    "prop_val_yr": 4083,
}
_UNREADABLE = frozenset({"rowversion", "image", "text", "ntext", "binary", "varbinary"})
_TEXT = SqlType("varchar", 255)


def _v(size: int) -> SqlType:
    return SqlType("varchar", size)


_INT, _SMALL = SqlType("int"), SqlType("smallint")
DICTIONARY = (
    Table(
        DATABASE,
        "dbo",
        "pacs_tables",
        (Column("iTableID", _SMALL, False), Column("szTableName", _v(128), False)),
        ("iTableID",),
    ),
    Table(
        DATABASE,
        "dbo",
        "pacs_columns",
        (Column("iColumnID", _SMALL, False), Column("szColumnName", _v(128), False)),
        ("iColumnID",),
    ),
    Table(
        DATABASE,
        "dbo",
        "chg_log_columns",
        (
            Column("chg_log_tables", _v(50), False),
            Column("chg_log_columns", _v(50), False),
            Column("chg_log_audit", SqlType("tinyint"), False),
            Column("chg_log_description", _v(100), False),
            Column("chg_log_module", _v(50)),
        ),
        ("chg_log_tables", "chg_log_columns"),
    ),
    Table(
        DATABASE,
        "dbo",
        "pacs_trigger_enable",
        (Column("szTableName", SqlType("nvarchar", 128), False), Column("bEnabled", SqlType("bit"), False)),
        ("szTableName",),
    ),
    Table(
        DATABASE,
        "dbo",
        "chg_log_user",
        (
            Column("machine", _v(50), False),
            Column("pacs_user_id", _INT, False),
            Column("log_changes", _INT),
            Column("hostid", _INT, False),
        ),
        ("machine", "hostid"),
    ),
)


def procedure(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.change_log @on = 1`: the triggers are created, or dropped; answers how many tables have one."""
    database = session.catalog.databases[DATABASE]
    database.tracking.journaled.clear()
    if int(argument(args, "on")):
        names = {t.name for t in DICTIONARY} | WITHOUT_TRIGGER
        tables = [t for t in session.catalog.tables(DATABASE) if t.name not in names and t.schema == "dbo"]
        tables = [t for t in tables if t.primary_key]
        _make_dictionary(session, tables)
        with session.engine.cursor() as cursor:
            prepare(cursor, database)
            for table in tables:
                prepare_table(cursor, table)
            ((last,),) = cursor.execute(f"SELECT max(lChangeID) FROM {_stored('change_log')}").fetchall()
            cursor.execute(f"CREATE OR REPLACE SEQUENCE tsql.change_id START {(last or 0) + 1}")
        session.engine.journals[DATABASE] = write
        database.tracking.journaled.update(t.object_id for t in tables)
    session.engine.refresh(DATABASE)
    yield one_row({"tables": len(database.tracking.journaled)})


def set_machine_log_changes(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC SetMachineLogChanges 0`: nothing that this machine changes is journalled, until it sets 1."""
    users, log = _stored("chg_log_user"), int(argument(args, "input_log"))
    with session.engine.cursor() as cursor:
        cursor.execute(f"DELETE FROM {users} WHERE machine = ?", [session.host])
        cursor.execute(f"INSERT INTO {users} VALUES (?, 12, ?, 1)", [session.host, log])
    yield RowCount(None)


def _stored(name: str) -> str:
    return stored_name(DATABASE, "dbo", name)


def _make_dictionary(session: SessionState, tables: list[Table]) -> None:
    for table in DICTIONARY:
        if session.catalog.table(DATABASE, "dbo", table.name) is None:
            session.engine.declare(table)
    columns = sorted({c.name for t in tables for c in t.columns})
    with session.engine.cursor() as cursor:
        for name in ("pacs_tables", "pacs_columns", "chg_log_columns"):
            cursor.execute(f"DELETE FROM {_stored(name)}")
        for number, table in enumerate(tables, start=1001):
            cursor.execute(
                f"INSERT INTO {_stored('pacs_tables')} VALUES (?, ?)",
                [KNOWN_TABLES.get(table.name, number), table.name],
            )
        for number, name in enumerate(columns, start=20001):
            cursor.execute(
                f"INSERT INTO {_stored('pacs_columns')} VALUES (?, ?)",
                [KNOWN_COLUMNS.get(name, number), name],
            )
        audited = [(t.name, c.name, 1, c.name, None) for t in tables for c in t.columns if _has_entry(t, c)]
        cursor.executemany(f"INSERT INTO {_stored('chg_log_columns')} VALUES (?, ?, ?, ?, ?)", audited)


def _has_entry(table: Table, column: Column) -> bool:
    return column.type.name not in _UNREADABLE and column.name not in table.computed


def write(session: SessionState, change: Change, tx: int, start: int) -> None:
    """Journals what one statement changed in a table, from the images recorded for it."""
    table = change.table
    ((user, log),) = session.rows(
        f"SELECT coalesce(max(pacs_user_id), 0), coalesce(max(log_changes), 1) FROM {_stored('chg_log_user')} WHERE machine = ?",
        [session.host],
    )
    ((disabled,),) = session.rows(
        f"SELECT count(*) FROM {_stored('pacs_trigger_enable')} WHERE szTableName = ? AND NOT bEnabled",
        [table.name],
    )
    audited = [
        table.column(name)
        for (name,) in session.rows(
            f"SELECT chg_log_columns FROM {_stored('chg_log_columns')} WHERE chg_log_tables = ? AND chg_log_audit = 1",
            [table.name],
        )
    ]
    if not log or disabled or not audited:
        return
    session.cursor.execute(
        "CREATE OR REPLACE TEMP TABLE journal_entries AS SELECT nextval('tsql.change_id') AS id, e.* FROM "
        f"({' UNION ALL '.join(_entries(table, audited))}) AS e WHERE tx = $tx AND seq > $start ORDER BY seq",
        {"tx": tx, "start": start},
    )
    ((table_id,),) = session.rows(
        f"SELECT iTableID FROM {_stored('pacs_tables')} WHERE szTableName = ?", [table.name]
    )
    session.cursor.execute(
        f"INSERT INTO {_stored('change_log')} SELECT id, ?, ?, ?, ?, kind, ?, coalesce(c.iColumnID, 0), old, new, NULL FROM "
        f"journal_entries LEFT JOIN {_stored('pacs_columns')} AS c ON c.szColumnName = name",
        [user, session.login.name, session.host, ticks(session.engine.clock.local()), table_id],
    )
    for key in table.primary_key:
        session.cursor.execute(
            f"INSERT INTO {_stored('change_log_keys')} SELECT id, c.iColumnID, left({_key(table, key)}, 50), {_number(table, key)} "
            f"FROM journal_entries JOIN {_stored('pacs_columns')} AS c ON c.szColumnName = ?",
            [key],
        )


def _entries(table: Table, audited: list[Column]) -> Iterator[str]:
    """One SELECT for each kind of entry: tx, seq, kind, name, old, new and the key's columns."""
    keys = ", ".join(f"l.{quoted(k)} AS {quoted(f'key_{k}')}" for k in table.primary_key)
    images = changes_of(table)
    head = "SELECT l.__tx AS tx, l.__seq AS seq"
    yield f"{head}, 'D' AS kind, '' AS name, 'DELETED' AS old, 'DELETED' AS new, {keys} FROM {images} AS l WHERE l.__op = {DELETED}"
    for column in audited:
        new, old = (convert(f"{alias}.{quoted(column.name)}", column.type, _TEXT) for alias in ("l", "b"))
        yield f"{head}, 'I', '{column.name}', CAST(NULL AS VARCHAR), {new}, {keys} FROM {images} AS l WHERE l.__op = {INSERTED}"
        changed = f"b.{quoted(column.name)} IS DISTINCT FROM l.{quoted(column.name)}"
        yield (
            f"{head}, 'U', '{column.name}', {old}, {new}, {keys} FROM {images} AS l JOIN {images} AS b ON b.__tx = l.__tx AND "
            f"b.__seq = l.__seq AND b.__op = {BEFORE} WHERE l.__op = {AFTER} AND ({changed})"
        )


def _value(table: Table, key: str) -> str:
    """The key's column in the entries; the future-year layer has year 0 in the table and its real year here."""
    name = quoted(f"key_{key}")
    if key not in YEARS:
        return name
    return f"CASE WHEN {name} = 0 THEN (SELECT max(future_yr) FROM {_stored('pacs_system')}) ELSE {name} END"


def _key(table: Table, key: str) -> str:
    return f"CAST({_value(table, key)} AS VARCHAR)"


def _number(table: Table, key: str) -> str:
    numeric = table.column(key).type.name in (*INTEGER, "numeric", "decimal")
    return f"coalesce(TRY_CAST({_value(table, key)} AS INTEGER), 0)" if numeric else "0"
