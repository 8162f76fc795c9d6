"""Translates single nodes of an expression: a literal, a cast, a CASE, a window."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.sqltypes import BIT, FLOAT, INT, NUMBER
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import functions
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.environment import Translator
from airflow_provider_pacs.sandbox.tsql.literals import blind, text_literal, unify
from airflow_provider_pacs.sandbox.tsql.scope import UNKNOWN, Typed


def _literal(e: Translator, node: exp.Expression) -> Typed:
    text = str(node.this)
    if node.args.get("is_string"):
        return Typed(
            text_literal(text),
            SqlType("varchar", max(1, len(text)) if len(text) <= 8000 else -1),
            False,
            text,
        )
    if "e" in text.lower():
        return Typed(f"CAST({text} AS DOUBLE)", FLOAT, False, float(text))
    if "." in text or int(text) > 2147483647:
        whole, _, fraction = text.partition(".")
        digits = len(whole.lstrip("0")) + len(fraction)
        kind = SqlType("numeric", precision=max(1, digits), scale=len(fraction))
        return Typed(f"CAST({text} AS {sqltypes.duck(kind)})", kind, False, Decimal(text))
    return Typed(text, INT, False, int(text))


def _national(e: Translator, node: exp.Expression) -> Typed:
    text = str(node.this)
    return Typed(
        text_literal(text), SqlType("nvarchar", max(1, len(text)) if len(text) <= 4000 else -1), False, text
    )


def _hex(e: Translator, node: exp.Expression) -> Typed:
    text = str(node.this)
    text = "0" + text if len(text) % 2 else text
    return Typed(f"unhex('{text}')", SqlType("varbinary", max(1, len(text) // 2)), False, bytes.fromhex(text))


def _column(e: Translator, node: exp.Expression) -> Typed:
    if isinstance(node.this, exp.Star):
        raise SqlError(102, "Incorrect syntax near '*'.", severity=15)
    if (
        not node.args.get("table")
        and node.this.name.upper() in functions.BARE
        and not node.this.args.get("quoted")
    ):
        return functions.call(e, node.this.name, [])
    return e.scope.column(node.name, node.args["table"].name if node.args.get("table") else "")


def _parameter(e: Translator, node: exp.Expression) -> Typed:
    if isinstance(node.this, exp.Parameter):
        return e.env.system(node.this.this.name)
    return e.env.variable(node.this.name)


def _negative(e: Translator, node: exp.Expression) -> Typed:
    operand = e.value(node.this)
    if operand.type.name not in NUMBER or operand.type == BIT:
        raise SqlError(8117, f"Operand data type {operand.type.name} is invalid for minus operator.")
    return Typed(
        f"(-{operand.sql})",
        operand.type,
        operand.nullable,
        -operand.const if isinstance(operand.const, (int, float, Decimal)) else UNKNOWN,
    )


def _cast(e: Translator, node: exp.Expression) -> Typed:
    convertible = isinstance(node, exp.Convert)
    target = sqltypes.from_node(node.this if convertible else node.args["to"])
    operand = e.value(node.expression if convertible else node.this)
    safe = isinstance(node, exp.TryCast) or bool(node.args.get("safe"))
    style = e.constant(node.args["style"], "a style") if convertible and node.args.get("style") else None
    if operand.is_null:
        return Typed(f"CAST(NULL AS {sqltypes.duck(target)})", target)
    return Typed(convert(operand.sql, operand.type, target, style, safe), target, operand.nullable or safe)


def _case(e: Translator, node: exp.Expression) -> Typed:
    subject = e.value(node.this) if node.this is not None else None
    conditions = [
        e.compare("=", subject, e.value(i.this)) if subject else e.predicate(i.this) for i in node.args["ifs"]
    ]
    default = node.args.get("default")
    values = [e.value(i.args["true"]) for i in node.args["ifs"]] + [
        e.value(default) if default is not None else Typed("NULL", INT)
    ]
    texts, kind = unify(e, values)
    whens = " ".join(f"WHEN {c} THEN {t}" for c, t in zip(conditions, texts, strict=False))
    return Typed(f"CASE {whens} ELSE {texts[-1]} END", kind, any(v.nullable for v in values))


def _subquery(e: Translator, node: exp.Expression) -> Typed:
    result = e.query(node.this, e.scope)
    if len(result.columns) != 1:
        raise SqlError(
            116,
            "Only one expression can be specified in the select list when the subquery is not introduced "
            "with EXISTS.",
        )
    return Typed(f"({result.sql})", result.columns[0].type)


def _collate(e: Translator, node: exp.Expression) -> Typed:
    operand, name = e.value(node.this), node.expression.name.upper()
    exact = "_BIN" in name or "_CS_" in name
    return Typed(f"({operand.sql} COLLATE C)", operand.type, operand.nullable) if exact else operand


def _call_in_schema(e: Translator, node: exp.Expression) -> Typed:
    """`sys.fn_...(...)`."""
    inner = node.expression
    if not isinstance(inner, exp.Anonymous) or node.this.name.lower() != "sys":
        raise untranslated(node.sql("tsql"), "no function of a schema but sys")
    return functions.call(e, str(inner.this), list(inner.expressions))


def _call(e: Translator, node: exp.Expression) -> Typed:
    return functions.call(e, str(node.this), list(node.expressions))


def _window(e: Translator, node: exp.Expression) -> Typed:
    inner = node.this
    if not isinstance(inner, exp.Anonymous):
        raise untranslated(node.sql("tsql"), "no such window")
    parts = ", ".join(blind(v.sql, v.type) for v in map(e.value, node.args.get("partition_by") or []))
    order = node.args.get("order")
    text = (f"PARTITION BY {parts} " if parts else "") + (ordering(e, order) if order else "")
    spec = node.args.get("spec")
    if spec is not None:
        sides = [
            f"{s.name if isinstance(s, exp.Expression) else s} {spec.args.get(f'{k}_side') or ''}".strip()
            for k in ("start", "end")
            if (s := spec.args.get(k))
        ]
        text += f" {spec.args['kind']} " + (
            f"BETWEEN {sides[0]} AND {sides[1]}" if len(sides) == 2 else sides[0]
        )
    return functions.call(e, str(inner.this), list(inner.expressions), f" OVER ({text.strip()})")


def _within(e: Translator, node: exp.Expression) -> Typed:
    return functions.call(
        e, str(node.this.this), list(node.this.expressions), within=ordering(e, node.expression)
    )


def ordering(e: Translator, order: exp.Expression) -> str:
    """An ORDER BY clause; NULL sorts lowest."""
    return "ORDER BY " + ", ".join(f"{e.value(o.this).sql}{direction(o)}" for o in order.expressions)


def direction(node: exp.Expression) -> str:
    """ASC or DESC with the place of NULLs."""
    return " DESC NULLS LAST" if node.args.get("desc") else " ASC NULLS FIRST"


def _at_zone(e: Translator, node: exp.Expression) -> Typed:
    raise untranslated(node.sql("tsql"), "AT TIME ZONE is not translated")


def _paren(e: Translator, node: exp.Expression) -> Typed:
    inner = e.value(node.this)
    return Typed(inner.sql if inner.is_null else f"({inner.sql})", inner.type, inner.nullable, inner.const)


def _bitwise_not(e: Translator, node: exp.Expression) -> Typed:
    inner = e.value(node.this)
    return Typed(f"(~{inner.sql})", inner.type, inner.nullable)


HANDLERS: dict[type[exp.Expression], Callable[[Translator, exp.Expression], Typed]] = {
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
    exp.Paren: _paren,
    exp.Subquery: _subquery,
    exp.Collate: _collate,
    exp.Anonymous: _call,
    exp.Dot: _call_in_schema,
    exp.Window: _window,
    exp.WithinGroup: _within,
    exp.AtTimeZone: _at_zone,
    exp.BitwiseNot: _bitwise_not,
}
