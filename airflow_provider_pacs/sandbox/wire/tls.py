"""The byte channel of one connection: TDS messages, in clear or through TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from airflow_provider_pacs.sandbox.wire.certificates import Certificate
from airflow_provider_pacs.sandbox.wire.packets import (
    END_OF_MESSAGE,
    HEADER,
    IGNORE,
    MAX_MESSAGE,
    MAX_PACKET_SIZE,
    PRELOGIN,
    Message,
    ProtocolError,
    message,
)

TLS_RECORD: Final = 0x16
"""First byte of a connection that starts with TLS: TDS 8."""

_READ = 65536


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The server's TLS contexts."""

    in_prelogin: ssl.SSLContext
    strict: ssl.SSLContext

    @classmethod
    def of(cls, certificate: Certificate) -> ServerTls:
        """Contexts that show `certificate`."""
        with tempfile.TemporaryDirectory(prefix="pacs-sandbox-") as directory:
            chain = certificate.write(Path(directory), "server")
            contexts = []
            for _ in range(2):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.load_cert_chain(*chain)
                contexts.append(context)
        # As SQL Server: TLS 1.3 comes with TDS 8 only.
        contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2
        contexts[1].set_alpn_protocols(["tds/8.0"])
        return cls(*contexts)


class Channel:
    """Reads and writes one connection's bytes. Only the event loop's thread may use it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    @property
    def encrypted(self) -> bool:
        """Whether bytes go through TLS now."""
        return self._tls is not None

    async def peek(self) -> int | None:
        """The first byte, left where it is; None when the client went away."""
        if not await self._fill(1):
            return None
        return self._buffer[0]

    async def read_message(self) -> Message | None:
        """The next message; None when the client closed between two.

        Raises:
            ProtocolError: not TDS.
            ConnectionError: the client went away inside a message.
        """
        parts: list[bytes] = []
        first: tuple[int, int] | None = None
        size = 0
        while True:
            packet = await self._read_packet()
            if packet is None:
                if first is None:
                    return None
                raise ConnectionResetError("connection closed inside a message")
            kind, status, payload = packet
            first = first or (kind, status)
            if kind != first[0]:
                raise ProtocolError(f"packet of type {kind} inside a message of type {first[0]}")
            size += len(payload)
            if size > MAX_MESSAGE:
                raise ProtocolError(f"message of more than {MAX_MESSAGE} bytes")
            parts.append(payload)
            if status & END_OF_MESSAGE:
                if not status & IGNORE:
                    return Message(first[0], first[1], b"".join(parts))
                parts, first, size = [], None, 0

    async def _read_packet(self) -> tuple[int, int, bytes] | None:
        if not await self._fill(HEADER.size):
            if self._buffer:
                raise ConnectionResetError("connection closed inside a packet header")
            return None
        kind, status, length, *_ = HEADER.unpack_from(self._buffer)
        if not HEADER.size <= length <= MAX_PACKET_SIZE:
            raise ProtocolError(f"packet of {length} bytes")
        if not await self._fill(length):
            raise ConnectionResetError("connection closed inside a packet")
        payload = bytes(self._buffer[HEADER.size : length])
        del self._buffer[:length]
        return kind, status, payload

    async def _fill(self, count: int) -> bool:
        while len(self._buffer) < count:
            data = await self._receive()
            if not data:
                return False
            self._buffer += data
        return True

    async def _receive(self) -> bytes:
        while self._tls:
            try:
                return self._tls.read(_READ)
            except ssl.SSLWantReadError:
                data = await self._reader.read(_READ)
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as problem:
                raise ProtocolError(f"TLS: {problem}") from problem
        return await self._reader.read(_READ)

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client is slower than we are."""
        if not data:
            return
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._writer.write(data)
        await self._writer.drain()

    async def start_tls(self, context: ssl.SSLContext, in_prelogin: bool) -> None:
        """Shake hands, inside PRELOGIN packets or bare.

        Raises:
            ProtocolError: the client gave up, e.g. because it does not trust the certificate.
        """
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        if not in_prelogin:
            self._drain_buffer()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send_handshake(in_prelogin)
                await self._receive_handshake(in_prelogin)
            except ssl.SSLError as problem:
                await self._send_handshake(in_prelogin)
                raise ProtocolError(f"TLS handshake: {problem}") from problem
        await self._send_handshake(in_prelogin)
        self._drain_buffer()
        self._tls = tls

    def _drain_buffer(self) -> None:
        self._incoming.write(bytes(self._buffer))
        self._buffer.clear()

    async def _send_handshake(self, in_prelogin: bool) -> None:
        if data := self._outgoing.read():
            self._writer.write(message(PRELOGIN, data) if in_prelogin else data)
            await self._writer.drain()

    async def _receive_handshake(self, in_prelogin: bool) -> None:
        if in_prelogin:
            # An alert may come bare instead of in a packet.
            if await self.peek() in (TLS_RECORD, 0x15):
                self._drain_buffer()
                return
            packet = await self._read_packet()
            data = packet[2] if packet else b""
        else:
            data = await self._reader.read(_READ)
        if not data:
            raise ProtocolError("TLS handshake: the client closed the connection")
        self._incoming.write(data)

    def stop_tls(self) -> None:
        """Go back to clear text, which is what ENCRYPT_OFF means after LOGIN7."""
        self._tls = None

    async def close(self) -> None:
        """Send what waits and close."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 2)
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()

    def abort(self) -> None:
        """Close at once, whatever waits."""
        self._writer.transport.abort()
