"""Translates CAST and CONVERT, with styles, between every two types that T-SQL converts."""

from __future__ import annotations

from airflow_provider_pacs.sandbox.catalog.sqltypes import (
    APPROXIMATE,
    BYTES,
    CHARACTER,
    EXACT,
    INTEGER,
    MICROSECONDS,
    STAMP,
    duck,
    is_wide,
)
from airflow_provider_pacs.sandbox.model import MAX, SqlError, SqlType

_STYLES = {
    1: "%m/%d/%y", 2: "%y.%m.%d", 3: "%d/%m/%y", 101: "%m/%d/%Y", 102: "%Y.%m.%d", 103: "%d/%m/%Y", 104: "%d.%m.%Y", 105: "%d-%m-%Y", 106: "%d %b %Y",
    107: "%b %d, %Y", 108: "%H:%M:%S", 110: "%m-%d-%Y", 111: "%Y/%m/%d", 112: "%Y%m%d", 20: "%Y-%m-%d %H:%M:%S", 120: "%Y-%m-%d %H:%M:%S",
    23: "%Y-%m-%d", 8: "%H:%M:%S", 24: "%H:%M:%S",
}  # fmt: skip

MACROS = (
    "CREATE SCHEMA IF NOT EXISTS tsql",
    # n/300 s in microseconds: .003333 and .006667 differ from a datetime2's .003 and .007, as they do on SQL
    # Server from level 130.
    "CREATE OR REPLACE MACRO tsql.since_1(t) AS epoch_us(CAST(t AS TIMESTAMP)) + 62135596800000000",
    """CREATE OR REPLACE MACRO tsql.tick(t) AS make_timestamp((((tsql.since_1(t) * 3 + 5000) // 10000) * 20000 + 3) // 6
       - 62135596800000000)""",
    # datetime2(7): a TIMESTAMP and the seventh digit, which compare and sort like one number; and the same as
    # units of 100 ns since 1970.
    "CREATE OR REPLACE MACRO tsql.wide(t, n) AS CASE WHEN t IS NOT NULL THEN struct_pack(t := CAST(t AS "
    "TIMESTAMP), n := CAST(n AS UTINYINT)) END",
    "CREATE OR REPLACE MACRO tsql.units100(w) AS epoch_us(CAST(struct_extract(w, 't') AS TIMESTAMP)) * 10 + "
    "struct_extract(w, 'n')",
    """CREATE OR REPLACE MACRO tsql.from100(k) AS tsql.wide(make_timestamp((k + 621355968000000000) // 10 - 62135596800000000),
       (k + 621355968000000000) % 10)""",
    # A datetime widens to n/300 s with seven digits: .0033333, .0066667.
    """CREATE OR REPLACE MACRO tsql.widened(t) AS tsql.from100(((tsql.since_1(t) * 3 + 5000) // 10000 * 100000 + 1) // 3
       - 621355968000000000)""",
    """CREATE OR REPLACE MACRO tsql.seventh(s) AS coalesce(TRY_CAST(regexp_extract(s, '\\.\\d{6}(\\d)', 1) AS UTINYINT), 0)""",
    """CREATE OR REPLACE MACRO tsql.rounded(k, unit) AS make_timestamp(((k + 621355968000000000 + unit // 2) // unit * unit) // 10
       - 62135596800000000)""",
    """CREATE OR REPLACE MACRO tsql.offset_stamp(t, o) AS CASE WHEN t IS NOT NULL
       THEN struct_pack(utc := CAST(t AS TIMESTAMP) - to_minutes(o), offset_minutes := CAST(o AS SMALLINT)) END""",
    """CREATE OR REPLACE MACRO tsql.guid_text(u) AS upper(substr(u::VARCHAR, 35, 2) || substr(u::VARCHAR, 33, 2) || substr(u::VARCHAR, 31, 2)
       || substr(u::VARCHAR, 29, 2) || '-' || substr(u::VARCHAR, 27, 2) || substr(u::VARCHAR, 25, 2) || '-' || substr(u::VARCHAR, 22, 2)
       || substr(u::VARCHAR, 20, 2) || '-' || substr(u::VARCHAR, 15, 4) || '-' || substr(u::VARCHAR, 1, 8) || substr(u::VARCHAR, 10, 4))""",
    """CREATE OR REPLACE MACRO tsql.guid36(s) AS CAST(substr(s, 25, 12) || substr(s, 20, 4) || substr(s, 17, 2) || substr(s, 15, 2)
       || substr(s, 12, 2)
       || substr(s, 10, 2) || substr(s, 7, 2) || substr(s, 5, 2) || substr(s, 3, 2) || substr(s, 1, 2) AS UUID)""",
    """CREATE OR REPLACE MACRO tsql.guid(s) AS CASE WHEN regexp_matches(s, '^[{]?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}')
       THEN tsql.guid36(ltrim(s, '{')) END""",
    """CREATE OR REPLACE MACRO tsql.stamp(s) AS CASE WHEN trim(s) = '' THEN TIMESTAMP '1900-01-01'
       WHEN regexp_matches(s, '^\\s*\\d{4}-\\d\\d?-\\d\\d?([ T]+\\d\\d?:\\d\\d(:\\d\\d(\\.\\d{1,7})?)?)?Z?\\s*$')
       THEN TRY_CAST(regexp_replace(rtrim(trim(s), 'Zz'), '(\\.\\d{6})\\d$', '\\1') AS TIMESTAMP)
       WHEN regexp_matches(s, '^\\s*\\d\\d?:\\d\\d(:\\d\\d(\\.\\d{1,7})?)?\\s*$') THEN TRY_CAST('1900-01-01 ' || trim(s) AS TIMESTAMP)
       ELSE try_strptime(regexp_replace(trim(s), ' +', ' ', 'g'), ['%Y%m%d', '%Y%m%d %H:%M:%S', '%Y%m%d %H:%M:%S.%f', '%m/%d/%Y', '%m/%d/%Y %H:%M:%S',
       '%m/%d/%Y %I:%M:%S %p', '%Y/%m/%d', '%b %d %Y', '%b %d %Y %I:%M%p', '%d %b %Y']) END""",
    # The default text of a float has six digits and a three-digit exponent.
    """CREATE OR REPLACE MACRO tsql.float_text(x) AS regexp_replace(format('{:g}', x), 'e([+-])(\\d\\d)$', 'e\\10\\2')""",
    # UTF-16 units: an emoji is two, and in code page 1252 it becomes two question marks.
    # Few texts have one: the others are not taken apart for it.
    """CREATE OR REPLACE MACRO tsql.units(s) AS CASE WHEN strlen(s) = length(s) OR NOT regexp_matches(s, '[\\x{10000}-\\x{10FFFF}]') THEN length(s)
       ELSE length(s) + length(regexp_replace(s, '[^\\x{10000}-\\x{10FFFF}]', '', 'g')) END""",
    """CREATE OR REPLACE MACRO tsql.hex(b) AS upper(hex(b))""",
    """CREATE OR REPLACE MACRO tsql.unhex(s) AS CASE WHEN regexp_matches(s, '^0[xX]([0-9A-Fa-f]{2})*$') THEN unhex(substr(s, 3)) END""",
)


