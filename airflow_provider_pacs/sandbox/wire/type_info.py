"""TYPE_INFO: a T-SQL type as the bytes of the protocol, and back."""

from __future__ import annotations

import codecs
import re
import struct
from typing import Final

from airflow_provider_pacs.sandbox.model import MAX, SqlType
from airflow_provider_pacs.sandbox.wire.packets import Cursor, ProtocolError

COLLATION: Final = bytes.fromhex("0904d00034")
"""SQL_Latin1_General_CP1_CI_AS: code page 1252."""

CP1252_ERRORS: Final = "pacs-sandbox-cp1252"
_PLP = 0xFFFF

FIXED: Final = {
    0x1F: (SqlType("int"), 0),
    0x30: (SqlType("tinyint"), 1),
    0x32: (SqlType("bit"), 1),
    0x34: (SqlType("smallint"), 2),
    0x38: (SqlType("int"), 4),
    0x3A: (SqlType("smalldatetime"), 4),
    0x3B: (SqlType("real"), 4),
    0x3C: (SqlType("money"), 8),
    0x3D: (SqlType("datetime"), 8),
    0x3E: (SqlType("float"), 8),
    0x7A: (SqlType("smallmoney"), 4),
    0x7F: (SqlType("bigint"), 8),
}
"""Types whose bytes carry no length. 0x1F is the untyped NULL."""

NOT_NULL: Final = {sql_type.name: code for code, (sql_type, width) in FIXED.items() if width}
"""How a column that is NOT NULL is sent: the driver calls a column of the types with a length nullable,
whatever its flags say.
"""

