"""Translates INSERT, UPDATE and DELETE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import duck
from airflow_provider_pacs.sandbox.catalog.tables import Table, quoted
from airflow_provider_pacs.sandbox.model import Column, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.convert import convert, raised
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.environment import Environment
from airflow_provider_pacs.sandbox.tsql.expressions import Expressions
from airflow_provider_pacs.sandbox.tsql.queries import Queries
from airflow_provider_pacs.sandbox.tsql.scope import Rows, Scope, Typed

_NEXT = "unhex(lpad(hex(nextval('tsql.rv')), 16, '0'))"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of data.

    Attributes:
        sql: its DuckDB text.
        action: INSERT, UPDATE or DELETE.
        table: what it changes.
        columns: the columns that an UPDATE assigns.
        alias: the table's alias in `where`.
        where: the condition of an UPDATE or DELETE, with its WHERE, in DuckDB's text.
    """

    sql: str
    action: str
    table: Table
    columns: tuple[str, ...] = ()
    alias: str = ""
    where: str = ""


def write(node: exp.Expression, env: Environment) -> Change:
    """DuckDB text of one change of data.

    Raises:
        SqlError: 102 for what is not translated (joins in UPDATE and DELETE, OUTPUT, MERGE); 259 for a system
            table.
    """
    queries = Queries(env)
    if (
        node.args.get("returning") is not None
        or node.args.get("output") is not None
        or node.args.get("with_") is not None
    ):
        raise untranslated(node.sql("tsql"), "OUTPUT and WITH of a change of data")
    match node:
        case exp.Insert():
            return _insert(node, env, queries)
        case exp.Update():
            return _update(node, env, queries)
        case exp.Delete():
            return _delete(node, env, queries)
    raise untranslated(node.sql("tsql"), f"no translation for {type(node).__name__}")


def target(node: exp.Expression, queries: Queries) -> Table:
    """The declared table that a statement changes."""
    if not isinstance(node, exp.Table):
        raise untranslated(node.sql("tsql"), "the target must be a table")
    result = queries.table(node)
    if result.table is None:
        raise SqlError(259, "Ad hoc updates to system catalogs are not allowed.")
    return result.table


def _aliased(node: exp.Expression, other: exp.Expression | None, queries: Queries) -> tuple[Table, str]:
    """`UPDATE p ... FROM t AS p` names its target by alias."""
    if other is not None:
        if (
            not isinstance(other, exp.Table)
            or other.args.get("joins")
            or other.alias_or_name.lower() != node.name.lower()
        ):
            raise untranslated(node.sql("tsql"), "a join in UPDATE or DELETE")
        return target(other, queries), other.alias_or_name
    return target(node, queries), node.alias_or_name


def _insert(node: exp.Insert, env: Environment, queries: Queries) -> Change:
    schema = isinstance(node.this, exp.Schema)
    table = target(node.this.this if schema else node.this, queries)
    columns = [_column(table, i.name) for i in node.this.expressions] if schema else list(table.writable)
    versions = _versions(table, columns)
    e = Expressions(env, Scope(), queries)
    body = node.expression
    if isinstance(body, exp.Values):
        rows = [
            [e.value(v) for v in (t.expressions if isinstance(t, exp.Tuple) else [t])]
            for t in body.expressions
        ]
        if any(len(row) != len(columns) for row in rows):
            raise SqlError(
                110,
                "There are fewer or more columns in the INSERT statement than values specified in the "
                "VALUES clause.",
                severity=15,
            )
        source = "VALUES " + ", ".join(
            "(" + ", ".join(_assigned(v, c) for v, c in zip(row, columns, strict=True)) + ")" for row in rows
        )
    else:
        result = queries(body)
        if len(result.columns) != len(columns):
            raise SqlError(
                121,
                "The select list for the INSERT statement contains more or fewer items than the insert list.",
                severity=15,
            )
        cells = [
            _assigned(Typed(f"i.c{n}", f.type), c)
            for n, (f, c) in enumerate(zip(result.columns, columns, strict=True))
        ]
        source = (
            f"SELECT {', '.join(cells)} FROM ({result.sql}) AS "
            f"i({', '.join(f'c{n}' for n in range(len(columns)))})"
        )
    listed = ", ".join(quoted(c.name) for c in columns)
    if versions:  # nextval per row, outside of VALUES
        listed += "".join(f", {quoted(v)}" for v in versions)
        source = f"SELECT *{''.join(f', {_NEXT}' for _ in versions)} FROM ({source})"
    return Change(f"INSERT INTO {table.stored} ({listed}) {source}", "INSERT", table)