def raised(number: int, message: str, detail: str = "''") -> str:
    """DuckDB text that fails with an SQL Server error: the engine reads the number back out of DuckDB's
    message.
    """
    return (
        "error('TDS:"
        + str(number)
        + ":"
        + message.replace("'", "''").replace("{}", "' || " + detail + " || '")
        + "')"
    )


def convert(sql: str, source: SqlType, target: SqlType, style: int | None = None, safe: bool = False) -> str:
    """DuckDB text of CONVERT(target, sql, style), or of TRY_CONVERT where `safe`.

    Raises:
        SqlError: 529 where T-SQL has no such conversion.
    """
    if source == target and style is None:
        return sql
    if source.name in CHARACTER:
        return _from_text(sql, source, target, style, safe)
    if target.name in CHARACTER:
        return _fit(_to_text(sql, source, style), target)
    if target.name in BYTES:
        return _to_bytes(sql, source, target)
    if source.name in BYTES:
        return _from_bytes(sql, source, target)
    return _between(sql, source, target, safe)


def _fit(sql: str, target: SqlType) -> str:
    if target.name == "xml":  # stored as what it means, without the declaration of the encoding it came in
        return f"regexp_replace(CAST({sql} AS VARCHAR), '^<[?]xml[^>]*[?]>', '')"
    if target.length == MAX or target.name in ("text", "ntext"):
        return f"CAST({sql} AS VARCHAR)"
    cut = f"left(CAST({sql} AS VARCHAR), {target.length})"
    return f"rpad({cut}, {target.length}, ' ')" if target.name in ("char", "nchar") else cut


