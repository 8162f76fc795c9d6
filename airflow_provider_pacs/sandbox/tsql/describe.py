"""Deduces the types of undeclared parameters, for sp_describe_undeclared_parameters.

The driver asks for a parameter that is None and before `fast_executemany`; what it does not learn it sends as
varchar, and a datetime loses its fraction. Deduced are a value that is inserted, one that is assigned, one
side of a comparison with a column, and the operand of a conversion.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import from_node
from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import Param, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.dialect import parse
from airflow_provider_pacs.sandbox.tsql.dml import target
from airflow_provider_pacs.sandbox.tsql.environment import Environment
from airflow_provider_pacs.sandbox.tsql.queries import Queries

_COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Like, exp.Between, exp.In)


def parameters(texts: Sequence[str], env: Environment) -> list[Param]:
    """The parameters `@P1, @P2 ...` of a batch, in order.

    Raises:
        SqlError: 11508 where a type can't be deduced; and what is wrong with the statement itself.
    """
    result: dict[str, SqlType] = {}
    for text in texts:
        tree = parse(text)
        tables = _tables(tree, env)
        inserted = _inserted(tree, tables)
        for node in tree.find_all(exp.Parameter):
            if not isinstance(node.this, exp.Parameter) and node.this.name.lower().startswith("p"):
                name = node.this.name
                kind = inserted.get(id(node)) or _deduced(node, tables)
                if kind is None:
                    raise SqlError(
                        11508, f"The undeclared parameter '@{name}' is used where its type can't be deduced."
                    )
                result.setdefault(name, kind)
    ordered = sorted(result, key=lambda name: int(name[1:]) if name[1:].isdigit() else 0)
    return [Param(f"@{name}", result[name], None) for name in ordered]


def _tables(tree: exp.Expression, env: Environment) -> list[Table]:
    """The declared tables that a statement names, anywhere: a column's name is looked for in each."""
    queries = Queries(env)
    result = []
    for node in tree.find_all(exp.Table):
        source = queries.table(node)
        if source.table is not None:
            result.append(source.table)
    if isinstance(tree, exp.Insert):
        first = target(tree.this.this if isinstance(tree.this, exp.Schema) else tree.this, queries)
        result.sort(key=lambda table: table is not first)
    return result


def _inserted(tree: exp.Expression, tables: Sequence[Table]) -> dict[int, SqlType]:
    """The column's type for each parameter that is a value of INSERT ... VALUES."""
    if not isinstance(tree, exp.Insert) or not isinstance(tree.expression, exp.Values):
        return {}
    columns = list(tables[0].writable)
    if isinstance(tree.this, exp.Schema):
        columns = [tables[0].column(item.name) for item in tree.this.expressions]
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in tree.expression.expressions]
    return {id(value): column.type for row in rows for value, column in zip(row, columns, strict=False)}


def _deduced(node: exp.Expression, tables: Sequence[Table]) -> SqlType | None:
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    if isinstance(parent, exp.Cast | exp.TryCast):
        return from_node(parent.args["to"])
    if isinstance(parent, exp.Convert):
        return from_node(parent.this)
    if isinstance(parent, _COMPARED):
        for other in parent.find_all(exp.Column):
            for table in tables:
                for column in table.columns:
                    if column.name.lower() == other.name.lower():
                        return column.type
    return None
