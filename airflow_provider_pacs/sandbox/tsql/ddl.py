"""Runs CREATE TABLE and DROP TABLE on the catalog; `definitions` has the other statements of DDL.

A test makes its tables with the same text here and on a genuine server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_pacs.sandbox.catalog.captures import lsn_of
from airflow_provider_pacs.sandbox.catalog.change_tables import changes_of
from airflow_provider_pacs.sandbox.catalog.sqltypes import duck, make
from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Table, quoted, stored_name
from airflow_provider_pacs.sandbox.model import MAX, Column, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import definitions
from airflow_provider_pacs.sandbox.tsql.access import refuse_definition
from airflow_provider_pacs.sandbox.tsql.batch import Statement, Token, pieces
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.row_changes import LOCK
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState
from airflow_provider_pacs.sandbox.tsql.variables import ticks

_HEAD = re.compile(
    r"(CREATE|DROP)\s+TABLE\s+(IF\s+EXISTS\s+)?((?:\[(?:[^\]]|\]\])*\]|[^\s(;\[])+)\s*(.*)$",
    re.IGNORECASE | re.DOTALL,
)

_KEY_WORDS = ("PRIMARY", "KEY", "CLUSTERED", "ASC")


def run(session: SessionState, statement: Statement) -> None:
    """Runs one statement.

    Raises:
        SqlError: 102 for what is not known, 262 without the right, 2714 and 3701 where the table is there
            already or not.
    """
    if [token.upper for token in statement.tokens[1:2]] != ["TABLE"]:
        definitions.run(session, statement)
        return
    matched = _HEAD.match(statement.text)
    if matched is None or (matched[1].upper() == "CREATE") != bool(matched[4]):
        raise untranslated(statement.text, "CREATE TABLE or DROP TABLE of another form")
    refuse_definition(session, f"{matched[1].upper()} TABLE", ("CREATE TABLE",))
    *schema, name = parts(matched[3])
    place = (session.database, schema[-1] if schema else "dbo", name)
    if matched[1].upper() == "CREATE":
        _create(session, place, statement)
    else:
        _drop(session, place, bool(matched[2]))


def _create(session: SessionState, place: tuple[str, str, str], statement: Statement) -> None:
    if session.catalog.table(*place) is not None:
        raise SqlError(2714, f"There is already an object named '{place[2]}' in the database.", state=6)
    opening = next(n for n, t in enumerate(statement.tokens) if t.upper == "(")
    columns: list[Column] = []
    key: tuple[str, ...] = ()
    for piece in pieces(statement.tokens[opening + 1 : -1]):
        words = [token.upper for token in piece]
        if words[:1] == ["CONSTRAINT"]:
            piece, words = piece[2:], words[2:]
        if words[:2] == ["PRIMARY", "KEY"]:
            key = tuple(
                _name(token)
                for token in piece
                if token.kind in ("word", "name") and token.upper not in _KEY_WORDS
            )
            continue
        column, is_key = _column(statement, piece)
        columns.append(column)
        key = (column.name,) if is_key else key
    if statement.tokens[-1].upper != ")" or not columns:
        raise untranslated(statement.text, "CREATE TABLE takes columns and a primary key in parentheses")
    nullable = {name.lower() for name in key}
    declared = tuple(Column(c.name, c.type, c.nullable and c.name.lower() not in nullable) for c in columns)
    session.engine.declare(Table(*place, declared, key))


def _column(statement: Statement, piece: Sequence[Token]) -> tuple[Column, bool]:
    """`name type [(arguments)] [COLLATE ours] [NOT NULL | NULL] [PRIMARY KEY]`, and whether it is the key."""
    words = [token.upper for token in piece]
    if len(piece) < 2:
        raise untranslated(statement.text, "a column has a name and a type")
    arguments: list[int] = []
    rest = 2
    if "(" in words[2:3]:
        rest = words.index(")") + 1
        arguments = [
            MAX if token.upper == "MAX" else int(token.text)
            for token in piece[3 : rest - 1]
            if token.text != ","
        ]
    if words[rest : rest + 2] == ["COLLATE", COLLATION.upper()]:
        rest += 2
    options = " ".join(words[rest:])
    if options not in ("", "NULL", "NOT NULL", "PRIMARY KEY", "NOT NULL PRIMARY KEY"):
        raise untranslated(statement.text, f"column option {options}")
    kind: SqlType = make(_name(piece[1]).lower(), arguments, default_length=1)
    return Column(_name(piece[0]), kind, not options or options == "NULL"), options.endswith("PRIMARY KEY")


def add_column(session: SessionState, statement: Statement) -> None:
    """ALTER TABLE ... ADD of one nullable column. A capture instance goes on with the columns it has; the
    change is in cdc.ddl_history.

    Raises:
        SqlError: 102 for another form, 2705 where the table has the column, 4902 for an unknown table.
    """
    words = [token.upper for token in statement.tokens]
    at = words.index("ADD")
    *schema, name = parts("".join(token.text for token in statement.tokens[2:at]))
    refuse_definition(session, "ALTER TABLE", ("ALTER ANY SCHEMA",))
    table = session.catalog.table(session.database, schema[-1] if schema else "dbo", name)
    if table is None:
        raise SqlError(
            4902, f"Cannot find the object '{name}' because it does not exist or you do not have permissions."
        )
    column, is_key = _column(statement, statement.tokens[at + 1 :])
    if is_key or not column.nullable:
        raise untranslated(statement.text, "a column that is added is nullable")
    if any(c.name.lower() == column.name.lower() for c in table.columns):
        raise SqlError(
            2705,
            f"Column names in each table must be unique. Column name '{column.name}' in table '{name}' is "
            "specified more than once.",
            state=4,
        )
    tracking = session.catalog.databases[session.database.lower()].tracking
    recorded = [changes_of(table)] if tracking.records(table.object_id) else []
    with session.engine.cursor() as cursor:
        for stored in (table.stored, *recorded):
            cursor.execute(f"ALTER TABLE {stored} ADD COLUMN {quoted(column.name)} {duck(column.type)}")
        for capture in tracking.captures_of(table.object_id):
            with LOCK:
                tracking.order += 1
            cursor.execute(
                f"INSERT INTO {stored_name(table.database, 'cdc', 'ddl_history')} VALUES (?, ?, FALSE, ?, ?, ?)",
                [
                    table.object_id,
                    capture.change_table,
                    statement.text,
                    lsn_of(tracking.order),
                    ticks(session.engine.clock.local()),
                ],
            )
    session.engine.redefine(replace(table, columns=(*table.columns, column)))


def _drop(session: SessionState, place: tuple[str, str, str], if_exists: bool) -> None:
    table = session.catalog.table(*place)
    if table is not None:
        session.engine.undeclare(table)
    elif not if_exists:
        raise SqlError(
            3701,
            f"Cannot drop the table '{place[2]}', because it does not exist or you do not have permission.",
            severity=11,
            state=5,
        )


def _name(token: Token) -> str:
    return parts(token.text)[0]