def _from_text(sql: str, source: SqlType, target: SqlType, style: int | None, safe: bool) -> str:
    if target.name in CHARACTER:
        return _fit(sql, target)
    name = target.name
    text, trimmed = f"CAST({sql} AS VARCHAR)", f"trim(CAST({sql} AS VARCHAR))"
    failed = raised(
        245, f"Conversion failed when converting the {source.name} value '{{}}' to data type {name}.", text
    )
    if name in INTEGER:
        value = (
            f"CASE WHEN {trimmed} = '' THEN 0 WHEN regexp_matches({trimmed}, '^[+-]?\\s*[0-9]+$') THEN "
            f"TRY_CAST({trimmed} AS {duck(target)}) END"
        )
    elif name == "bit":
        words = (
            f"CASE WHEN lower({trimmed}) IN ('true') THEN TRUE WHEN lower({trimmed}) IN ('false', '') "
            "THEN "
            "FALSE"
        )
        value = f"{words} ELSE TRY_CAST({trimmed} AS BIGINT) <> 0 END"
    elif name in EXACT:
        value = f"TRY_CAST({trimmed} AS {duck(target)})"
        failed = raised(
            8114, f"Error converting data type {source.name} to {'numeric' if name == 'decimal' else name}."
        )
    elif name in APPROXIMATE:
        value = f"CASE WHEN {trimmed} = '' THEN 0 ELSE TRY_CAST({trimmed} AS {duck(target)}) END"
        failed = raised(8114, f"Error converting data type {source.name} to {name}.")
    elif name == "uniqueidentifier":
        value, failed = (
            f"tsql.guid({text})",
            raised(8169, "Conversion failed when converting from a character string to uniqueidentifier."),
        )
    elif name in BYTES:
        if style not in (1, 2):
            return _fit_bytes(f"encode({text})", target)
        value = _fit_bytes(f"tsql.unhex({text})" if style == 1 else f"unhex({text})", target)
        failed = raised(8114, f"Error converting data type {source.name} to {name}.")
    else:
        value, failed = _stamp_from_text(text, target)
    return (
        f"CAST({value} AS {duck(target)})"
        if safe
        else f"CASE WHEN {sql} IS NULL THEN NULL ELSE coalesce({value}, {failed}) END"
    )


def _stamp_from_text(text: str, target: SqlType) -> tuple[str, str]:
    failed = raised(241, "Conversion failed when converting date and/or time from character string.")
    value = f"tsql.stamp({text})"
    if target.name in ("datetime", "smalldatetime"):
        # Unlike datetime2, these refuse more than three fractional digits, a common trap for text made from a
        # datetime2.
        value = (
            f"CASE WHEN NOT regexp_matches({text}, '\\.\\d{{4,}}') AND tsql.stamp({text}) >= TIMESTAMP "
            f"'1753-01-01' THEN tsql.stamp({text}) END"
        )
    if is_wide(target):
        return f"tsql.wide({value}, tsql.seventh({text}))", failed
    if target.name == "datetimeoffset":
        return _offset_from_text(text, value), failed
    if target.name == "datetime2" and target.scale < 7:
        return _between(
            f"tsql.wide({value}, tsql.seventh({text}))", SqlType("datetime2", scale=7), target, False
        ), failed
    return _between(value, MICROSECONDS, target, False), failed


def _offset_from_text(text: str, value: str) -> str:
    """`2024-02-29 12:00:00.1234567 +05:30`; without an offset it is UTC."""
    zone = f"regexp_extract({text}, '([+-])(\\d\\d):(\\d\\d)\\s*$', ['s', 'h', 'm'])"
    count = f"coalesce(TRY_CAST({zone}.h AS INTEGER) * 60 + TRY_CAST({zone}.m AS INTEGER), 0)"
    minutes = f"CAST({count} * CASE WHEN {zone}.s = '-' THEN -1 ELSE 1 END AS BIGINT)"
    plain = value.replace(text, f"regexp_replace({text}, '\\s*[+-]\\d\\d:\\d\\d\\s*$', '')")
    return f"CASE WHEN abs({minutes}) <= 840 THEN tsql.offset_stamp({plain}, {minutes}) END"


