"""A parsed T-SQL expression and its scope in; DuckDB text with a T-SQL type out. Whatever it does not know is an error, never passed through."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlglot import exp

from airflow_provider_pacs.sandbox import functions, sqltypes
from airflow_provider_pacs.sandbox.convert import convert
from airflow_provider_pacs.sandbox.dialect import untranslated
from airflow_provider_pacs.sandbox.environment import Environment, Query
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.scope import UNKNOWN, Scope, Typed
from airflow_provider_pacs.sandbox.sqltypes import APPROXIMATE, BIGINT, BIT, BYTES, CHARACTER, FLOAT, INT, INTEGER, NUMBER, STAMP, TEMPORAL

_ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_BITWISE: dict[type[exp.Expression], str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "xor"}
_COMPARISONS: dict[type[exp.Expression], str] = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_NAMES = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}


def text_literal(value: str) -> str:
    """A DuckDB string literal."""
    return "'" + value.replace("'", "''") + "'"


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
            return self._arithmetic(_ARITHMETIC[type(node)], self.value(node.this), self.value(node.expression))
        if type(node) in _BITWISE:
            left, right = self.value(node.this), self.value(node.expression)
            kind = sqltypes.common(left.type, right.type)
            a, b, sign = self.sql(left, kind), self.sql(right, kind), _BITWISE[type(node)]
            return Typed(f"xor({a}, {b})" if sign == "xor" else f"({a} {sign} {b})", kind)
        handler = _VALUES.get(type(node))
        if handler is None:
            raise untranslated(node.sql("tsql"), f"no translation for {type(node).__name__}")
        return handler(self, node)

    def sql(self, typed: Typed, target: SqlType) -> str:
        """The text of an expression after T-SQL's implicit conversion to `target`."""
        if typed.is_null:
            return f"CAST(NULL AS {sqltypes.duck(target)})"
        if typed.type.name in CHARACTER and target.name in CHARACTER:
            return typed.sql
        if {typed.type.name, target.name} <= STAMP | {"date"} and target.name != "date":
            return typed.sql
        return convert(typed.sql, typed.type, target)

    def constant(self, node: exp.Expression, what: str) -> Any:
        """The value of a literal or variable; UNKNOWN values are refused."""
        found = self.value(node)
        if found.const is UNKNOWN:
            raise untranslated(node.sql("tsql"), f"{what} must be a literal or a variable")
        return found.const

    def predicate(self, node: exp.Expression) -> str:
        """A search condition.

        Raises:
            SqlError: 4145 for a value where a condition belongs.
        """
        match node:
            case exp.And() | exp.Or():
                return f"({self.predicate(node.this)} {'AND' if isinstance(node, exp.And) else 'OR'} {self.predicate(node.expression)})"
            case exp.Not():
                return f"(NOT {self.predicate(node.this)})"
            case exp.Paren():
                return f"({self.predicate(node.this)})"
            case exp.Exists():
                return f"EXISTS ({self.query(node.this, self.scope).sql})"
            case exp.Is():
                return f"({self.value(node.this).sql} IS {'NULL' if isinstance(node.expression, exp.Null) else 'NOT NULL'})"
            case exp.Between():
                operand = self.value(node.this)
                low, high = self.value(node.args["low"]), self.value(node.args["high"])
                return f"({self.compare('>=', operand, low)} AND {self.compare('<=', operand, high)})"
            case exp.In():
                return self._membership(node)
            case exp.Escape():
                return self._like(node.this, str(self.constant(node.expression, "ESCAPE")))
            case exp.Like():
                return self._like(node, "")
        if type(node) in _COMPARISONS:
            return self._comparison(_COMPARISONS[type(node)], node.this, node.expression)
        near = node.sql("tsql")[:100]
        raise SqlError(4145, f"An expression of non-boolean type specified in a context where a condition is expected, near '{near}'.", severity=15)

    def compare(self, operator: str, left: Typed, right: Typed) -> str:
        """`left operator right` by the rules of the type both sides become."""
        for one, other in ((left, right), (right, left)):
            if one.type == BIT and other.const in (0, 1) and operator in ("=", "<>") and other.type.name in INTEGER:
                return f"({one.sql} {operator} {'TRUE' if other.const else 'FALSE'})"
        kind = right.type if left.is_null else left.type if right.is_null else sqltypes.common(left.type, right.type)
        if kind.name in ("text", "ntext", "image") and operator != "like":
            raise SqlError(402, f"The data types {left.type.name} and {right.type.name} are incompatible in the equal to operator.")
        a, b = self.sql(left, kind), self.sql(right, kind)
        if kind.name in CHARACTER:  # trailing blanks do not count
            a, b = (x if x == "NULL" or x.endswith(" COLLATE C)") else f"rtrim({x}, ' ')" for x in (a, b))
        return f"({a} {operator} {b})"

    def _comparison(self, operator: str, left: exp.Expression, right: exp.Expression) -> str:
        if isinstance(right, (exp.Any, exp.All)):
            inner = right.this.this if isinstance(right.this, exp.Subquery) else right.this
            found = self.query(inner, self.scope)
            return f"({self.value(left).sql} {operator} {'ANY' if isinstance(right, exp.Any) else 'ALL'} ({found.sql}))"
        return self.compare(operator, self.value(left), self.value(right))

    def _membership(self, node: exp.Expression) -> str:
        operand = self.value(node.this)
        inner = node.args.get("query")
        if inner is not None:
            found = self.query(inner.this if isinstance(inner, exp.Subquery) else inner, self.scope)
            if len(found.columns) != 1:
                raise SqlError(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
            kind = sqltypes.common(operand.type, found.columns[0].type)
            one = self.sql(Typed("m.v", found.columns[0].type), kind)
            a = self.sql(operand, kind)
            if kind.name in CHARACTER:
                a, one = f"rtrim({a}, ' ')", f"rtrim({one}, ' ')"
            return f"({a} IN (SELECT {one} FROM ({found.sql}) AS m(v)))"
        return "(" + " OR ".join(self.compare("=", operand, self.value(e)) for e in node.expressions) + ")"

    def _like(self, node: exp.Expression, escape: str) -> str:
        operand, pattern = self.value(node.this), self.value(node.expression)
        text = (
            self.sql(operand, SqlType("nvarchar", 4000))
            if operand.type.name in CHARACTER
            else convert(operand.sql, operand.type, SqlType("nvarchar", 4000))
        )
        if isinstance(pattern.const, str) and "[" in pattern.const:
            return f"regexp_full_match({text}, {text_literal(like_regex(pattern.const, escape))}, 'is')"
        return f"({text} ILIKE {pattern.sql}{f' ESCAPE {text_literal(escape)}' if escape else ''})"

    def _arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        if operator == "+" and left.type.name in CHARACTER and right.type.name in CHARACTER and not (left.is_null and right.is_null):
            wide = "nvarchar" if "n" in (left.type.name[0], right.type.name[0]) else "varchar"
            limit = 4000 if wide == "nvarchar" else 8000
            length = -1 if -1 in (left.type.length, right.type.length) else min(limit, left.type.length + right.type.length)
            return Typed(f"({left.sql} || {right.sql})", SqlType(wide, length), left.nullable or right.nullable)
        kind = sqltypes.common(left.type, right.type)
        nullable = left.nullable or right.nullable
        if kind.name in ("datetime", "smalldatetime") and operator in "+-":
            return self._days(operator, left, right, kind)
        if kind.name in TEMPORAL | CHARACTER | BYTES | {"uniqueidentifier"} or (left.type == BIT and right.type == BIT):
            raise SqlError(402, f"The data types {left.type.name} and {right.type.name} are incompatible in the {_NAMES[operator]} operator.")
        result = sqltypes.arithmetic(operator, left.type if left.type.name in NUMBER else kind, right.type if right.type.name in NUMBER else kind)
        exact = result.name in ("decimal", "numeric")
        a, b = (x.sql if exact and x.type.name in NUMBER and not x.is_null else self.sql(x, result) for x in (left, right))
        if operator == "/" and result.name in INTEGER:
            operator = "//"
        return Typed(
            f"CAST(({a} {operator} {b}) AS {sqltypes.duck(result)})" if exact or result.name in APPROXIMATE else f"({a} {operator} {b})",
            result,
            nullable,
        )

    def _days(self, operator: str, left: Typed, right: Typed, kind: SqlType) -> Typed:
        if left.type.name in STAMP and right.type.name in NUMBER:
            days = f"to_microseconds(CAST(CAST({right.sql} AS DOUBLE) * 86400000000 AS BIGINT))"
            return Typed(f"tsql.tick({left.sql} {operator} {days})", kind, left.nullable or right.nullable)
        raise SqlError(402, f"The data types {left.type.name} and {right.type.name} are incompatible in the {_NAMES[operator]} operator.")


def like_regex(pattern: str, escape: str) -> str:
    """A LIKE pattern with [sets] as a regular expression."""
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if escape and char == escape and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif char == "[" and (end := pattern.find("]", at + 1)) > 0:
            body = pattern[at + 1 : end].replace("\\", "\\\\")
            out.append("[" + ("^" + body[1:].replace("^", "\\^") if body.startswith("^") else body) + "]" if body else "")
            at = end
        else:
            out.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        at += 1
    return "".join(out)


def _literal(e: Expressions, node: exp.Expression) -> Typed:
    text = str(node.this)
    if node.args.get("is_string"):
        return Typed(text_literal(text), SqlType("varchar", max(1, len(text)) if len(text) <= 8000 else -1), False, text)
    if "e" in text.lower():
        return Typed(f"CAST({text} AS DOUBLE)", FLOAT, False, float(text))
    if "." in text or int(text) > 2147483647:
        whole, _, fraction = text.partition(".")
        digits = len(whole.lstrip("0")) + len(fraction)
        kind = SqlType("numeric", precision=max(1, digits), scale=len(fraction))
        return Typed(f"CAST({text} AS {sqltypes.duck(kind)})", kind, False, Decimal(text))
    return Typed(text, INT, False, int(text))


def _national(e: Expressions, node: exp.Expression) -> Typed:
    text = str(node.this)
    return Typed(text_literal(text), SqlType("nvarchar", max(1, len(text)) if len(text) <= 4000 else -1), False, text)


def _hex(e: Expressions, node: exp.Expression) -> Typed:
    text = str(node.this)
    text = "0" + text if len(text) % 2 else text
    return Typed(f"unhex('{text}')", SqlType("varbinary", max(1, len(text) // 2)), False, bytes.fromhex(text))


def _column(e: Expressions, node: exp.Expression) -> Typed:
    if isinstance(node.this, exp.Star):
        raise SqlError(102, "Incorrect syntax near '*'.", severity=15)
    if not node.args.get("table") and node.this.name.upper() in functions.BARE and not node.this.args.get("quoted"):
        return functions.call(e, node.this.name, [])
    return e.scope.column(node.name, node.args["table"].name if node.args.get("table") else "")


def _parameter(e: Expressions, node: exp.Expression) -> Typed:
    if isinstance(node.this, exp.Parameter):
        return e.env.system(node.this.this.name)
    return e.env.variable(node.this.name)


def _negative(e: Expressions, node: exp.Expression) -> Typed:
    operand = e.value(node.this)
    if operand.type.name not in NUMBER or operand.type == BIT:
        raise SqlError(8117, f"Operand data type {operand.type.name} is invalid for minus operator.")
    return Typed(f"(-{operand.sql})", operand.type, operand.nullable, -operand.const if isinstance(operand.const, (int, float, Decimal)) else UNKNOWN)


def _cast(e: Expressions, node: exp.Expression) -> Typed:
    convertible = isinstance(node, exp.Convert)
    target = sqltypes.from_node(node.this if convertible else node.args["to"])
    operand = e.value(node.expression if convertible else node.this)
    safe = isinstance(node, exp.TryCast) or bool(node.args.get("safe"))
    style = e.constant(node.args["style"], "a style") if convertible and node.args.get("style") else None
    if operand.is_null:
        return Typed(f"CAST(NULL AS {sqltypes.duck(target)})", target)
    return Typed(convert(operand.sql, operand.type, target, style, safe), target, operand.nullable or safe)


def unify(e: Expressions, branches: list[Typed]) -> tuple[list[str], SqlType]:
    """The texts of CASE branches (or COALESCE arguments) in their common type."""
    typed = [b for b in branches if not b.is_null]
    kind = typed[0].type if typed else INT
    for branch in typed[1:]:
        kind = sqltypes.common(kind, branch.type)
    return [e.sql(b, kind) for b in branches], kind


def _case(e: Expressions, node: exp.Expression) -> Typed:
    subject = e.value(node.this) if node.this is not None else None
    conditions = [e.compare("=", subject, e.value(i.this)) if subject else e.predicate(i.this) for i in node.args["ifs"]]
    default = node.args.get("default")
    values = [e.value(i.args["true"]) for i in node.args["ifs"]] + [e.value(default) if default is not None else Typed("NULL", INT)]
    texts, kind = unify(e, values)
    whens = " ".join(f"WHEN {c} THEN {t}" for c, t in zip(conditions, texts, strict=False))
    return Typed(f"CASE {whens} ELSE {texts[-1]} END", kind, any(v.nullable for v in values))


def _subquery(e: Expressions, node: exp.Expression) -> Typed:
    found = e.query(node.this, e.scope)
    if len(found.columns) != 1:
        raise SqlError(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
    return Typed(f"({found.sql})", found.columns[0].type)


def _collate(e: Expressions, node: exp.Expression) -> Typed:
    operand, name = e.value(node.this), node.expression.name.upper()
    exact = "_BIN" in name or "_CS_" in name
    return Typed(f"({operand.sql} COLLATE C)", operand.type, operand.nullable) if exact else operand


def _call(e: Expressions, node: exp.Expression) -> Typed:
    return functions.call(e, str(node.this), list(node.expressions))


def _window(e: Expressions, node: exp.Expression) -> Typed:
    inner = node.this
    if not isinstance(inner, exp.Anonymous):
        raise untranslated(node.sql("tsql"), "no such window")
    parts = ", ".join(e.value(p).sql for p in node.args.get("partition_by") or [])
    order = node.args.get("order")
    text = (f"PARTITION BY {parts} " if parts else "") + (ordering(e, order) if order else "")
    spec = node.args.get("spec")
    if spec is not None:
        sides = [
            f"{s.name if isinstance(s, exp.Expression) else s} {spec.args.get(f'{k}_side') or ''}".strip()
            for k in ("start", "end")
            if (s := spec.args.get(k))
        ]
        text += f" {spec.args['kind']} " + (f"BETWEEN {sides[0]} AND {sides[1]}" if len(sides) == 2 else sides[0])
    return functions.call(e, str(inner.this), list(inner.expressions), f" OVER ({text.strip()})")


def _within(e: Expressions, node: exp.Expression) -> Typed:
    return functions.call(e, str(node.this.this), list(node.this.expressions), within=ordering(e, node.expression))


def ordering(e: Expressions, order: exp.Expression) -> str:
    """An ORDER BY clause; NULL sorts lowest."""
    return "ORDER BY " + ", ".join(f"{e.value(o.this).sql}{direction(o)}" for o in order.expressions)


def direction(node: exp.Expression) -> str:
    """ASC or DESC with the place of NULLs."""
    return " DESC NULLS LAST" if node.args.get("desc") else " ASC NULLS FIRST"


def _at_zone(e: Expressions, node: exp.Expression) -> Typed:
    raise untranslated(node.sql("tsql"), "AT TIME ZONE is not translated")


_VALUES: dict[type[exp.Expression], Callable[[Expressions, exp.Expression], Typed]] = {
    exp.Literal: _literal,
    exp.National: _national,
    exp.HexString: _hex,
    exp.Null: lambda e, n: Typed("NULL", INT, True, None),
    exp.Column: _column,
    exp.Parameter: _parameter,
    exp.Neg: _negative,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Convert: _cast,
    exp.Case: _case,
    exp.Paren: lambda e, n: (lambda t: Typed(f"({t.sql})" if not t.is_null else t.sql, t.type, t.nullable, t.const))(e.value(n.this)),
    exp.Subquery: _subquery,
    exp.Collate: _collate,
    exp.Anonymous: _call,
    exp.Window: _window,
    exp.WithinGroup: _within,
    exp.AtTimeZone: _at_zone,
    exp.BitwiseNot: lambda e, n: (lambda t: Typed(f"(~{t.sql})", t.type, t.nullable))(e.value(n.this)),
}
__all__ = ["BIGINT", "Expressions", "direction", "ordering", "text_literal", "unify"]
