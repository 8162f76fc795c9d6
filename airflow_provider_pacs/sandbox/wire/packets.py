"""TDS packets: PRELOGIN and LOGIN7 as dataclasses, and messages cut into packets."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

SQL_BATCH: Final = 0x01
RPC: Final = 0x03
TABULAR_RESULT: Final = 0x04
ATTENTION: Final = 0x06
BULK_LOAD: Final = 0x07
TRANSACTION_MANAGER: Final = 0x0E
LOGIN7: Final = 0x10
PRELOGIN: Final = 0x12

END_OF_MESSAGE: Final = 0x01
IGNORE: Final = 0x02
RESET_CONNECTION: Final = 0x08
RESET_CONNECTION_KEEP_TRANSACTION: Final = 0x10

HEADER: Final = struct.Struct(">BBHHBB")
DEFAULT_PACKET_SIZE: Final = 4096
MAX_PACKET_SIZE: Final = 32767
MAX_MESSAGE: Final = 64 * 1024 * 1024

ENCRYPT_OFF: Final = 0
ENCRYPT_ON: Final = 1
ENCRYPT_NOT_SUP: Final = 2
ENCRYPT_REQ: Final = 3

SERVER_VERSION: Final = (16, 0, 4000)
"""What PRELOGIN and LOGINACK claim: clients switch features on by it."""

_PRELOGIN_END = 0xFF


class ProtocolError(Exception):
    """The peer sent bytes that are not TDS."""


class Cursor:
    """Reads little-endian protocol fields from a payload and refuses to run over its end."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """Read `count` bytes.

        Raises:
            ProtocolError: fewer are left.
        """
        if count < 0 or count > self.remaining:
            raise ProtocolError(f"{count} bytes wanted at {self.position}, {self.remaining} left")
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def uint(self, width: int) -> int:
        """Read an unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def sint(self, width: int) -> int:
        """Read a signed integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little", signed=True)

    def text(self, characters: int) -> str:
        """Read UTF-16LE text; lone surrogates survive."""
        return utf16_text(self.take(2 * characters))

    def b_varchar(self) -> str:
        """Read a B_VARCHAR: a byte of length, then text."""
        return self.text(self.uint(1))

    def skip_all_headers(self) -> None:
        """Step over ALL_HEADERS (query notifications, transaction descriptor, trace activity)."""
        total = self.uint(4)
        if total < 4:
            raise ProtocolError(f"ALL_HEADERS of {total} bytes")
        self.take(total - 4)


def utf16_text(data: bytes) -> str:
    """UTF-16LE bytes as text.

    Raises:
        ProtocolError: half a character.
    """
    if len(data) % 2:
        raise ProtocolError("odd number of bytes in UTF-16 text")
    return data.decode("utf-16-le", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message of the client; `status` is that of its first packet."""

    type: int
    status: int
    payload: bytes


@dataclass(slots=True)
class Packetizer:
    """Cuts the token stream of one message into packets, many at once."""

    type: int = TABULAR_RESULT
    size: int = DEFAULT_PACKET_SIZE
    spid: int = 0
    _pending: bytes = b""
    _number: int = 1

    def feed(self, data: bytes) -> bytes:
        """Add tokens; returns the packets that are full.

        The last byte always waits, because END_OF_MESSAGE goes on the packet that holds it.
        """
        capacity = self.size - HEADER.size
        self._pending = self._pending + data if self._pending else data
        count = (len(self._pending) - 1) // capacity
        if count <= 0:
            return b""
        body = np.frombuffer(self._pending, np.uint8, count * capacity).reshape(count, capacity)
        packets = np.empty((count, self.size), np.uint8)
        packets[:, : HEADER.size] = np.frombuffer(
            HEADER.pack(self.type, 0, self.size, self.spid, 0, 0), np.uint8
        )
        packets[:, 6] = (np.arange(self._number, self._number + count) & 0xFF).astype(np.uint8)
        packets[:, HEADER.size :] = body
        self._number += count
        self._pending = self._pending[count * capacity :]
        return packets.tobytes()

    def flush(self) -> bytes:
        """What waits, as a short packet that does not end the message."""
        return self._last(0)

    def finish(self) -> bytes:
        """What waits, as the packet that ends the message."""
        return self._last(END_OF_MESSAGE)

    def _last(self, status: int) -> bytes:
        packet = (
            HEADER.pack(
                self.type, status, HEADER.size + len(self._pending), self.spid, self._number & 0xFF, 0
            )
            + self._pending
        )
        self._number += 1
        self._pending = b""
        return packet


