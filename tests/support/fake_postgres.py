"""A server that speaks the beginning of PostgreSQL's protocol, with any certificate or none, and keeps every
password that it is sent.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@dataclass(slots=True)
class FakePostgres:
    """Listens on 127.0.0.1.

    Attributes:
        certificate: files of certificate and key; None refuses TLS.
        hangs: accept the login, then never answer again.
        refuses: the FATAL text that meets every login, with SQLSTATE 53300.
    """

    certificate: tuple[Path, Path] | None = None
    hangs: bool = False
    refuses: str = ""
    passwords: list[bytes] = field(default_factory=list)
    logins: int = 0
    _socket: socket.socket = field(default_factory=socket.socket)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(200)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for line in self._open:
            line.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(line)
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError, struct.error):
            self._greet(line)

    def _greet(self, line: socket.socket) -> None:
        code = _startup(line)
        while code in (_SSL_REQUEST, _GSS_REQUEST):
            if code == _SSL_REQUEST and self.certificate is not None:
                line.sendall(b"S")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.certificate)
                line = context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
                self._open.append(line)
                line.do_handshake()
            else:
                line.sendall(b"N")
            code = _startup(line)
        if self.refuses:
            text = b"SFATAL\0VFATAL\0C53300\0M" + self.refuses.encode() + b"\0\0"
            line.sendall(b"E" + struct.pack("!i", len(text) + 4) + text)
            line.close()
            return
        line.sendall(b"R" + struct.pack("!ii", 8, 3))  # a password in plain text, please
        kind, length = struct.unpack("!ci", _exactly(line, 5))
        assert kind == b"p"
        self.passwords.append(_exactly(line, length - 4).rstrip(b"\0"))
        self.logins += 1
        if not self.hangs:
            line.close()
            return
        ok = b"R" + struct.pack("!ii", 8, 0)
        for name, value in (
            ("server_version", "16.0"),
            ("client_encoding", "UTF8"),
            ("server_encoding", "UTF8"),
        ):
            text = name.encode() + b"\0" + value.encode() + b"\0"
            ok += b"S" + struct.pack("!i", len(text) + 4) + text
        line.sendall(ok + b"K" + struct.pack("!iii", 12, 1, 1) + b"Z" + struct.pack("!i", 5) + b"I")
        while line.recv(4096):
            pass


def _startup(line: socket.socket) -> int:
    """The code of a startup packet: a protocol version, or a request for encryption."""
    (length,) = struct.unpack("!i", _exactly(line, 4))
    return int(struct.unpack("!i", _exactly(line, length - 4)[:4])[0])


def _exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = line.recv(count - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


@contextmanager
def fake_postgres(
    certificate: tuple[Path, Path] | None = None, *, hangs: bool = False, refuses: str = ""
) -> Iterator[FakePostgres]:
    """One that runs until the block ends."""
    server = FakePostgres(certificate, hangs, refuses)
    server.start()
    try:
        yield server
    finally:
        server.stop()