def _update(node: exp.Update, env: Environment, queries: Queries) -> Change:
    from_ = node.args.get("from_")
    table, alias = _aliased(node.this, from_.this if from_ is not None else None, queries)
    e = Expressions(env, Scope([_target_rows(env, alias, table)]), queries)
    assigned = [_column(table, item.this.name) for item in node.expressions]
    _versions(table, assigned)
    parts = [f"{quoted(c.name)} = {_NEXT}" for c in table.columns if c.type.name == "rowversion"]
    for item in node.expressions:
        column = _column(table, item.this.name)
        parts.append(f"{quoted(column.name)} = {_assigned(e.value(item.expression), column)}")
    where = _where(node, e)
    sql = f"UPDATE {table.stored} AS {quoted(alias)} SET {', '.join(parts)}{where}"
    return Change(sql, "UPDATE", table, tuple(c.name for c in assigned), alias, where)


def _delete(node: exp.Delete, env: Environment, queries: Queries) -> Change:
    named = node.args.get("tables")
    table, alias = _aliased(named[0], node.this, queries) if named else _aliased(node.this, None, queries)
    e = Expressions(env, Scope([_target_rows(env, alias, table)]), queries)
    where = _where(node, e)
    sql = f"DELETE FROM {table.stored} AS {quoted(alias)}{where}"
    return Change(sql, "DELETE", table, (), alias, where)


def _target_rows(env: Environment, alias: str, table: Table) -> Rows:
    """The changed table as a source: reading it takes SELECT only where a column of it is read."""
    return Rows(alias, table.columns, tuple(c.name for c in table.columns), env.reads(table, optional=True))


def _where(node: exp.Expression, e: Expressions) -> str:
    where = node.args.get("where")
    return f" WHERE {e.predicate(where.this)}" if where is not None else ""


def _versions(table: Table, assigned: Sequence[Column]) -> list[str]:
    """The table's rowversion columns, which the server alone fills, as it does the computed ones."""
    if result := next((c.name for c in assigned if c.name in table.computed), None):
        raise SqlError(
            271,
            f'The column "{result}" cannot be modified because it is either a computed column or is the '
            "result of a UNION operator.",
        )
    if any(c.type.name == "rowversion" for c in assigned):
        raise SqlError(272, "Cannot update a timestamp column.")
    return [c.name for c in table.columns if c.type.name == "rowversion"]


def _column(table: Table, name: str) -> Column:
    for column in table.columns:
        if column.name.lower() == name.lower():
            return column
    raise SqlError(207, f"Invalid column name '{name}'.")


def _assigned(value: Typed, column: Column) -> str:
    """A value in the declared type of the column it goes to; text that is too long is error 2628."""
    if value.is_null:
        return f"CAST(NULL AS {duck(column.type)})"
    if column.type.name in ("char", "varchar", "nchar", "nvarchar") and column.type.length > 0:
        text = convert(value.sql, value.type, SqlType("nvarchar", -1))
        failed = raised(2628, f"String or binary data would be truncated in column '{column.name}'.")
        kept = f"rpad({text}, {column.type.length}, ' ')" if column.type.name in ("char", "nchar") else text
        return f"CASE WHEN length({text}) > {column.type.length} THEN {failed} ELSE {kept} END"
    return convert(value.sql, value.type, column.type)