def message(type: int, payload: bytes, size: int = DEFAULT_PACKET_SIZE) -> bytes:
    """A whole message in packets."""
    packetizer = Packetizer(type=type, size=size)
    return packetizer.feed(payload) + packetizer.finish()


@dataclass(frozen=True, slots=True)
class Prelogin:
    """Options of a PRELOGIN message: token number to bytes."""

    options: dict[int, bytes]

    @property
    def encryption(self) -> int:
        """The ENCRYPTION option; a client that says nothing cannot encrypt."""
        value = self.options.get(1, b"")
        return value[0] if value else ENCRYPT_NOT_SUP

    @classmethod
    def parse(cls, payload: bytes) -> Prelogin:
        """Parse PL_OPTION_TOKENs.

        Raises:
            ProtocolError: an option points outside of the message.
        """
        head = Cursor(payload)
        options: dict[int, bytes] = {}
        while (token := head.uint(1)) != _PRELOGIN_END:
            offset, length = struct.unpack(">HH", head.take(4))
            options[token] = Cursor(payload, offset).take(length)
        return cls(options)

    def serialise(self) -> bytes:
        """The bytes of the message."""
        offset = 5 * len(self.options) + 1
        head, body = b"", b""
        for token, value in self.options.items():
            head += struct.pack(">BHH", token, offset + len(body), len(value))
            body += value
        return head + bytes([_PRELOGIN_END]) + body


def prelogin_answer(encryption: int) -> Prelogin:
    """The server's side: version, encryption, no instance name to check, no thread, no MARS."""
    major, minor, build = SERVER_VERSION
    return Prelogin(
        {
            0: struct.pack(">BBHH", major, minor, build, 0),
            1: bytes([encryption]),
            2: b"\x00",
            3: b"",
            4: b"\x00",
        }
    )


@dataclass(frozen=True, slots=True)
class Login7:
    """The fields of LOGIN7 that the sandbox uses."""

    tds_version: int
    packet_size: int
    host: str
    user: str
    password: str = field(repr=False)
    application: str
    database: str
    integrated: bool
    extended_features: bool

    @classmethod
    def parse(cls, payload: bytes) -> Login7:
        """Parse a LOGIN7 message.

        Raises:
            ProtocolError: it is too short, or a field points outside of it.
        """
        cursor = Cursor(payload)
        cursor.take(4)
        version, requested = cursor.uint(4), cursor.uint(4)
        cursor.take(12)
        flags = cursor.take(4)
        cursor.take(8)
        fields: list[bytes] = []
        for _ in range(9):
            offset, length = cursor.uint(2), cursor.uint(2)
            # The sixth is the extension: its length is in bytes, the others' in characters.
            fields.append(Cursor(payload, offset).take(length if len(fields) == 5 else 2 * length))
        password = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in fields[2])
        size = min(max(requested, 512), MAX_PACKET_SIZE) if requested else DEFAULT_PACKET_SIZE
        return cls(
            tds_version=version,
            packet_size=size,
            host=utf16_text(fields[0]),
            user=utf16_text(fields[1]),
            password=utf16_text(password),
            application=utf16_text(fields[3]),
            database=utf16_text(fields[8]),
            integrated=bool(flags[1] & 0x80),
            extended_features=bool(flags[3] & 0x10),
        )
