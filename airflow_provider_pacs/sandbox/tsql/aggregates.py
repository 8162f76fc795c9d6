"""Translates aggregate and window functions, with SQL Server's result types (COUNT is int, SUM and AVG of
int are int).
"""

from __future__ import annotations

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.sqltypes import (
    APPROXIMATE,
    BIGINT,
    BIT,
    CHARACTER,
    EXACT,
    FLOAT,
    INT,
    NUMBER,
)
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.environment import Translator
from airflow_provider_pacs.sandbox.tsql.literals import blind
from airflow_provider_pacs.sandbox.tsql.scope import Typed

_SPREAD = {"STDEV": "stddev_samp", "STDEVP": "stddev_pop", "VAR": "var_samp", "VARP": "var_pop"}
_RANKS = frozenset({"ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "PERCENT_RANK", "CUME_DIST"})
_PICKS = frozenset({"LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"})
NAMES = frozenset(
    {"COUNT", "COUNT_BIG", "SUM", "AVG", "MIN", "MAX", "STRING_AGG", "GROUPING"}
    | set(_SPREAD)
    | _RANKS
    | _PICKS
)


def call(e: Translator, name: str, args: list[exp.Expression], over: str, within: str) -> Typed:
    """One aggregate or window function; `over` is ' OVER (...)' or empty, `within` the ORDER BY of WITHIN
    GROUP.

    Raises:
        SqlError: 8117 for a type that has no such aggregate; 10753 for a window function without OVER.
    """
    if name in ("COUNT", "COUNT_BIG"):
        text = (
            "count(*)" if not args or isinstance(args[0], exp.Star) else f"count({_operand(e, args[0])[0]})"
        )
        return Typed(
            f"CAST({text}{over} AS {'INTEGER' if name == 'COUNT' else 'BIGINT'})",
            INT if name == "COUNT" else BIGINT,
            name == "COUNT" and bool(over),
        )
    if name in _RANKS | _PICKS:
        return _ranking(e, name, args, over)
    text, value = _operand(e, args[0])
    if name == "STRING_AGG":
        order = f" {within}" if within else ""
        return Typed(
            f"string_agg({text}, {e.value(args[1]).sql}{order}){over}",
            SqlType("nvarchar" if value.type.name.startswith("n") else "varchar", 8000),
        )
    if name == "GROUPING":
        return Typed(f"CAST(grouping({text}) AS UTINYINT)", SqlType("tinyint"), False)
    if name in ("MIN", "MAX"):
        if value.type == BIT or value.type.name in ("text", "ntext", "image"):
            raise _refused(value, name)
        return Typed(f"{name.lower()}({text}){over}", value.type)
    if value.type.name not in NUMBER or value.type == BIT:
        raise _refused(value, name)
    if name in _SPREAD:
        return Typed(f"{_SPREAD[name]}({text}){over}", FLOAT)
    kind = _total(value.type, name)
    inner = f"{name.lower()}({text}){over}"
    if name == "AVG" and kind.name in sqltypes.INTEGER:
        inner = f"trunc({inner})"
    return Typed(f"CAST({inner} AS {sqltypes.duck(kind)})", kind)


def _refused(value: Typed, name: str) -> SqlError:
    return SqlError(8117, f"Operand data type {value.type.name} is invalid for {name.lower()} operator.")


def _operand(e: Translator, node: exp.Expression) -> tuple[str, Typed]:
    if isinstance(node, exp.Distinct):
        value = e.value(node.expressions[0])
        return f"DISTINCT {blind(value.sql, value.type)}", value
    value = e.value(node)
    return value.sql, value


def _total(kind: SqlType, name: str) -> SqlType:
    if kind.name in APPROXIMATE:
        return FLOAT
    if kind.name in EXACT:
        if "money" in kind.name:
            return sqltypes.MONEY
        return SqlType("decimal", precision=38, scale=kind.scale if name == "SUM" else max(6, kind.scale))
    return BIGINT if kind == BIGINT else INT


def _ranking(e: Translator, name: str, args: list[exp.Expression], over: str) -> Typed:
    if not over:
        raise SqlError(10753, f"The function '{name}' must have an OVER clause.", severity=15)
    values = [e.value(a) for a in args]
    texts = ", ".join(v.sql for v in values)
    if name in _PICKS:
        if (
            len(values) > 2
            and values[0].type.name in CHARACTER
            and values[2].type.name not in CHARACTER
            and not values[2].is_null
        ):
            raise SqlError(
                206, f"Operand type clash: {values[2].type.name} is incompatible with {values[0].type.name}."
            )
        return Typed(f"{name.lower()}({texts}){over}", values[0].type)
    return Typed(
        f"{name.lower()}({texts}){over}", FLOAT if name in ("PERCENT_RANK", "CUME_DIST") else BIGINT, False
    )
