"""The tokens of a TABULAR_RESULT as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from airflow_provider_pacs.sandbox.model import Column, SqlError, SqlType
from airflow_provider_pacs.sandbox.wire.packets import SERVER_VERSION
from airflow_provider_pacs.sandbox.wire.type_info import COLLATION, type_info, user_type

DONE: Final = 0xFD
DONE_PROC: Final = 0xFE
DONE_IN_PROC: Final = 0xFF

DONE_MORE: Final = 0x01
DONE_ERROR: Final = 0x02
DONE_COUNT: Final = 0x10
DONE_ATTENTION: Final = 0x20

SERVER_NAME: Final = "pacs-sandbox"
PROGRAM: Final = "Microsoft SQL Server"
"""ProgName of LOGINACK.

The driver hands it on as SQL_DBMS_NAME and arrow-odbc reads time as time64 only from a server of this name.
"""

_SELECT = 0xC1
_TDS74 = b"\x74\x00\x00\x04"
_NULLABLE, _UPDATABLE_UNKNOWN = 0x01, 0x08
_TABLE_NAME_TYPES = ("text", "ntext", "image")


def _b_varchar(text: str) -> bytes:
    data = text.encode("utf-16-le", "surrogatepass")[:510]
    return bytes([len(data) // 2]) + data


def _us_varchar(text: str) -> bytes:
    data = text.encode("utf-16-le", "surrogatepass")[:8000]
    return struct.pack("<H", len(data) // 2) + data


def _us_token(token: int, body: bytes) -> bytes:
    return struct.pack("<BH", token, len(body)) + body


def done(token: int, status: int = 0, rows: int | None = None, select: bool = False) -> bytes:
    """DONE, DONEPROC or DONEINPROC. `rows` None sends no count."""
    if rows is not None:
        status |= DONE_COUNT
    return struct.pack("<BHHQ", token, status, _SELECT if select else 0, rows or 0)


def error(problem: SqlError) -> bytes:
    """ERROR."""
    return _message(0xAA, problem.number, problem.state, problem.severity, problem.message, problem.line)


def info(number: int, text: str, state: int = 1, severity: int = 0) -> bytes:
    """INFO."""
    return _message(0xAB, number, state, severity, text, 1)


def _message(token: int, number: int, state: int, severity: int, text: str, line: int) -> bytes:
    head = struct.pack("<iBB", number, state & 0xFF, severity & 0xFF)
    return _us_token(
        token, head + _us_varchar(text) + _b_varchar(SERVER_NAME) + _b_varchar("") + struct.pack("<i", line)
    )


def database_changed(new: str, old: str) -> bytes:
    """ENVCHANGE 1 and the message that SQL Server sends with it."""
    return _us_token(0xE3, b"\x01" + _b_varchar(new) + _b_varchar(old)) + info(
        5701, f"Changed database context to '{new}'.", 2
    )


def transaction_changed(kind: int, new: bytes = b"", old: bytes = b"") -> bytes:
    """ENVCHANGE 8 (begin), 9 (commit) or 10 (rollback) with the transaction descriptors."""
    return _us_token(0xE3, bytes([kind, len(new)]) + new + bytes([len(old)]) + old)


def connection_reset() -> bytes:
    """ENVCHANGE 18: the answer to the RESETCONNECTION bit."""
    return _us_token(0xE3, b"\x12\x00\x00")


def login_answer(database: str, packet_size: int, extended_features: bool) -> bytes:
    """Everything that follows a good LOGIN7, with its DONE."""
    major, minor, build = SERVER_VERSION
    ack = b"\x01" + _TDS74 + _b_varchar(PROGRAM) + struct.pack(">BBH", major, minor, build)
    size = str(packet_size)
    parts = [
        database_changed(database, "master"),
        _us_token(0xE3, b"\x07" + bytes([len(COLLATION)]) + COLLATION + b"\x00"),
        _us_token(0xE3, b"\x02" + _b_varchar("us_english") + _b_varchar("")),
        info(5703, "Changed language setting to us_english."),
        _us_token(0xAD, ack),
        _us_token(0xE3, b"\x04" + _b_varchar(size) + _b_varchar(size)),
    ]
    if extended_features:
        parts.append(b"\xae\xff")
    parts.append(done(DONE))
    return b"".join(parts)


def column_metadata(columns: Sequence[Column]) -> bytes:
    """COLMETADATA."""
    parts = [struct.pack("<BH", 0x81, len(columns))]
    for column in columns:
        flags = _UPDATABLE_UNKNOWN | (_NULLABLE if column.nullable else 0)
        parts.append(
            struct.pack("<IH", user_type(column.type), flags) + type_info(column.type, column.nullable)
        )
        if column.type.name in _TABLE_NAME_TYPES:
            parts.append(b"\x01" + _us_varchar(""))
        parts.append(_b_varchar(column.name))
    return b"".join(parts)


def return_status(value: int) -> bytes:
    """RETURNSTATUS."""
    return struct.pack("<Bi", 0x79, value)


def return_int(ordinal: int, name: str, value: int) -> bytes:
    """RETURNVALUE of an int output parameter."""
    head = b"\xac" + struct.pack("<H", ordinal) + _b_varchar(name) + b"\x01" + struct.pack("<IH", 0, 0)
    return head + type_info(SqlType("int")) + struct.pack("<Bi", 4, value)