_SIZED = {
    "bit": (0x68, 1),
    "tinyint": (0x26, 1),
    "smallint": (0x26, 2),
    "int": (0x26, 4),
    "bigint": (0x26, 8),
    "real": (0x6D, 4),
    "float": (0x6D, 8),
    "smallmoney": (0x6E, 4),
    "money": (0x6E, 8),
    "smalldatetime": (0x6F, 4),
    "datetime": (0x6F, 8),
    "uniqueidentifier": (0x24, 16),
}
_BY_SIZE = {code: SqlType(name) for name, code in _SIZED.items()}
_SCALED = {"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}
_CHARACTER = {
    "varchar": (0xA7, 1),
    "char": (0xAF, 1),
    "nvarchar": (0xE7, 2),
    "nchar": (0xEF, 2),
    "varbinary": (0xA5, 1),
    "binary": (0xAD, 1),
}
_LARGE = {"text": (0x23, 0x7FFFFFFF), "ntext": (0x63, 0x7FFFFFFE), "image": (0x22, 0x7FFFFFFF)}
_COLLATED = ("varchar", "char", "nvarchar", "nchar", "text", "ntext")
_SCALED_BY_CODE = {code: name for name, code in _SCALED.items()}
_CHARACTER_BY_CODE = {code: (name, unit) for name, (code, unit) in _CHARACTER.items()}
_LARGE_BY_CODE = {code: name for name, (code, _) in _LARGE.items()}

_SYNONYMS = {
    "integer": "int",
    "dec": "decimal",
    "timestamp": "rowversion",
    "character": "char",
    "sysname": "nvarchar",
}
_KNOWN = {*_SIZED, *_SCALED, *_CHARACTER, *_LARGE, "decimal", "numeric", "date", "xml", "rowversion"}
_DECLARATION = re.compile(
    r"\s*(@[\w$#@]+)\s+(?:as\s+)?\[?(\w+)\]?\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?(?:\s*=\s*[^,]*)?(?:\s+out(?:put)?)?\s*(?:,|$)",
    re.IGNORECASE,
)


def _cp1252_fallback(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Windows maps the five holes of code page 1252 to C1 controls; what it cannot encode becomes one ? per
    UTF-16 unit.
    """
    if isinstance(problem, UnicodeDecodeError):
        return problem.object[problem.start : problem.end].decode("latin-1"), problem.end
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    out = bytearray()
    for character in problem.object[problem.start : problem.end]:
        code = ord(character)
        out += (
            bytes([code])
            if 0x80 <= code <= 0x9F and code in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
            else b"?" * (2 if code > 0xFFFF else 1)
        )
    return bytes(out), problem.end


codecs.register_error(CP1252_ERRORS, _cp1252_fallback)


def decimal_width(precision: int) -> int:
    """Bytes of the magnitude of a decimal."""
    return 4 if precision <= 9 else 8 if precision <= 19 else 12 if precision <= 28 else 16


def time_width(scale: int) -> int:
    """Bytes of the time of day at a scale."""
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def user_type(sql_type: SqlType) -> int:
    """UserType of COLMETADATA: only rowversion needs one, else clients take it for binary(8)."""
    return 80 if sql_type.name == "rowversion" else 0


def type_info(sql_type: SqlType, nullable: bool = True) -> bytes:
    """The bytes of TYPE_INFO.

    Raises:
        ValueError: a type that the sandbox does not have.
    """
    name = sql_type.name
    if name in NOT_NULL and not nullable:
        return bytes([NOT_NULL[name]])
    if name in _SIZED:
        return bytes(_SIZED[name])
    if name in ("decimal", "numeric"):
        return bytes(
            [
                0x6A if name == "decimal" else 0x6C,
                1 + decimal_width(sql_type.precision),
                sql_type.precision,
                sql_type.scale,
            ]
        )
    if name in _SCALED:
        return bytes([_SCALED[name], sql_type.scale])
    if name == "date":
        return b"\x28"
    if name == "xml":
        return b"\xf1\x00"
    if name == "rowversion":
        return struct.pack("<BH", 0xAD, 8)
    collation = COLLATION if name in _COLLATED else b""
    if name in _LARGE:
        return struct.pack("<BI", *_LARGE[name]) + collation
    if name in _CHARACTER:
        code, unit = _CHARACTER[name]
        return (
            struct.pack("<BH", code, _PLP if sql_type.length == MAX else unit * sql_type.length) + collation
        )
    raise ValueError(f"no TDS type for {name!r}")


def read_type_info(cursor: Cursor) -> tuple[int, SqlType, int]:
    """Read the TYPE_INFO of a parameter: its token, the type, and the maximal length in bytes (`MAX` for
    PLP).

    Raises:
        ProtocolError: a type that the sandbox does not have.
    """
    code = cursor.uint(1)
    if code in FIXED:
        return code, *FIXED[code]
    if code in (0x6A, 0x6C):
        size, precision, scale = cursor.take(3)
        return code, SqlType("decimal" if code == 0x6A else "numeric", precision=precision, scale=scale), size
    if code in _SCALED_BY_CODE:
        scale = cursor.uint(1)
        if scale > 7:
            raise ProtocolError(f"scale {scale}")
        return code, SqlType(_SCALED_BY_CODE[code], scale=scale), 0
    if code == 0x28:
        return code, SqlType("date"), 0
    if code == 0xF1:
        if cursor.uint(1):
            raise ProtocolError("xml with a schema collection")
        return code, SqlType("xml"), MAX
    if code in _LARGE_BY_CODE or code in _CHARACTER_BY_CODE:
        return code, *_read_character_type(cursor, code)
    size = cursor.uint(1)
    if (code, size) in _BY_SIZE:
        return code, _BY_SIZE[code, size], size
    raise ProtocolError(f"parameter of type 0x{code:02x}")


def _read_character_type(cursor: Cursor, code: int) -> tuple[SqlType, int]:
    large = code in _LARGE_BY_CODE
    name, unit = (_LARGE_BY_CODE[code], 1) if large else _CHARACTER_BY_CODE[code]
    size = cursor.uint(4 if large else 2)
    cursor.take(len(COLLATION) if name in _COLLATED else 0)
    if large:
        return SqlType(name), size
    return (SqlType(name, MAX), MAX) if size == _PLP else (SqlType(name, size // unit), size)


def declared_type(name: str, first: str | None = None, second: str | None = None) -> SqlType:
    """A type as T-SQL spells it: `declared_type("decimal", "18", "4")`.

    Raises:
        ValueError: a type that the sandbox does not have.
    """
    lower = name.lower()
    base = _SYNONYMS.get(lower, lower)
    if base not in _KNOWN:
        raise ValueError(f"type {name}")
    if base in _CHARACTER:
        default = "128" if lower == "sysname" else "1"
        return SqlType(base, MAX if (first or "").lower() == "max" else int(first or default))
    if base in ("decimal", "numeric"):
        return SqlType(base, precision=int(first or 18), scale=int(second or 0))
    if base in _SCALED:
        return SqlType(base, scale=int(first or 7))
    if base == "float" and first and int(first) <= 24:
        return SqlType("real")
    return SqlType("rowversion", 8) if base == "rowversion" else SqlType(base)


def declared_parameters(text: str) -> list[tuple[str, SqlType]]:
    """The parameter list of sp_executesql: `@P1 int, @P2 varchar(max) OUTPUT`.

    Raises:
        ValueError: it is not one.
    """
    out: list[tuple[str, SqlType]] = []
    position = 0
    while position < len(text.rstrip()):
        result = _DECLARATION.match(text, position)
        if not result:
            raise ValueError(f"parameter list at {text[position : position + 40]!r}")
        out.append((result[1], declared_type(result[2], result[3], result[4])))
        position = result.end()
    return out
