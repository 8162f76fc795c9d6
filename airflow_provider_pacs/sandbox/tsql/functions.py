"""Translates T-SQL's functions, with the types of their results.

An unknown name is error 195.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.sqltypes import (
    APPROXIMATE,
    BIGINT,
    BIT,
    CHARACTER,
    FLOAT,
    GUID,
    INT,
    NUMBER,
    SYSNAME,
)
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import aggregates, date_functions
from airflow_provider_pacs.sandbox.tsql.convert import convert
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.environment import Translator
from airflow_provider_pacs.sandbox.tsql.literals import like_regex, text_literal, unify
from airflow_provider_pacs.sandbox.tsql.scope import UNKNOWN, Typed

Handler = Callable[["Translator", list[exp.Expression]], Typed]
BARE = frozenset({"CURRENT_TIMESTAMP", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER"})
_TEXT = SqlType("nvarchar", 4000)


def call(e: Translator, name: str, args: list[exp.Expression], over: str = "", within: str = "") -> Typed:
    """A call of a scalar, aggregate or window function (`over` and `within` are DuckDB text).

    Raises:
        SqlError: 195 for a name that is none; 174 for a wrong number of arguments.
    """
    upper = name.upper()
    if upper in aggregates.NAMES:
        return aggregates.call(e, upper, args, over, within)
    handler = _HANDLERS.get(upper) or date_functions.HANDLERS.get(upper)
    if over or handler is None:
        raise SqlError(195, f"'{name}' is not a recognized built-in function name.", severity=15)
    try:
        return handler(e, args)
    except IndexError as error:
        raise SqlError(174, f"The {name.lower()} function requires more arguments.", severity=15) from error


def _simple(template: str, kind: SqlType | None = None, *operands: SqlType | None) -> Handler:
    """A function that is a template over its arguments, each first converted to the type named for it (None:
    as it is).

    Without `kind` the result has the type of the first argument.
    """

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        values = [e.value(a) for a in args]
        wanted = list(operands) + [None] * (len(values) - len(operands))
        texts = [
            v.sql if w is None and not v.is_null else as_type(e, v, w or INT)
            for v, w in zip(values, wanted, strict=True)
        ]
        if "{1}" in template and len(texts) < 2:
            raise IndexError(template)
        return Typed(template.format(*texts), kind or values[0].type, any(v.nullable for v in values))

    return handler


def as_type(e: Translator, value: Typed, target: SqlType) -> str:
    """A value as text of DuckDB in another type."""
    if target.name in CHARACTER and value.type.name not in CHARACTER and not value.is_null:
        return convert(value.sql, value.type, target)
    return e.sql(value, target)


def _isnull(e: Translator, args: list[exp.Expression]) -> Typed:
    first, second = e.value(args[0]), e.value(args[1])
    kind = second.type if first.is_null else first.type
    return Typed(
        f"coalesce({as_type(e, first, kind)}, {as_type(e, second, kind)})",
        kind,
        first.nullable and second.nullable,
    )


def _coalesce(e: Translator, args: list[exp.Expression]) -> Typed:
    values = [e.value(a) for a in args]
    texts, kind = unify(e, values)
    return Typed(f"coalesce({', '.join(texts)})", kind, all(v.nullable for v in values))


def _nullif(e: Translator, args: list[exp.Expression]) -> Typed:
    first, second = e.value(args[0]), e.value(args[1])
    return Typed(f"CASE WHEN {e.compare('=', first, second)} THEN NULL ELSE {first.sql} END", first.type)


def _iif(e: Translator, args: list[exp.Expression]) -> Typed:
    values = [e.value(args[1]), e.value(args[2])]
    texts, kind = unify(e, values)
    return Typed(
        f"CASE WHEN {e.predicate(args[0])} THEN {texts[0]} ELSE {texts[1]} END",
        kind,
        any(v.nullable for v in values),
    )


def _choose(e: Translator, args: list[exp.Expression]) -> Typed:
    texts, kind = unify(e, [e.value(a) for a in args[1:]])
    whens = " ".join(f"WHEN {n} THEN {t}" for n, t in enumerate(texts, start=1))
    return Typed(f"CASE {e.value(args[0]).sql} {whens} END", kind)


def _concat(e: Translator, args: list[exp.Expression]) -> Typed:
    values = [e.value(a) for a in args]
    texts = [f"coalesce({as_type(e, v, SqlType('nvarchar', -1))}, '')" for v in values]
    return Typed(
        f"({' || '.join(texts)})",
        _TEXT if any(v.type.name.startswith("n") for v in values) else SqlType("varchar", 8000),
        False,
    )


def _concat_ws(e: Translator, args: list[exp.Expression]) -> Typed:
    values = [e.value(a) for a in args]
    return Typed(
        f"concat_ws({', '.join(as_type(e, v, SqlType('nvarchar', -1)) for v in values)})", _TEXT, False
    )


def _text_function(template: str) -> Handler:
    """A function of text whose result is text of the same alphabet, as long as it may be; never padded, even
    of char(n).
    """

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        values = [e.value(a) for a in args]
        first = as_type(e, values[0], SqlType("varchar", 8000))
        rest = [v.sql for v in values[1:]]
        if template.count("{") > len(values):
            raise IndexError(template)
        kind = values[0].type if values[0].type.name in CHARACTER else SqlType("varchar", 8000)
        limit = 4000 if kind.name.startswith("n") else 8000
        grown = template.startswith(("replace", "repeat", "rpad", "stuff"))
        varying = (
            kind.name.replace("text", "varchar")
            if "var" in kind.name or "text" in kind.name
            else kind.name.replace("char", "varchar")
        )
        kind = SqlType(varying, kind.length if not grown or kind.length < 0 else limit)
        return Typed(template.format(first, *rest), kind, any(v.nullable for v in values))

    return handler


def _substring(e: Translator, args: list[exp.Expression]) -> Typed:
    value, start, length = (e.value(a) for a in args[:3])
    if value.type.name not in CHARACTER:  # bytes: always varbinary, as long as a constant length allows
        bound = value.type.length if value.type.length > 0 else 8000
        size = min(bound, max(1, length.const)) if isinstance(length.const, int) else bound
        return Typed(
            f"unhex(substr(hex({value.sql}), 2 * ({start.sql}) - 1, 2 * ({length.sql})))",
            SqlType("varbinary", size),
            value.nullable,
        )
    # A start before the first character eats into the length.
    text = (
        f"substr({value.sql}, greatest({start.sql}, 1), greatest(0, ({length.sql}) + least(({start.sql}) "
        "- "
        "1, 0)))"
    )
    return Typed(text, SqlType(value.type.name.replace("text", "varchar"), value.type.length), value.nullable)


def _charindex(e: Translator, args: list[exp.Expression]) -> Typed:
    values = [e.value(a) for a in args]
    needle, hay = (f"lower({v.sql})" for v in values[:2])
    if len(values) < 3:
        return Typed(f"CAST(instr({hay}, {needle}) AS INTEGER)", INT)
    start = f"greatest({values[2].sql}, 1)"
    result = f"instr(substr({hay}, {start}), {needle})"
    return Typed(f"CAST(CASE WHEN {result} = 0 THEN 0 ELSE {result} + {start} - 1 END AS INTEGER)", INT)


def _patindex(e: Translator, args: list[exp.Expression]) -> Typed:
    pattern, value = str(e.constant(args[0], "a pattern")), e.value(args[1])
    body = like_regex(pattern.strip("%"), "")
    regex = ("" if pattern.startswith("%") else "^") + body + ("" if pattern.endswith("%") else "$")
    result = f"regexp_extract({value.sql}, {text_literal(regex)}, 0, 'is')"
    return Typed(
        f"CAST(CASE WHEN {result} = '' THEN 0 ELSE instr({value.sql}, {result}) END AS INTEGER)", INT
    )


def _datalength(e: Translator, args: list[exp.Expression]) -> Typed:
    value = e.value(args[0])
    name = value.type.name
    if name in CHARACTER:
        text = f"{2 if name.startswith('n') or name == 'xml' else 1} * tsql.units({value.sql})"
    elif name in sqltypes.BYTES:
        text = f"octet_length({value.sql})"
    else:
        from airflow_provider_pacs.sandbox.catalog.tables import column_bytes

        text = f"CASE WHEN {value.sql} IS NOT NULL THEN {column_bytes(value.type)[0]} END"
    return Typed(f"CAST({text} AS INTEGER)", INT, value.nullable)


def _round(e: Translator, args: list[exp.Expression]) -> Typed:
    value = e.value(args[0])
    digits = e.value(args[1])
    cut = len(args) > 2 and e.constant(args[2], "ROUND's third argument") != 0
    text = (
        f"trunc({value.sql} * power(10, {digits.sql})) / power(10, {digits.sql})"
        if cut
        else f"round({value.sql}, {digits.sql})"
    )
    kind = FLOAT if value.type.name in APPROXIMATE else value.type
    return Typed(f"CAST({text} AS {sqltypes.duck(kind)})", kind, value.nullable)


def _whole(function: str) -> Handler:
    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        value = e.value(args[0])
        kind = (
            SqlType("numeric", precision=38 if value.type.precision == 38 else value.type.precision)
            if value.type.precision
            else value.type
        )
        return Typed(f"CAST({function}({value.sql}) AS {sqltypes.duck(kind)})", kind, value.nullable)

    return handler


def _hashbytes(e: Translator, args: list[exp.Expression]) -> Typed:
    name, value = str(e.constant(args[0], "the algorithm")).upper(), e.value(args[1])
    functions = {"MD5": "md5", "SHA1": "sha1", "SHA": "sha1", "SHA2_256": "sha256"}
    if name not in functions:
        raise untranslated(f"HASHBYTES('{name}', ...)", "no such hash in DuckDB")
    if value.type.name.startswith("n"):
        # SQL Server hashes UTF-16; right below U+0100 only, so anything else is refused by DuckDB's decoder
        # rather than hashed wrongly.
        raw = f"unhex(regexp_replace(hex(CAST({value.sql} AS BLOB)), '(..)', '\\100', 'g'))"
        raw = (
            f"CASE WHEN regexp_full_match({value.sql}, '[\\x01-\\x7f]*') THEN {raw} ELSE "
            "error('TDS:102:HASHBYTES of nvarchar outside ASCII') END"
        )
    else:
        raw = f"encode({value.sql})" if value.type.name in CHARACTER else value.sql
    return Typed(f"unhex({functions[name]}({raw}))", SqlType("varbinary", 8000), value.nullable)


def _information(name: str) -> Handler:
    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        result = e.env.information(name, [e.constant(a, f"{name}'s argument") for a in args])
        if isinstance(result, int):
            return Typed(str(result), INT, False, result)
        if result is None:
            return Typed("CAST(NULL AS VARCHAR)", SYSNAME, True, None)
        return Typed("'" + str(result).replace("'", "''") + "'", SYSNAME, False, result)

    return handler


def _computed(name: str) -> Handler:
    """A function of the session whose value is computed when the statement runs."""

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        return Typed(e.env.function(name, [e.constant(a, f"{name}'s argument") for a in args]), BIGINT)

    return handler


def _of_capture(name: str) -> Handler:
    """A function of Change Data Capture whose arguments name no column."""

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        return e.env.scalar_function(name, [e.env.compute(e.value(a)) for a in args])

    return handler


def _map_lsn_to_time(e: Translator, args: list[exp.Expression]) -> Typed:
    return e.env.lsn_time(e.value(args[0]).sql)


def _is_bit_set(e: Translator, args: list[exp.Expression]) -> Typed:
    return Typed(_bit(e.value(args[0]).sql, e.value(args[1]).sql), BIT)


def _has_column_changed(e: Translator, args: list[exp.Expression]) -> Typed:
    instance, column = (str(e.constant(a, "an argument")) for a in args[:2])
    number = e.env.column_ordinal(instance, column)
    return Typed("CAST(NULL AS BOOLEAN)" if number is None else _bit(str(number), e.value(args[2]).sql), BIT)


def _bit(position: str, mask: str) -> str:
    byte = f"substr(hex({mask}), 2 * octet_length({mask}) - 2 * ((({position}) - 1) // 8) - 1, 2)"
    return f"CAST((CAST('0x' || {byte} AS INTEGER) >> ((({position}) - 1) % 8)) & 1 AS BOOLEAN)"


def _min_active_rowversion(e: Translator, args: list[exp.Expression]) -> Typed:
    return Typed(
        f"unhex('{e.env.information('MIN_ACTIVE_ROWVERSION', []):016X}')", SqlType("binary", 8), False
    )


def _lookup(template: str, kind: SqlType, fallback: str = "") -> Handler:
    """A metadata function: looked up row by row in the system tables, or the session's own value when called
    without arguments.
    """

    def handler(e: Translator, args: list[exp.Expression]) -> Typed:
        if not args and fallback:
            return _information(fallback)(e, args)
        values = [e.value(a) for a in args]
        if fallback and all(v.const is not UNKNOWN for v in values):
            return _information(fallback)(e, args)
        database = e.env.database.replace('"', '""')
        return Typed("(" + template.format(*(v.sql for v in values), sys=f'"{database}.sys"') + ")", kind)

    return handler


_BARE_NAME = "replace(replace(replace({0}, '[', ''), ']', ''), '\"', '')"
_HANDLERS: dict[str, Handler] = {
    "ISNULL": _isnull, "COALESCE": _coalesce, "NULLIF": _nullif, "IIF": _iif, "CHOOSE": _choose, "CONCAT": _concat, "CONCAT_WS": _concat_ws,
    "UPPER": _text_function("upper({0})"), "LOWER": _text_function("lower({0})"), "LTRIM": _text_function("ltrim({0}, ' ')"),
    "RTRIM": _text_function("rtrim({0}, ' ')"), "TRIM": _text_function("trim({0}, ' ')"), "LEFT": _text_function("left({0}, {1})"),
    "RIGHT": _text_function("right({0}, {1})"), "REVERSE": _text_function("reverse({0})"), "REPLICATE": _text_function("repeat({0}, {1})"),
    "REPLACE": _text_function("regexp_replace({0}, regexp_escape({1}), replace({2}, '\\', '\\\\'), 'gi')"),
    "STUFF": _text_function("rpad(substr({0}, 1, {1} - 1), {1} - 1, ' ') || {3} || substr({0}, {1} + {2})"), "SUBSTRING": _substring,
    "CHARINDEX": _charindex, "PATINDEX": _patindex, "DATALENGTH": _datalength,
    "LEN": _simple("CAST(tsql.units(rtrim({0}, ' ')) AS INTEGER)", INT, _TEXT),
    "CHAR": _simple("chr({0})", SqlType("char", 1)), "NCHAR": _simple("chr({0})", SqlType("nchar", 1)), "SPACE": _simple("repeat(' ', {0})",
    SqlType("varchar", 8000)),
    "ASCII": _simple("ascii({0})", INT), "UNICODE": _simple("unicode({0})", INT), "QUOTENAME": _simple("'[' || replace({0}, ']', ']]') || ']'",
    SqlType("nvarchar", 258)),
    "STR": _simple("lpad(CAST(CAST(round({0}) AS BIGINT) AS VARCHAR), 10, ' ')", SqlType("varchar", 10)),
    "ABS": _simple("abs({0})"), "SIGN": _simple("sign({0})", INT), "ROUND": _round, "CEILING": _whole("ceil"), "FLOOR": _whole("floor"),
    "SQRT": _simple("sqrt({0})", FLOAT, FLOAT), "SQUARE": _simple("({0} * {0})", FLOAT, FLOAT), "POWER": _simple("power({0}, {1})", FLOAT, FLOAT,
    FLOAT),
    "EXP": _simple("exp({0})", FLOAT, FLOAT), "LOG": _simple("ln({0})", FLOAT, FLOAT), "LOG10": _simple("log10({0})", FLOAT, FLOAT),
    "PI": _simple("pi()", FLOAT),
    "MIN_ACTIVE_ROWVERSION": _min_active_rowversion,
    "NEWID": _simple("uuid()", GUID), "RAND": _simple("random()", FLOAT), "HASHBYTES": _hashbytes,
    "ISNUMERIC": _simple("CASE WHEN TRY_CAST({0} AS DOUBLE) IS NULL THEN 0 ELSE 1 END", INT, SqlType("varchar", 8000)),
    "ISDATE": _simple("CASE WHEN tsql.stamp({0}) IS NULL THEN 0 ELSE 1 END", INT, SqlType("varchar", 8000)),
    "DB_ID": _lookup("SELECT database_id FROM {sys}.databases WHERE name = {0}", SqlType("smallint"), "DB_ID"),
    "DB_NAME": _lookup("SELECT name FROM {sys}.databases WHERE database_id = {0}", SYSNAME, "DB_NAME"),
    "OBJECT_ID": _lookup("SELECT o.object_id FROM {sys}.objects AS o JOIN {sys}.schemas AS s ON s.schema_id = o.schema_id "
                         "WHERE "
                         + _BARE_NAME + " IN (o.name, s.name || '.' || o.name)", INT, "OBJECT_ID"),
    "OBJECT_NAME": _lookup("SELECT name FROM {sys}.objects WHERE object_id = {0}", SYSNAME),
    "OBJECT_SCHEMA_NAME": _lookup("SELECT s.name FROM {sys}.objects AS o JOIN {sys}.schemas AS s ON s.schema_id = o.schema_id WHERE "
                                  "o.object_id = "
                                  "{0}", SYSNAME),
    "SCHEMA_NAME": _lookup("SELECT name FROM {sys}.schemas WHERE schema_id = {0}", SYSNAME, "SCHEMA_NAME"),
    "SCHEMA_ID": _lookup("SELECT schema_id FROM {sys}.schemas WHERE name = {0}", INT, "SCHEMA_ID"),
    "TYPE_NAME": _lookup("SELECT name FROM {sys}.types WHERE user_type_id = {0}", SYSNAME),
    "TYPE_ID": _lookup("SELECT user_type_id FROM {sys}.types WHERE name = {0}", INT),
    "COL_NAME": _lookup("SELECT name FROM {sys}.columns WHERE object_id = {0} AND column_id = {1}", SYSNAME),
    "COLLATIONPROPERTY": _simple("CASE WHEN {0} IS NULL THEN NULL WHEN lower({1}) = 'codepage' THEN 1252 WHEN lower({1}) = 'lcid' "
                                 "THEN 1033 END",
    INT),
    **{name: _information(name) for name in ("SERVERPROPERTY", "HAS_PERMS_BY_NAME", "IS_SRVROLEMEMBER", "IS_MEMBER", "IS_ROLEMEMBER",
    "DATABASEPROPERTYEX",
       "SUSER_SNAME", "SUSER_NAME", "USER_NAME", "ORIGINAL_LOGIN", "HOST_NAME", "APP_NAME", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER",
       "XACT_STATE",
       "HAS_DBACCESS", "OBJECTPROPERTY")},
    **{name: _of_capture(name) for name in ("FN_CDC_GET_MAX_LSN", "FN_CDC_GET_MIN_LSN", "FN_CDC_INCREMENT_LSN",
       "FN_CDC_DECREMENT_LSN", "FN_CDC_MAP_TIME_TO_LSN", "FN_CDC_GET_COLUMN_ORDINAL")},
    "FN_CDC_MAP_LSN_TO_TIME": _map_lsn_to_time, "FN_CDC_IS_BIT_SET": _is_bit_set, "FN_CDC_HAS_COLUMN_CHANGED": _has_column_changed,
    **{name: _computed(name) for name in ("CHANGE_TRACKING_CURRENT_VERSION", "CHANGE_TRACKING_MIN_VALID_VERSION")},
}  # fmt: skip
__all__ = ["BARE", "BIGINT", "BIT", "NUMBER", "as_type", "call"]
