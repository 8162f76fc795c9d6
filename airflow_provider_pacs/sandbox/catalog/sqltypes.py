"""T-SQL types: their rank, DuckDB storage, Arrow type, and the type of an operation's result."""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from airflow_provider_pacs.sandbox.model import MAX, SqlError, SqlType

BIT, TINYINT, SMALLINT, INT, BIGINT = (SqlType(n) for n in ("bit", "tinyint", "smallint", "int", "bigint"))
REAL, FLOAT, MONEY, DATE = (SqlType(n) for n in ("real", "float", "money", "date"))
DATETIME, SMALLDATETIME, GUID = (SqlType(n) for n in ("datetime", "smalldatetime", "uniqueidentifier"))
DATETIME2 = SqlType("datetime2", scale=7)
MICROSECONDS = SqlType("datetime2", scale=6)
DATETIMEOFFSET = SqlType("datetimeoffset", scale=7)
SYSNAME = SqlType("nvarchar", 128)
BINARY8 = SqlType("binary", 8)

PRECEDENCE = (
    "varbinary binary char varchar nchar nvarchar uniqueidentifier rowversion image text ntext bit tinyint "
    "smallint int bigint smallmoney money "
    "numeric decimal real float time date smalldatetime datetime datetime2 datetimeoffset xml"
).split()
CHARACTER = frozenset({"char", "varchar", "text", "nchar", "nvarchar", "ntext", "xml"})
BYTES = frozenset({"binary", "varbinary", "image", "rowversion"})
INTEGER = frozenset({"tinyint", "smallint", "int", "bigint"})
EXACT = frozenset({"decimal", "numeric", "money", "smallmoney"})
APPROXIMATE = frozenset({"real", "float"})
NUMBER = INTEGER | EXACT | APPROXIMATE | {"bit"}
STAMP = frozenset({"datetime", "datetime2", "smalldatetime"})
TEMPORAL = STAMP | {"date", "time", "datetimeoffset"}

_DUCK = {
    "bit": "BOOLEAN", "tinyint": "UTINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "real": "FLOAT", "float": "DOUBLE",
    "money": "DECIMAL(19,4)", "smallmoney": "DECIMAL(10,4)", "date": "DATE", "time": "TIME", "datetime": "TIMESTAMP", "datetime2": "TIMESTAMP",
    "smalldatetime": "TIMESTAMP", "datetimeoffset": "STRUCT(utc TIMESTAMP, offset_minutes SMALLINT)", "uniqueidentifier": "UUID",
}  # fmt: skip
_ARROW = {
    "bit": pa.bool_(), "tinyint": pa.uint8(), "smallint": pa.int16(), "int": pa.int32(), "bigint": pa.int64(), "real": pa.float32(),
    "float": pa.float64(), "money": pa.decimal128(19, 4), "smallmoney": pa.decimal128(10, 4), "date": pa.date32(), "time": pa.time64("ns"),
    "datetime": pa.timestamp("us"), "smalldatetime": pa.timestamp("us"), "uniqueidentifier": pa.binary(16),
    "datetimeoffset": pa.struct([("utc", pa.timestamp("us")), ("offset_minutes", pa.int16())]),
}  # fmt: skip
_WIDE = pa.struct([("t", pa.timestamp("us")), ("n", pa.uint8())])
_BITS = {"bit": 1, "tinyint": 3, "smallint": 5, "int": 10, "bigint": 19, "money": 19, "smallmoney": 10}
_ARGUMENT_FREE = frozenset(_DUCK) - {"time", "datetime2", "datetimeoffset"}
_RENAMED = {
    "UUID": "uniqueidentifier", "UTINYINT": "tinyint", "TIMESTAMPTZ": "datetimeoffset", "TIMESTAMP": "rowversion", "DOUBLE": "float",
    "BOOLEAN": "bit",
    "DATETIME64": "datetime2", "VARIANT": "sql_variant",
}  # fmt: skip


def is_wide(kind: SqlType) -> bool:
    """True for datetime2(7): a hundred nanoseconds are finer than DuckDB's TIMESTAMP, and TIMESTAMP_NS has
    neither year 1 nor 9999.
    """
    return kind.name == "datetime2" and kind.scale == 7


def duck(kind: SqlType) -> str:
    """The DuckDB type that stores it."""
    if is_wide(kind):
        return "STRUCT(t TIMESTAMP, n UTINYINT)"
    if kind.name in ("decimal", "numeric"):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if kind.name in BYTES:
        return "BLOB"
    return _DUCK.get(kind.name, "VARCHAR")


