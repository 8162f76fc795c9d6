"""Runs batches of T-SQL for one session over one DuckDB cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import duckdb
from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import BINARY8, INT, SYSNAME
from airflow_provider_pacs.sandbox.catalog.tables import Source, Table
from airflow_provider_pacs.sandbox.model import Param, ResultSet, RowCount, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import (
    access,
    capture_process,
    cdc_functions,
    change_tracking,
    control,
    describe,
    dml,
)
from airflow_provider_pacs.sandbox.tsql.batch import Statement, split
from airflow_provider_pacs.sandbox.tsql.clock import Instant
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dialect import CHANGES, VERSION, parse, untranslated
from airflow_provider_pacs.sandbox.tsql.errors import translated
from airflow_provider_pacs.sandbox.tsql.expressions import Expressions
from airflow_provider_pacs.sandbox.tsql.information import BANNER, SERVER, View, information, virtual
from airflow_provider_pacs.sandbox.tsql.queries import Queries
from airflow_provider_pacs.sandbox.tsql.results import BATCH_ROWS, batches
from airflow_provider_pacs.sandbox.tsql.scope import UNKNOWN, Scope, Typed
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState
from airflow_provider_pacs.sandbox.tsql.variables import Variables, stored

_SYSTEM: dict[str, tuple[SqlType, Any]] = {
    "SERVERNAME": (SYSNAME, SERVER), "VERSION": (SqlType("nvarchar", 300), BANNER), "ERROR": (INT, 0),
    "LANGUAGE": (SYSNAME, "us_english"), "MAX_PRECISION": (SqlType("tinyint"), 38), "DATEFIRST": (SqlType("tinyint"), 7), "LOCK_TIMEOUT": (INT, -1),
    "SERVICENAME": (SYSNAME, "MSSQLSERVER"), "OPTIONS": (INT, 5496), "IDENTITY": (SqlType("numeric", precision=38), None),
    "MICROSOFTVERSION": (INT, 0x10000000),
    "TEXTSIZE": (INT, 2147483647), "NESTLEVEL": (INT, 0),
}  # fmt: skip


class SqlSession(SessionState):
    """One login's session; the `EngineSession` of the port and the `Environment` of the translator."""

    def execute(self, sql: str, params: Sequence[Param] = ()) -> Iterator[ResultSet | RowCount]:
        """Runs one batch (see the port). With parameters it is one of sp_executesql, after which the isolation
        level is again what it was.
        """
        self._finish()
        capture_process.run(self.engine)
        self.cancelled.clear()
        self.variables = Variables()
        for param in params:
            self.variables.declare(param.name.lstrip("@"), param.type, stored(param.value, param.type))
        level = self.transactions.isolation
        try:
            yield from self._block(split(sql))
        finally:
            if params:
                self.transactions.isolation = level

    def _block(self, statements: Sequence[Statement]) -> Iterator[ResultSet | RowCount]:
        for statement in statements:
            if statement.kind == "RETURN":
                return
            yield from self._statement(statement)

    def _statement(self, statement: Statement) -> Iterator[ResultSet | RowCount]:
        self._instant, self._reads = None, []
        if statement.kind == "BLOCK":
            yield from self._block(statement.then)
        elif statement.kind == "IF":
            chosen = self.evaluate(f"CASE WHEN {statement.condition} THEN 1 ELSE 0 END", INT)
            yield from self._block(statement.then if chosen else statement.otherwise)
        elif statement.kind == "WITH" and "CHANGE_TRACKING_CONTEXT" in statement.text[:60].upper():
            yield self._write_in_context(statement)
        elif statement.kind in ("SELECT", "WITH", "("):
            yield from self._query(statement)
        elif statement.kind in ("INSERT", "UPDATE", "DELETE"):
            yield self._write(statement)
        else:
            yield from control.run(self, statement)

    def _query(self, statement: Statement) -> Iterator[ResultSet | RowCount]:
        tree = parse(statement.text)
        if isinstance(tree, exp.Select) and any(
            isinstance(x, exp.EQ) and isinstance(x.this, exp.Parameter) for x in tree.expressions
        ):
            self._assign_from(tree)
            return
        if not isinstance(tree, exp.Query):
            yield self._write(statement)
            return
        compiled = Queries(self)(tree)
        self._check_reads()
        self.transactions.before_read()
        rows = batches(self._run(compiled.sql, statement.text), compiled.columns, lambda: None)
        self._reader = rows
        yield ResultSet(compiled.columns, rows)
        self._finish()

    def _run(self, sql: str, text: str) -> Any:
        """A DuckDB reader; the relation is executed lazily, batch by batch."""
        self._finish()
        try:
            return self._cursor.sql(sql, params=dict(self.variables.bound(sql))).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise self._failed(error, text) from error

    def _failed(self, error: Exception, text: str) -> SqlError:
        self.transactions.failed()
        return translated(error, text)

    def _write(self, statement: Statement) -> RowCount:
        tree = parse(statement.text)
        change = dml.write(tree, self)
        access.require(self, change.action, change.table, change.columns)
        self._check_reads()
        if not statement.text:
            raise untranslated(statement.text, "nothing to do")
        self.transactions.writing()
        self._finish()
        try:
            self.rowcount = self._changed(change)
        except duckdb.Error as error:
            raise self._failed(error, statement.text) from error
        return RowCount(None if self.nocount else self.rowcount)

    def _write_in_context(self, statement: Statement) -> RowCount:
        """WITH CHANGE_TRACKING_CONTEXT (...) before a change of data."""
        text, context = change_tracking.without_context(statement.text)
        if not context:
            raise untranslated(
                statement.text, "CHANGE_TRACKING_CONTEXT stands before INSERT, UPDATE or DELETE"
            )
        changes = self.transactions.changes
        changes.context = self.evaluate(context, SqlType("varbinary", 128))
        try:
            return self._write(replace(statement, text=text))
        finally:
            changes.context = None

    def _changed(self, change: dml.Change) -> int:
        """Runs a change of data and returns its number of rows; a tracked table's changes are recorded."""
        database = self.catalog.databases[change.table.database.lower()]
        if database.tracking.records(change.table.object_id):
            with self.transactions.own():
                changes = self.transactions.changes
                count = changes.apply(change, database, self.variables.bound)
                if count and change.table.object_id in database.tracking.journaled:
                    self.engine.journals[database.name](self, change, changes.tx, changes.start)
                return count
        result = self._cursor.execute(change.sql, dict(self.variables.bound(change.sql))).fetchone()
        return int(result[0]) if result else 0

    def evaluate(self, text: str, kind: SqlType) -> Any:
        """The value of an expression, converted to `kind` as an assignment does."""
        tree = parse(f"SELECT {text}")
        if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
            raise untranslated(text, "not one expression")
        node = tree.expressions[0]
        e = Expressions(self, Scope(), Queries(self))
        sql = "SELECT " + self._converted(e, e.value(node), kind)
        self._check_reads()
        row = self._fetch_last(sql, text)
        return row[0] if row else None

    def constant(self, node: exp.Expression) -> Any:
        """See `SessionState`."""
        return Expressions(self, Scope(), Queries(self)).constant(node, "an argument")

    def _converted(self, e: Expressions, value: Typed, kind: SqlType) -> str:
        return e.sql(value, kind) if value.is_null else convert(value.sql, value.type, kind)

    def _assign_from(self, tree: exp.Select) -> None:
        targets = [item.this.this.name for item in tree.expressions]
        bare = tree.copy()
        bare.set("expressions", [item.expression.copy() for item in tree.expressions])
        compiled = Queries(self)(bare)
        self._check_reads()
        e = Expressions(self, Scope(), Queries(self))
        names = [f"c{n}" for n in range(len(targets))]
        cells = [
            self._converted(e, Typed(f"a.{n}", c.type), self.variables.kind(t))
            for n, c, t in zip(names, compiled.columns, targets, strict=True)
        ]
        self.transactions.before_read()
        row = self._fetch_last(
            f"SELECT {', '.join(cells)} FROM ({compiled.sql}) AS a({', '.join(names)})", tree.sql("tsql")
        )
        for target, value in zip(targets, row or (), strict=False):
            self.variables.assign(target, value)

    def _fetch_last(self, sql: str, text: str) -> tuple[Any, ...] | None:
        self._finish()
        try:
            rows = self._cursor.execute(sql, dict(self.variables.bound(sql))).fetchall()
        except duckdb.Error as error:
            raise self._failed(error, text) from error
        return rows[-1] if rows else None

    def _finish(self) -> None:
        """Ends the result that is still open: DuckDB allows one at a time."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()  # type: ignore[attr-defined]

    def variable(self, name: str) -> Typed:
        """Reads a variable (see `Environment`)."""
        return self.variables.typed(name)

    def system(self, name: str) -> Typed:
        """Reads an @@value; 137 for an unknown one."""
        own = {"SPID": self.spid, "TRANCOUNT": self.trancount, "ROWCOUNT": self.rowcount}
        upper = name.upper()
        if upper in own:
            return Typed(str(own[upper]), SqlType("smallint") if upper == "SPID" else INT, False, own[upper])
        if upper == "DBTS":
            return Typed(f"unhex('{self.engine.last_rowversion():016X}')", BINARY8, False)
        if upper not in _SYSTEM:
            raise SqlError(137, f'Must declare the scalar variable "@@{name}".', severity=15)
        kind, value = _SYSTEM[upper]
        if value is None:
            return Typed("CAST(NULL AS DECIMAL(38,0))", kind)
        text = (
            f"unhex('{value.hex()}')"
            if isinstance(value, bytes)
            else str(value)
            if isinstance(value, int)
            else "'" + value.replace("'", "''") + "'"
        )
        return Typed(text, kind, False, value)

    def instant(self) -> Instant:
        """The moment of the running statement."""
        if self._instant is None:
            self._instant = self.engine.clock.instant()
        return self._instant

    def information(self, name: str, args: list[Any]) -> Any:
        """See `Environment`."""
        return information(self, name, args)

    def function(self, name: str, args: list[Any]) -> str:
        """See `Environment`."""
        return change_tracking.function(self, name, args)

    def table_function(self, name: str, args: list[Any]) -> Source | None:
        """See `Environment`."""
        if name in (CHANGES, VERSION):
            return change_tracking.table_function(self, name, args)
        if name.startswith((cdc_functions.ALL, cdc_functions.NET)):
            return cdc_functions.table_function(self, name, args)
        return None

    def scalar_function(self, name: str, args: list[Any]) -> Typed:
        """See `Environment`."""
        return cdc_functions.scalar(self, name, args)

    def lsn_time(self, lsn: str) -> Typed:
        """See `Environment`."""
        return Typed(*cdc_functions.time_text(self, lsn))

    def column_ordinal(self, instance: str, column: str) -> int | None:
        """See `Environment`."""
        return cdc_functions.ordinal(self, instance, column)

    def compute(self, value: Typed) -> Any:
        """See `Environment`."""
        if value.const is not UNKNOWN:
            return value.const
        sql = f"SELECT {value.sql}"
        row = self._fetch_last(sql, sql)
        return row[0] if row else None

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `SessionState`."""
        self.transactions.before_read()
        self._finish()
        return self._cursor.execute(sql, list(params)).fetchall()

    def reads(self, table: Table, optional: bool = False) -> set[str]:
        """See `Environment`."""
        columns: set[str] = set()
        self._reads.append((table, columns, optional))
        return columns

    def visible(self, database: str, source: Source) -> Source:
        """See `Environment`."""
        return access.visible(self, database, source)

    def _check_reads(self) -> None:
        """The SELECT permissions of what was translated since the last check."""
        reads, self._reads = self._reads, []
        for table, columns, optional in reads:
            if columns or not optional:
                access.require(self, "SELECT", table, columns)

    def virtual(self, schema: str, name: str, args: list[Any] | None) -> View | None:
        """See `Environment`."""
        return virtual(self, schema, name, args)

    def describe_parameters(self, sql: str) -> Sequence[Param]:
        """See the port's `DescribesParameters`."""
        return describe.parameters([statement.text for statement in split(sql)], self)

    def begin(self, isolation: int = 0) -> None:
        """Begins a transaction; `isolation` as TDS numbers it, 0 for the session's own."""
        self.transactions.begin(isolation)

    def commit(self) -> None:
        """Commits the outermost transaction."""
        self._finish()
        self.transactions.commit(everything=True)

    def rollback(self) -> None:
        """Rolls everything back."""
        self._finish()
        self.transactions.rollback()

    def cancel(self) -> None:
        """Stops the running statement, from another thread."""
        self.cancelled.set()
        self._cursor.interrupt()

    def close(self) -> None:
        """Ends the session; an open transaction is rolled back."""
        self._finish()
        self.transactions.rollback()
        self._cursor.close()
        self.engine.forget(self)