def _to_text(sql: str, source: SqlType, style: int | None) -> str:
    name = source.name
    if name == "uniqueidentifier":
        return f"tsql.guid_text({sql})"
    if name == "bit":
        return f"CAST(CAST({sql} AS INTEGER) AS VARCHAR)"
    if name in APPROXIMATE:
        return f"CAST({sql} AS VARCHAR)" if style == 3 else f"tsql.float_text({sql})"
    if name in ("money", "smallmoney"):
        return f"CAST({sql} AS VARCHAR)" if style == 2 else f"CAST(CAST({sql} AS DECIMAL(19,2)) AS VARCHAR)"
    if name in BYTES:
        if style == 1:
            return f"'0x' || tsql.hex({sql})"
        return f"tsql.hex({sql})" if style == 2 else f"decode({sql})"
    if name in STAMP or name == "date":
        return _stamp_text(sql, source, style)
    if name == "time":
        return (
            f"left(CAST({sql} AS VARCHAR) || '0000000', {9 + source.scale})"
            if source.scale
            else f"left(CAST({sql} AS VARCHAR), 8)"
        )
    if name == "datetimeoffset":
        local = f"CAST(({sql}).utc AS TIMESTAMP) + to_minutes(CAST(({sql}).offset_minutes AS BIGINT))"
        sign = f"CASE WHEN ({sql}).offset_minutes < 0 THEN '-' ELSE '+' END"
        zone = (
            f"format(' {{}}{{:02d}}:{{:02d}}', {sign}, abs(({sql}).offset_minutes) // 60, "
            f"abs(({sql}).offset_minutes) % 60)"
        )
        digits = (
            f"left(strftime(({local}), '%Y-%m-%d %H:%M:%S.%f') || '0', "
            f"{19 + (source.scale + 1 if source.scale else 0)})"
        )
        return f"{digits} || {zone}"
    return f"CAST({sql} AS VARCHAR)"


def _stamp_text(sql: str, source: SqlType, style: int | None) -> str:
    if style is None:
        style = 0 if source.name in ("datetime", "smalldatetime") else 121
    seventh = "'0'"
    if is_wide(source):
        sql, seventh = f"struct_extract({sql}, 't')", f"struct_extract({sql}, 'n')"
    if source.name == "date" and style in (20, 21, 25, 120, 121, 126, 127, 23):
        return f"strftime({sql}, '%Y-%m-%d')"
    if style in (0, 100):
        day = (
            f"strftime({sql}, '%b ') || lpad(CAST(day({sql}) AS VARCHAR), 2, ' ') || strftime({sql}, ' %Y ')"
        )
        return f"{day} || lpad(ltrim(strftime({sql}, '%I:%M%p'), '0'), 7, ' ')"
    if style in _STYLES:
        return f"strftime({sql}, '{_STYLES[style]}')"
    if style not in (21, 25, 121, 126, 127):
        raise SqlError(
            281,
            f"{style} is not a valid style number when converting from {source.name} to a character string.",
        )
    joint = "T" if style in (126, 127) else " "
    if source.name == "smalldatetime" or (source.name == "datetime2" and source.scale == 0):
        return f"strftime({sql}, '%Y-%m-%d{joint}%H:%M:%S')"
    if source.name == "datetime":
        whole = f"strftime({sql} + INTERVAL 500 MICROSECONDS, '%Y-%m-%d{joint}%H:%M:%S.%g')"
        return f"regexp_replace({whole}, '\\.000$', '')" if joint == "T" else whole
    return f"left(strftime({sql}, '%Y-%m-%d{joint}%H:%M:%S.%f') || {seventh}, {20 + source.scale})"


def _fit_bytes(sql: str, target: SqlType) -> str:
    if target.length == MAX or target.name == "image":
        return sql
    cut = f"unhex(left(hex({sql}), {2 * target.length}))"
    return (
        f"unhex(rpad(left(hex({sql}), {2 * target.length}), {2 * target.length}, '0'))"
        if target.name in ("binary", "rowversion")
        else cut
    )


