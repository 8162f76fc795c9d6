"""Translates GROUP BY, DISTINCT and UNION of text: trailing blanks make no difference, as on SQL Server.

Text is grouped without its trailing blanks; one of the group's values, as they are stored, stands for it in
the select list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import CHARACTER
from airflow_provider_pacs.sandbox.catalog.tables import quoted
from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.tsql import aggregates
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.expressions import Expressions
from airflow_provider_pacs.sandbox.tsql.literals import blind
from airflow_provider_pacs.sandbox.tsql.scope import Typed


class Grouped(Expressions):
    """The expressions of a query that groups by text: outside of aggregates a grouped text is its group's
    first.
    """

    def __init__(self, outer: Expressions) -> None:
        super().__init__(outer.env, outer.scope, outer.query)
        self._inside = 0

    def value(self, node: exp.Expression) -> Typed:
        """See `Expressions`."""
        aggregate = isinstance(node, exp.Anonymous) and str(node.this).upper() in aggregates.NAMES
        self._inside += aggregate
        result = super().value(node)
        self._inside -= aggregate
        return result if self._inside else self.scope.of_group(result)


def grouped(group: exp.Expression, e: Expressions) -> tuple[str, Expressions]:
    """The text of GROUP BY's list, and what translates the expressions beside it.

    Raises:
        SqlError: 102 for GROUP BY of another kind than a list, ROLLUP, CUBE and GROUPING SETS.
    """
    if set(group.args) - {"expressions"} and any(v for k, v in group.args.items() if k != "expressions"):
        raise untranslated(group.sql("tsql"), "GROUP BY of this kind")
    if any(isinstance(item, exp.Rollup | exp.Cube | exp.GroupingSets) for item in group.expressions):
        return ", ".join(_sets(item, e) for item in group.expressions), e
    members = [e.value(item) for item in group.expressions]
    e.scope.grouped = frozenset(m.sql for m in members if m.type.name in CHARACTER)
    return ", ".join(blind(m.sql, m.type) for m in members), Grouped(e) if e.scope.grouped else e


def _sets(item: exp.Expression, e: Expressions) -> str:
    def listed(members: Sequence[Any]) -> str:
        return ", ".join(e.value(m).sql for m in members)

    if isinstance(item, exp.Rollup | exp.Cube):
        return f"{type(item).__name__.upper()} ({listed(item.expressions)})"
    if isinstance(item, exp.GroupingSets):
        sets = [
            m.expressions if isinstance(m, exp.Tuple) else [m.this if isinstance(m, exp.Paren) else m]
            for m in item.expressions
        ]
        return f"GROUPING SETS ({', '.join(f'({listed(m)})' for m in sets)})"
    return e.value(item).sql


def distinct(texts: Sequence[str], columns: Sequence[Column]) -> str:
    """What follows SELECT for the DISTINCT of these outputs."""
    if all(c.type.name not in CHARACTER for c in columns):
        return "DISTINCT "
    return f"DISTINCT ON ({', '.join(blind(text, c.type) for text, c in zip(texts, columns, strict=True))}) "


def union(left: str, right: str, columns: Sequence[Column]) -> str:
    """A UNION that keeps one of what is equal."""
    if all(c.type.name not in CHARACTER for c in columns):
        return f"{left} UNION {right}"
    names = [quoted(f"u{n}") for n in range(len(columns))]
    named = ", ".join(
        f"{name} AS {quoted(c.name or f'c{n}')}"
        for n, (name, c) in enumerate(zip(names, columns, strict=True))
    )
    return (
        f"(SELECT {distinct(names, columns)}{named} FROM ({left} UNION ALL {right}) AS u({', '.join(names)}))"
    )
