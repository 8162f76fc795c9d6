"""TDS by hand: messages as bytes, for what no driver would send."""

from __future__ import annotations

import socket
import struct

from airflow_provider_pacs.sandbox.wire import packets
from tests.wire.scripted import PASSWORD

HEADERS = struct.pack("<IIHQI", 22, 18, 2, 0, 1)
PRELOGIN = packets.message(
    packets.PRELOGIN, packets.Prelogin({0: bytes(6), 1: b"\x02", 4: b"\x00"}).serialise()
)


def text(value: str) -> bytes:
    """UTF-16LE."""
    return value.encode("utf-16-le")


def login() -> bytes:
    """A LOGIN7 message in clear text."""
    hidden = bytes(((byte << 4 | byte >> 4) & 0xFF) ^ 0xA5 for byte in text(PASSWORD))
    values = [text("host"), text("sa"), hidden, text("app"), text("server"), b"", b"", b"", text("PACS")]
    offsets, data = b"", b""
    for value in values:
        offsets += struct.pack("<HH", 94 + len(data), len(value) // 2)
        data += value
    fixed = struct.pack("<IIIIIIBBBBII", 94 + len(data), 0x74000004, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return packets.message(packets.LOGIN7, fixed + offsets + bytes(94 - 36 - len(offsets)) + data)


def batch(sql: str) -> bytes:
    """A SQLBatch message."""
    return packets.message(packets.SQL_BATCH, HEADERS + text(sql))


def rpc(number: int, *parameters: bytes) -> bytes:
    """An RPC message of one call."""
    return packets.message(
        packets.RPC, HEADERS + struct.pack("<HHH", 0xFFFF, number, 0) + b"".join(parameters)
    )


def nvarchar(value: str) -> bytes:
    """An nvarchar parameter without a name."""
    data = text(value)
    return b"\x00\x00\xe7" + struct.pack("<H", 8000) + bytes(5) + struct.pack("<H", len(data)) + data


def talk(port: int, packets: list[bytes], patience: float = 2.0) -> bytes:
    """Send each packet, waiting `patience` seconds for the end of its answer, then close the sending side and
    read until the server closes.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            for packet in packets:
                connection.sendall(packet)
                received += answer(connection, patience)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while data := connection.recv(65536):
                received += data
        except TimeoutError:
            raise
        except OSError:
            return received
    return received


def answer(connection: socket.socket, patience: float = 2.0) -> bytes:
    """One message of the server, or what came of it in time."""
    connection.settimeout(patience)
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
            rest = received
            while (
                len(rest) >= packets.HEADER.size
                and len(rest) >= (length := int.from_bytes(rest[2:4], "big")) > 0
            ):
                if rest[1] & packets.END_OF_MESSAGE:
                    return received
                rest = rest[length:]
    except TimeoutError:
        return received
    return received