def _to_bytes(sql: str, source: SqlType, target: SqlType) -> str:
    if source.name in BYTES:
        return _fit_bytes(sql, target)
    if source.name in INTEGER or source.name == "bit":
        width = {"bit": 2, "tinyint": 2, "smallint": 4, "int": 8, "bigint": 16}[source.name]
        digits = f"right(lpad(hex(CAST({sql} AS BIGINT)), 16, '0'), {width})"
        if target.name == "varbinary":
            return f"unhex({digits})"
        return f"unhex(right(lpad({digits}, {2 * target.length}, '0'), {2 * target.length}))"
    if source.name == "uniqueidentifier":
        text = f"replace(CAST({sql} AS VARCHAR), '-', '')"
        parts = " || ".join(
            f"substr({text}, {start}, {length})"
            for start, length in ((25, 8), (21, 4), (17, 4), (13, 4), (1, 12))
        )
        return f"unhex({parts})"
    raise SqlError(529, f"Explicit conversion from data type {source.name} to {target.name} is not allowed.")


def _from_bytes(sql: str, source: SqlType, target: SqlType) -> str:
    if target.name in INTEGER:
        width = {"tinyint": 2, "smallint": 4, "int": 8, "bigint": 16}[target.name]
        value = f"CAST('0x' || right(lpad(hex({sql}), 16, '0'), {width}) AS UBIGINT)"
        if target.name == "tinyint":
            return f"CAST({value} AS UTINYINT)"
        half = 1 << (4 * width - 1)
        return (
            f"CAST(CASE WHEN {value} >= {half} THEN CAST({value} AS HUGEINT) - {2 * half} ELSE {value} "
            "END "
            f"AS {duck(target)})"
        )
    if target.name == "uniqueidentifier":
        text = f"rpad(left(hex({sql}), 32), 32, '0')"
        parts = " || ".join(
            f"substr({text}, {start}, {length})"
            for start, length in ((21, 12), (17, 4), (13, 4), (9, 4), (1, 8))
        )
        return f"CAST({parts} AS UUID)"
    raise SqlError(529, f"Explicit conversion from data type {source.name} to {target.name} is not allowed.")


def _between(sql: str, source: SqlType, target: SqlType, safe: bool) -> str:
    cast = "TRY_CAST" if safe else "CAST"
    if source.name == "datetimeoffset" and target.name != "datetimeoffset":
        local = (
            f"(struct_extract({sql}, 'utc') + to_minutes(CAST(struct_extract({sql}, 'offset_minutes') AS "
            "BIGINT)))"
        )
        return _between(local, MICROSECONDS, target, safe)
    if target.name == "datetime2":
        return _to_datetime2(sql, source, target)
    if is_wide(source):
        return _between(f"struct_extract({sql}, 't')", MICROSECONDS, target, safe)
    if target.name == "datetime":
        stamp = (
            f"CAST({sql} AS TIMESTAMP)"
            if source.name not in INTEGER
            else f"(TIMESTAMP '1900-01-01' + to_days({sql}))"
        )
        return (
            f"tsql.tick({stamp})" if source.name != "time" else f"tsql.tick(TIMESTAMP '1900-01-01' + {sql})"
        )
    if target.name == "datetimeoffset":
        return sql if source.name == "datetimeoffset" else f"tsql.offset_stamp({sql}, 0)"
    if target.name == "smalldatetime":
        return f"date_trunc('minute', CAST({sql} AS TIMESTAMP) + INTERVAL 30 SECOND)"
    if target.name in INTEGER and source.name in (EXACT | APPROXIMATE):
        return f"{cast}(trunc({sql}) AS {duck(target)})"
    if target.name == "bit":
        return f"({sql} <> 0)"
    return f"{cast}({sql} AS {duck(target)})"


def _to_datetime2(sql: str, source: SqlType, target: SqlType) -> str:
    """Rounds half up, as SQL Server does."""
    if is_wide(source):
        return f"tsql.rounded(tsql.units100({sql}), {10 ** (7 - target.scale)})" if target.scale < 7 else sql
    if is_wide(target):
        if source.name == "datetime":
            return f"tsql.widened({sql})"
        return f"tsql.wide({_to_datetime2(sql, source, MICROSECONDS)}, 0)"
    stamp = f"CAST({sql} AS TIMESTAMP)" if source.name != "time" else f"(TIMESTAMP '1900-01-01' + {sql})"
    if target.scale >= 6 or source.name in ("date", "smalldatetime"):
        return stamp
    return f"tsql.rounded(epoch_us({stamp}) * 10, {10 ** (7 - target.scale)})"
