"""Translates scalar expressions and search conditions, with their T-SQL types.

Whatever it does not know is an error, never passed through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.sqltypes import (
    APPROXIMATE,
    BIT,
    BYTES,
    CHARACTER,
    INTEGER,
    NUMBER,
    STAMP,
    TEMPORAL,
)
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import nodes
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.environment import Compiled, Environment, Query
from airflow_provider_pacs.sandbox.tsql.literals import blind, like_regex, text_literal
from airflow_provider_pacs.sandbox.tsql.scope import UNKNOWN, Scope, Typed

_ARITHMETIC: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_BITWISE: dict[type[exp.Expression], str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "xor"}
_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_NAMES = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}


class Expressions:
    """Translates the expressions of one query."""

    def __init__(self, env: Environment, scope: Scope, query: Query) -> None:
        self.env, self.scope, self.query = env, scope, query

    def value(self, node: exp.Expression) -> Typed:
        """A scalar expression.

        Raises:
            SqlError: 102 for what is not translated; 195, 207 ... as SQL Server has them.
        """
        if type(node) in _ARITHMETIC:
            return self._arithmetic(
                _ARITHMETIC[type(node)], self.value(node.this), self.value(node.expression)
            )
        if type(node) in _BITWISE:
            left, right = self.value(node.this), self.value(node.expression)
            kind = sqltypes.common(left.type, right.type)
            a, b, sign = self.sql(left, kind), self.sql(right, kind), _BITWISE[type(node)]
            return Typed(f"xor({a}, {b})" if sign == "xor" else f"({a} {sign} {b})", kind)
        handler = nodes.HANDLERS.get(type(node))
        if handler is None:
            raise untranslated(node.sql("tsql"), f"no translation for {type(node).__name__}")
        return handler(self, node)

    def sql(self, typed: Typed, target: SqlType) -> str:
        """The text of an expression after T-SQL's implicit conversion to `target`."""
        if typed.is_null:
            return f"CAST(NULL AS {sqltypes.duck(target)})"
        if typed.type.name in CHARACTER and target.name in CHARACTER:
            return typed.sql
        narrow = not sqltypes.is_wide(typed.type) and not sqltypes.is_wide(target)
        if narrow and {typed.type.name, target.name} <= STAMP | {"date"} and target.name != "date":
            return typed.sql
        return convert(typed.sql, typed.type, target)

    def constant(self, node: exp.Expression, what: str) -> Any:
        """The value of a literal or variable; UNKNOWN values are refused."""
        matched = self.value(node)
        if matched.const is UNKNOWN:
            raise untranslated(node.sql("tsql"), f"{what} must be a literal or a variable")
        return matched.const

    def predicate(self, node: exp.Expression) -> str:
        """A search condition.

        Raises:
            SqlError: 4145 for a value where a condition belongs.
        """
        if type(node) in _COMPARISONS:
            return self._comparison(_COMPARISONS[type(node)], node.this, node.expression)
        handler = _PREDICATES.get(type(node))
        if handler is None:
            near = node.sql("tsql")[:100]
            raise SqlError(
                4145,
                "An expression of non-boolean type specified in a context where a condition is expected, "
                f"near '{near}'.",
                severity=15,
            )
        return handler(self, node)

    def _junction(self, node: exp.Expression) -> str:
        return (
            f"({self.predicate(node.this)} {'AND' if isinstance(node, exp.And) else 'OR'} "
            f"{self.predicate(node.expression)})"
        )

    def _not(self, node: exp.Expression) -> str:
        return f"(NOT {self.predicate(node.this)})"

    def _paren(self, node: exp.Expression) -> str:
        return f"({self.predicate(node.this)})"

    def _exists(self, node: exp.Expression) -> str:
        return f"EXISTS ({self.query(node.this, self.scope).sql})"

    def _is(self, node: exp.Expression) -> str:
        return (
            f"({self.value(node.this).sql} IS "
            f"{'NULL' if isinstance(node.expression, exp.Null) else 'NOT NULL'})"
        )

    def _between(self, node: exp.Expression) -> str:
        operand = self.value(node.this)
        low, high = self.value(node.args["low"]), self.value(node.args["high"])
        return f"({self.compare('>=', operand, low)} AND {self.compare('<=', operand, high)})"

    def _escape(self, node: exp.Expression) -> str:
        return self._like(node.this, str(self.constant(node.expression, "ESCAPE")))

    def compare(self, operator: str, left: Typed, right: Typed) -> str:
        """`left operator right` by the rules of the type both sides become."""
        for left_side, right_side in ((left, right), (right, left)):
            if (
                left_side.type == BIT
                and right_side.const in (0, 1)
                and operator in ("=", "<>")
                and right_side.type.name in INTEGER
            ):
                return f"({left_side.sql} {operator} {'TRUE' if right_side.const else 'FALSE'})"
        kind = (
            right.type
            if left.is_null
            else left.type
            if right.is_null
            else sqltypes.common(left.type, right.type)
        )
        if kind.name in ("text", "ntext", "image") and operator != "like":
            raise SqlError(
                402,
                f"The data types {left.type.name} and {right.type.name} are incompatible in the equal to "
                "operator.",
            )
        a, b = self.sql(left, kind), self.sql(right, kind)
        if kind.name in CHARACTER:  # trailing blanks do not count
            a, b = (x if x == "NULL" or x.endswith(" COLLATE C)") else f"rtrim({x}, ' ')" for x in (a, b))
        return f"({a} {operator} {b})"

    def _comparison(self, operator: str, left: exp.Expression, right: exp.Expression) -> str:
        if isinstance(right, (exp.Any, exp.All)):
            inner = right.this.this if isinstance(right.this, exp.Subquery) else right.this
            left_side, right_side = self._alike(self.value(left), self.query(inner, self.scope))
            return f"({left_side} {operator} {'ANY' if isinstance(right, exp.Any) else 'ALL'} ({right_side}))"
        return self.compare(operator, self.value(left), self.value(right))

    def _membership(self, node: exp.Expression) -> str:
        operand = self.value(node.this)
        inner = node.args.get("query")
        if inner is not None:
            member, members = self._alike(
                operand, self.query(inner.this if isinstance(inner, exp.Subquery) else inner, self.scope)
            )
            return f"({member} IN ({members}))"
        return "(" + " OR ".join(self.compare("=", operand, self.value(e)) for e in node.expressions) + ")"

    def _alike(self, operand: Typed, matched: Compiled) -> tuple[str, str]:
        """A value and the query of what it is compared with, in their common type; trailing blanks of text
        make no difference.
        """
        if len(matched.columns) != 1:
            raise SqlError(
                116,
                "Only one expression can be specified in the select list when the subquery is not "
                "introduced with EXISTS.",
            )
        kind = sqltypes.common(operand.type, matched.columns[0].type)
        other = blind(self.sql(Typed("m.v", matched.columns[0].type), kind), kind)
        return blind(self.sql(operand, kind), kind), f"SELECT {other} FROM ({matched.sql}) AS m(v)"

    def _like(self, node: exp.Expression, escape: str = "") -> str:
        operand, pattern = self.value(node.this), self.value(node.expression)
        text = (
            self.sql(operand, SqlType("nvarchar", 4000))
            if operand.type.name in CHARACTER
            else convert(operand.sql, operand.type, SqlType("nvarchar", 4000))
        )
        inverted = "NOT " if node.args.get("negate") else ""
        if isinstance(pattern.const, str) and "[" in pattern.const:
            return (
                f"({inverted}regexp_full_match({text}, {text_literal(like_regex(pattern.const, escape))}, "
                "'is'))"
            )
        return f"({text} {inverted}ILIKE {pattern.sql}{f' ESCAPE {text_literal(escape)}' if escape else ''})"

    def _arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        if (
            operator == "+"
            and left.type.name in CHARACTER
            and right.type.name in CHARACTER
            and not (left.is_null and right.is_null)
        ):
            wide = "nvarchar" if "n" in (left.type.name[0], right.type.name[0]) else "varchar"
            limit = 4000 if wide == "nvarchar" else 8000
            length = (
                -1
                if -1 in (left.type.length, right.type.length)
                else min(limit, left.type.length + right.type.length)
            )
            return Typed(
                f"({left.sql} || {right.sql})", SqlType(wide, length), left.nullable or right.nullable
            )
        kind = sqltypes.common(left.type, right.type)
        nullable = left.nullable or right.nullable
        if kind.name in ("datetime", "smalldatetime") and operator in "+-":
            return self._days(operator, left, right, kind)
        if kind.name in TEMPORAL | CHARACTER | BYTES | {"uniqueidentifier"} or (
            left.type == BIT and right.type == BIT
        ):
            raise SqlError(
                402,
                f"The data types {left.type.name} and {right.type.name} are incompatible in the "
                f"{_NAMES[operator]} operator.",
            )
        result = sqltypes.arithmetic(
            operator,
            left.type if left.type.name in NUMBER else kind,
            right.type if right.type.name in NUMBER else kind,
        )
        exact = result.name in ("decimal", "numeric")
        a, b = (
            x.sql if exact and x.type.name in NUMBER and not x.is_null else self.sql(x, result)
            for x in (left, right)
        )
        if operator == "/" and result.name in INTEGER:
            operator = "//"
        return Typed(
            f"CAST(({a} {operator} {b}) AS {sqltypes.duck(result)})"
            if exact or result.name in APPROXIMATE
            else f"({a} {operator} {b})",
            result,
            nullable,
        )

    def _days(self, operator: str, left: Typed, right: Typed, kind: SqlType) -> Typed:
        if left.type.name in STAMP and right.type.name in NUMBER:
            days = f"to_microseconds(CAST(CAST({right.sql} AS DOUBLE) * 86400000000 AS BIGINT))"
            return Typed(f"tsql.tick({left.sql} {operator} {days})", kind, left.nullable or right.nullable)
        raise SqlError(
            402,
            f"The data types {left.type.name} and {right.type.name} are incompatible in the "
            f"{_NAMES[operator]} operator.",
        )


_PREDICATES: dict[type[exp.Expression], Callable[[Expressions, exp.Expression], str]] = {
    exp.And: Expressions._junction,
    exp.Or: Expressions._junction,
    exp.Not: Expressions._not,
    exp.Paren: Expressions._paren,
    exp.Exists: Expressions._exists,
    exp.Is: Expressions._is,
    exp.Between: Expressions._between,
    exp.In: Expressions._membership,
    exp.Escape: Expressions._escape,
    exp.Like: Expressions._like,
}
