"""Translates T-SQL's date functions.

The present moment is the session's, one for the whole statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import (
    CHARACTER,
    DATE,
    DATETIME,
    DATETIME2,
    DATETIMEOFFSET,
    INT,
    INTEGER,
    MICROSECONDS,
    STAMP,
    duck,
    is_wide,
)
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.environment import Translator
from airflow_provider_pacs.sandbox.tsql.scope import Typed

Handler = Callable[["Translator", list[exp.Expression]], Typed]
_PARTS = {
    "year": "year yy yyyy", "quarter": "quarter qq q", "month": "month mm m", "dayofyear": "dayofyear dy y", "day": "day dd d", "week": "week wk ww",
    "weekday": "weekday dw w", "hour": "hour hh", "minute": "minute mi n", "second": "second ss s", "millisecond": "millisecond ms",
    "microsecond": "microsecond mcs", "nanosecond": "nanosecond ns", "iso_week": "iso_week isowk isoww",
}  # fmt: skip
_PART = {alias: part for part, aliases in _PARTS.items() for alias in aliases.split()}
_MICROSECONDS = {"week": 604_800_000_000, "day": 86_400_000_000, "dayofyear": 86_400_000_000, "weekday": 86_400_000_000, "hour": 3_600_000_000,
                 "minute": 60_000_000, "second": 1_000_000, "millisecond": 1_000, "microsecond": 1}  # fmt: skip
_MONTHS = {"year": 12, "quarter": 3, "month": 1}
_EXTRACT = {
    "year": "year({0})", "quarter": "quarter({0})", "month": "month({0})", "day": "day({0})", "dayofyear": "dayofyear({0})", "hour": "hour({0})",
    "minute": "minute({0})", "second": "second({0})", "millisecond": "(microsecond({0} + INTERVAL 500 MICROSECOND) // 1000) % 1000",
    "microsecond": "microsecond({0}) % 1000000", "nanosecond": "(microsecond({0}) % 1000000) * 1000", "iso_week": "weekofyear({0})",
    "weekday": "dayofweek({0}) + 1",
    "week": "(dayofyear({0}) + dayofweek(date_trunc('year', {0})) - 1) // 7 + 1",
}  # fmt: skip


def _part(node: exp.Expression, function: str) -> str:
    name = node.name.lower()
    if name not in _PART:
        raise SqlError(155, f"'{node.name}' is not a recognized {function} option.", severity=15)
    return _PART[name]


def _stamp(value: Typed) -> Typed:
    """Text and integers become datetime, as in SQL Server; date and time types stay."""
    if value.type.name in CHARACTER:
        return Typed(convert(value.sql, value.type, DATETIME2), DATETIME2, value.nullable)
    if value.type.name in INTEGER:
        return Typed(convert(value.sql, value.type, DATETIME), DATETIME, value.nullable)
    return value


def _dateadd(e: Translator, args: list[exp.Expression]) -> Typed:
    part, number, value = _part(args[0], "dateadd"), e.value(args[1]), _stamp(e.value(args[2]))
    if is_wide(value.type):
        return _dateadd_wide(e, part, number, value)
    count = number.sql if number.type.name in INTEGER else convert(number.sql, number.type, INT)
    if part in _MONTHS:
        step = f"to_months(CAST(({count}) * {_MONTHS[part]} AS INTEGER))"
    elif part == "nanosecond":
        step = f"to_microseconds(CAST(({count}) AS BIGINT) // 1000)"
    else:
        step = f"to_microseconds(CAST(({count}) AS BIGINT) * {_MICROSECONDS[part]})"
    kind = DATETIME if value.type.name in CHARACTER else value.type
    if kind.name == "datetimeoffset":
        typed = f"CAST({value.sql} AS {duck(kind)})"  # a variable may hold a bare NULL
        minutes = f"CAST(struct_extract({typed}, 'offset_minutes') AS BIGINT)"
        local = f"CAST(struct_extract({typed}, 'utc') AS TIMESTAMP) + to_minutes({minutes})"
        return Typed(
            f"tsql.offset_stamp({local} + {step}, {minutes})", kind, number.nullable or value.nullable
        )
    text = f"({value.sql} + {step})"
    if kind.name == "date":
        text = f"CAST({text} AS DATE)"
    if kind == DATETIME and part in ("millisecond", "microsecond", "nanosecond"):
        text = f"tsql.tick({text})"
    return Typed(text, kind, number.nullable or value.nullable)


def _dateadd_wide(e: Translator, part: str, number: Typed, value: Typed) -> Typed:
    """datetime2(7): months move the date, all else is counted in units of 100 ns."""
    count = number.sql if number.type.name in INTEGER else convert(number.sql, number.type, INT)
    if part in _MONTHS:
        moment = f"struct_extract({value.sql}, 't') + to_months(CAST(({count}) * {_MONTHS[part]} AS INTEGER))"
        text = f"tsql.wide({moment}, struct_extract({value.sql}, 'n'))"
    else:
        units = (
            f"CAST(round(({count}) / 100.0) AS BIGINT)"
            if part == "nanosecond"
            else f"CAST(({count}) AS BIGINT) * {10 * _MICROSECONDS[part]}"
        )
        text = f"tsql.from100(tsql.units100({value.sql}) + {units})"
    return Typed(text, DATETIME2, number.nullable or value.nullable)


def _zone(e: Translator, node: exp.Expression, function: str) -> int:
    """Minutes of `'+05:30'` or of a number of them."""
    zone = e.constant(node, "an offset")
    result = re.fullmatch(r"([+-])(\d\d):(\d\d)", str(zone))
    minutes = (
        int(zone)
        if isinstance(zone, int)
        else int(f"{result[1]}{int(result[2]) * 60 + int(result[3])}")
        if result
        else 841
    )
    if abs(minutes) > 840:
        raise SqlError(9812, f"The timezone provided to builtin function {function} is invalid.")
    return minutes


def _to_offset(e: Translator, args: list[exp.Expression]) -> Typed:
    """The clock face stays and gets an offset."""
    value, minutes = e.value(args[0]), _zone(e, args[1], "todatetimeoffset")
    return Typed(
        f"tsql.offset_stamp({convert(value.sql, value.type, MICROSECONDS)}, ({minutes})::BIGINT)",
        DATETIMEOFFSET,
        value.nullable,
    )


def _switch_offset(e: Translator, args: list[exp.Expression]) -> Typed:
    value, minutes = e.value(args[0]), _zone(e, args[1], "switchoffset")
    moment = (
        value.sql if value.type.name == "datetimeoffset" else convert(value.sql, value.type, DATETIMEOFFSET)
    )
    utc = f"struct_extract({moment}, 'utc')"
    return Typed(
        f"CASE WHEN {utc} IS NOT NULL THEN struct_pack(utc := {utc}, offset_minutes := "
        f"({minutes})::SMALLINT) END",
        DATETIMEOFFSET,
        value.nullable,
    )


def _datediff(big: bool) -> Handler:
    """Boundaries crossed, not whole units: DATEDIFF(YEAR, 31 December, 1 January) is 1."""

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        part, start, end = _part(args[0], "datediff"), _stamp(e.value(args[1])), _stamp(e.value(args[2]))
        a, b = (_as_timestamp(v) for v in (start, end))
        if part in _MONTHS:
            text = f"date_diff('{part}', {a}, {b})"
        elif part == "week":
            text = (
                f"date_diff('day', date_trunc('week', {a} + INTERVAL 1 DAY), date_trunc('week', {b} + "
                "INTERVAL 1 DAY)) // 7"
            )
        elif part == "nanosecond":
            text = f"(epoch_us({b}) - epoch_us({a})) * 1000"
        else:
            text = f"date_diff('{'day' if part in ('dayofyear', 'weekday') else part}', {a}, {b})"
        kind = SqlType("bigint") if big else INT
        return Typed(
            f"CAST({text} AS {'BIGINT' if big else 'INTEGER'})", kind, start.nullable or end.nullable
        )

    return handler


def _as_timestamp(value: Typed) -> str:
    return (
        value.sql
        if value.type.name in STAMP and not is_wide(value.type)
        else convert(value.sql, value.type, MICROSECONDS)
    )


def _datepart(e: Translator, args: list[exp.Expression]) -> Typed:
    value = _stamp(e.value(args[1]))
    if is_wide(value.type) and _part(args[0], "datepart") == "nanosecond":
        return Typed(
            f"CAST((tsql.units100({value.sql}) + 621355968000000000) % 10000000 * 100 AS INTEGER)",
            INT,
            value.nullable,
        )
    return Typed(
        f"CAST({_EXTRACT[_part(args[0], 'datepart')].format(_as_timestamp(value))} AS INTEGER)",
        INT,
        value.nullable,
    )


def _datename(e: Translator, args: list[exp.Expression]) -> Typed:
    part, value = _part(args[0], "datename"), _as_timestamp(_stamp(e.value(args[1])))
    named = {"month": f"monthname({value})", "weekday": f"dayname({value})"}
    return Typed(
        named.get(part) or f"CAST({_EXTRACT[part].format(value)} AS VARCHAR)", SqlType("nvarchar", 30)
    )


def _extract(part: str) -> Handler:
    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        value = _stamp(e.value(args[0]))
        return Typed(f"CAST({_EXTRACT[part].format(_as_timestamp(value))} AS INTEGER)", INT, value.nullable)

    return handler


def _literal(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.isoformat(' ', 'microseconds')}'"


def _now(utc: bool, kind: SqlType) -> Handler:
    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        instant = e.env.instant()
        text = _literal(instant.utc if utc else instant.local)
        return Typed(f"tsql.tick({text})" if kind == DATETIME else f"tsql.wide({text}, 0)", kind, False)

    return handler


def _now_offset(e: Translator, args: list[exp.Expression]) -> Typed:
    instant = e.env.instant()
    return Typed(
        f"struct_pack(utc := {_literal(instant.utc)}, offset_minutes := {instant.offset_minutes}::SMALLINT)",
        DATETIMEOFFSET,
        False,
    )


def _eomonth(e: Translator, args: list[exp.Expression]) -> Typed:
    value = _as_timestamp(_stamp(e.value(args[0])))
    if len(args) > 1:
        value = f"({value} + to_months({e.value(args[1]).sql}))"
    return Typed(f"last_day({value})", DATE)


def _from_parts(e: Translator, args: list[exp.Expression]) -> Typed:
    return Typed(f"make_date({', '.join(e.value(a).sql for a in args[:3])})", DATE)


HANDLERS: dict[str, Handler] = {
    "DATEADD": _dateadd, "DATEDIFF": _datediff(False), "DATEDIFF_BIG": _datediff(True), "DATEPART": _datepart, "DATENAME": _datename,
    "YEAR": _extract("year"), "MONTH": _extract("month"), "DAY": _extract("day"), "EOMONTH": _eomonth, "DATEFROMPARTS": _from_parts,
    "GETDATE": _now(False, DATETIME), "CURRENT_TIMESTAMP": _now(False, DATETIME), "GETUTCDATE": _now(True, DATETIME),
    "SYSDATETIME": _now(False, DATETIME2), "SYSUTCDATETIME": _now(True, DATETIME2), "SYSDATETIMEOFFSET": _now_offset,
    "SWITCHOFFSET": _switch_offset, "TODATETIMEOFFSET": _to_offset,
}  # fmt: skip