def arrow(kind: SqlType) -> pa.DataType:
    """The Arrow type that carries it over the port (see `SqlType`)."""
    if kind.name in ("decimal", "numeric"):
        return pa.decimal128(kind.precision, kind.scale)
    if kind.name == "datetime2":
        return _WIDE if kind.scale == 7 else pa.timestamp("us")
    if kind.name in BYTES:
        return pa.binary()
    return _ARROW.get(kind.name, pa.string())


def make(name: str, args: list[int], default_length: int = 30) -> SqlType:
    """A type from its name and arguments, with T-SQL's defaults: varchar alone is 30 characters in CAST, 1 in
    DECLARE.

    Raises:
        SqlError: 243 for a name that is no type.
    """
    name = {
        "integer": "int",
        "dec": "decimal",
        "sysname": "sysname",
        "timestamp": "rowversion",
        "double precision": "float",
    }.get(name, name)
    if name == "sysname":
        return SYSNAME
    if name == "sql_variant":
        return SqlType("nvarchar", 4000)
    if name == "float" and args and args[0] <= 24:
        return REAL
    if name == "float" or name in _ARGUMENT_FREE or name in ("text", "ntext", "image", "xml"):
        return SqlType(name, MAX if name in ("text", "ntext", "image", "xml") else 0)
    if name == "rowversion":
        return SqlType(name, 8)
    if name in ("decimal", "numeric"):
        return SqlType(name, precision=args[0] if args else 18, scale=args[1] if len(args) > 1 else 0)
    if name in ("datetime2", "time", "datetimeoffset"):
        return SqlType(name, scale=args[0] if args else 7)
    if name in CHARACTER or name in BYTES:
        return SqlType(name, args[0] if args else default_length)
    raise SqlError(243, f"Type {name} is not a defined system type.")


def from_node(node: exp.DataType, default_length: int = 30) -> SqlType:
    """The type that a parsed CAST, CONVERT or DECLARE names."""
    raw = node.this
    if raw == exp.DType.USERDEFINED:
        kind = str(node.args.get("kind")).lower().strip('[]"')
        name, _, rest = kind.partition("(")
        return make(
            name.removeprefix("sys."),
            [int(a) for a in rest.rstrip(")").split(",") if a.strip().isdigit()],
            default_length,
        )
    args: list[int] = []
    for argument in node.expressions:
        text = argument.name if not isinstance(argument.this, exp.Expression) else argument.this.name
        args.append(MAX if text.upper() == "MAX" else int(text))
    return make(_RENAMED.get(raw.name, raw.name).lower(), args, default_length)


def common(left: SqlType, right: SqlType) -> SqlType:
    """The type both sides become by T-SQL's data type precedence."""
    if left == right:
        return left
    high, low = sorted((left, right), key=lambda t: PRECEDENCE.index(t.name), reverse=True)
    if high.name in CHARACTER and low.name in CHARACTER:
        length = MAX if MAX in (high.length, low.length) else max(high.length, low.length)
        return SqlType(
            high.name
            if high.name not in ("char", "nchar") or low.name.strip("n") == "char"
            else high.name.replace("char", "varchar"),
            length,
        )
    if high.name in BYTES and low.name in BYTES:
        return SqlType(high.name, MAX if MAX in (high.length, low.length) else max(high.length, low.length))
    if high.name in ("decimal", "numeric") and low.name in (INTEGER | EXACT | {"bit"}):
        p, s, q, r = (*digits(high), *digits(low))
        scale = max(s, r)
        return SqlType(high.name, precision=min(38, max(p - s, q - r) + scale), scale=scale)
    if high.name == low.name:
        return SqlType(high.name, scale=max(high.scale, low.scale))
    return high


def digits(kind: SqlType) -> tuple[int, int]:
    """Precision and scale of an exact number."""
    if kind.name in ("decimal", "numeric"):
        return kind.precision, kind.scale
    return _BITS.get(kind.name, 10), 4 if "money" in kind.name else 0


def arithmetic(operator: str, left: SqlType, right: SqlType) -> SqlType:
    """Result of `left operator right` for numbers, with the precision rules of T-SQL's decimals."""
    high = common(left, right)
    if high.name not in ("decimal", "numeric"):
        return INT if high.name == "bit" else high
    (p, s), (q, r) = digits(left), digits(right)
    if operator in "+-":
        scale, precision = max(s, r), max(s, r) + max(p - s, q - r) + 1
    elif operator == "*":
        scale, precision = s + r, p + q + 1
    elif operator == "/":
        scale = max(6, s + q + 1)
        precision = p - s + r + scale
    else:
        scale = max(s, r)
        precision = min(p - s, q - r) + scale
    if precision > 38:
        whole = precision - scale
        scale = max(min(scale, 6), 38 - whole) if operator in "*/" else max(0, 38 - whole)
        precision = 38
    return SqlType("decimal", precision=precision, scale=scale)
