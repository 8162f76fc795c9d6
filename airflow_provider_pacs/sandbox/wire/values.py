"""Decodes the values of RPC parameters."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from decimal import Context, Decimal
from typing import Any

from airflow_provider_pacs.sandbox.model import MAX, SqlType
from airflow_provider_pacs.sandbox.wire.packets import Cursor, ProtocolError, utf16_text
from airflow_provider_pacs.sandbox.wire.type_info import CP1252_ERRORS, FIXED, time_width

_PLP_NULL = 0xFFFFFFFFFFFFFFFF
_PLP_UNKNOWN = 0xFFFFFFFFFFFFFFFE
_EPOCH = dt.datetime(1900, 1, 1)
_EXACT = Context(prec=40)


def read_value(cursor: Cursor, code: int, sql_type: SqlType, size: int) -> Any:
    """Read the TYPE_VARBYTE of a parameter whose TYPE_INFO was read before.

    Returns:
        None, bool, int, float, Decimal, str, bytes, date, time, datetime (aware for datetimeoffset) or UUID.
        Python keeps microseconds: the seventh digit of datetime2(7) is cut.

    Raises:
        ProtocolError: the bytes do not make a value of the type.
    """
    data = _take(cursor, code, sql_type, size)
    if data is None:
        return None
    try:
        return _decode(data, sql_type)
    except (ValueError, OverflowError, struct.error) as problem:
        raise ProtocolError(f"{sql_type.name} parameter: {problem}") from problem


def _take(cursor: Cursor, code: int, sql_type: SqlType, size: int) -> bytes | None:
    if code in FIXED:
        return cursor.take(size) if size else None
    if size == MAX:
        return _take_plp(cursor)
    if sql_type.name in ("text", "ntext", "image"):
        length = cursor.uint(4)
        return None if length == 0xFFFFFFFF else cursor.take(length)
    if sql_type.name in ("varchar", "char", "nvarchar", "nchar", "varbinary", "binary"):
        length = cursor.uint(2)
        return None if length == 0xFFFF else cursor.take(length)
    length = cursor.uint(1)
    return cursor.take(length) if length else None


def _take_plp(cursor: Cursor) -> bytes | None:
    total = cursor.uint(8)
    if total == _PLP_NULL:
        return None
    parts: list[bytes] = []
    while length := cursor.uint(4):
        parts.append(cursor.take(length))
    data = b"".join(parts)
    if total not in (len(data), _PLP_UNKNOWN):
        raise ProtocolError(f"PLP of {total} bytes holds {len(data)}")
    return data


def _decode(data: bytes, sql_type: SqlType) -> Any:
    name = sql_type.name
    if name in ("nvarchar", "nchar", "ntext", "xml"):
        return utf16_text(data)
    if name in ("varchar", "char", "text"):
        return data.decode("cp1252", CP1252_ERRORS)
    if name in ("varbinary", "binary", "image"):
        return data
    if name == "bit":
        return data != b"\x00"
    if name in ("tinyint", "smallint", "int", "bigint"):
        return int.from_bytes(data, "little", signed=name != "tinyint")
    if name in ("real", "float"):
        return struct.unpack("<f" if len(data) == 4 else "<d", data)[0]
    if name in ("decimal", "numeric"):
        units = int.from_bytes(data[1:], "little")
        return Decimal(units if data[0] else -units).scaleb(-sql_type.scale, _EXACT)
    if name in ("money", "smallmoney"):
        units = int.from_bytes(data if name == "smallmoney" else data[4:] + data[:4], "little", signed=True)
        return Decimal(units).scaleb(-4, _EXACT)
    if name == "uniqueidentifier":
        return uuid.UUID(bytes_le=data)
    return _moment(data, sql_type)


def _moment(data: bytes, sql_type: SqlType) -> Any:
    name = sql_type.name
    if name == "datetime":
        days, ticks = struct.unpack("<iI", data)
        return _EPOCH + dt.timedelta(days=days, microseconds=(ticks * 10000 + 1) // 3)
    if name == "smalldatetime":
        days, minutes = struct.unpack("<HH", data)
        return _EPOCH + dt.timedelta(days=days, minutes=minutes)
    if name == "date":
        return dt.date.fromordinal(int.from_bytes(data, "little") + 1)
    width = time_width(sql_type.scale)
    microseconds = int.from_bytes(data[:width], "little") * 1_000_000 // 10**sql_type.scale
    if name == "time":
        return (dt.datetime.min + dt.timedelta(microseconds=microseconds)).time()
    day = dt.datetime.fromordinal(int.from_bytes(data[width : width + 3], "little") + 1)
    moment = day + dt.timedelta(microseconds=microseconds)
    if name == "datetime2":
        return moment
    offset = dt.timezone(dt.timedelta(minutes=int.from_bytes(data[width + 3 :], "little", signed=True)))
    return moment.replace(tzinfo=dt.UTC).astimezone(offset)
