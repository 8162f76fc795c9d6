"""Broken packets neither crash nor hang the server, and other connections go on."""

from __future__ import annotations

import socket
import struct
from datetime import datetime
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sandbox import wire
from airflow_provider_pacs.sandbox.rpc import parse_rpc
from airflow_provider_pacs.sandbox.serve import SandboxServer
from tests.wire.scripted import PASSWORD, ScriptedEngine, connect

HEADERS = struct.pack("<IIHQI", 22, 18, 2, 0, 1)
PRELOGIN = wire.message(wire.PRELOGIN, wire.Prelogin({0: bytes(6), 1: b"\x02", 4: b"\x00"}).serialise())


def text(value: str) -> bytes:
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
    return wire.message(wire.LOGIN7, fixed + offsets + bytes(94 - 36 - len(offsets)) + data)


def nvarchar(value: str) -> bytes:
    data = text(value)
    return b"\x00\x00\xe7" + struct.pack("<H", 8000) + bytes(5) + struct.pack("<H", len(data)) + data


def rpc(number: int, *parameters: bytes) -> bytes:
    return wire.message(wire.RPC, HEADERS + struct.pack("<HHH", 0xFFFF, number, 0) + b"".join(parameters))


INT = b"\x00\x00\x26\x04\x04\x07\x00\x00\x00"
NUMERIC = b"\x00\x00\x6c\x05\x09\x02\x05\x01\x07\x00\x00\x00"
DATETIME2 = b"\x00\x00\x2a\x07\x08" + bytes(5) + b"\x0a\x42\x0b"
PLP = b"\x00\x00\xa5\xff\xff" + struct.pack("<QI", 3, 3) + b"abc" + bytes(4)
REQUESTS = [
    wire.message(wire.SQL_BATCH, HEADERS + text("SELECT TOP 100 numbers")),
    rpc(10, nvarchar("SELECT @a, @b"), nvarchar("@a int, @b numeric(9,2)"), INT, NUMERIC),
    rpc(13, b"\x00\x01\x26\x04\x00", nvarchar("@a datetime2(7), @b varbinary(max)"), nvarchar("SELECT 1"), DATETIME2, PLP),
    rpc(12, INT),
    wire.message(wire.TRANSACTION_MANAGER, HEADERS + struct.pack("<HBB", 5, 2, 0)),
    wire.message(wire.TRANSACTION_MANAGER, HEADERS + struct.pack("<HBB", 8, 0, 0)),
    wire.message(wire.ATTENTION, b""),
]
CONVERSATION = [PRELOGIN, login(), *REQUESTS]

mutations = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255), st.sampled_from(["set", "insert", "delete", "cut"])), min_size=1, max_size=4)


def mutated(packet: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    data = bytearray(packet)
    for position, value, action in changes:
        at = position % (len(data) or 1)
        if action == "set" and data:
            data[at] = value
        elif action == "insert":
            data.insert(at, value)
        elif action == "delete" and data:
            del data[at]
        elif action == "cut":
            del data[at:]
    return bytes(data)


def talk(port: int, packets: list[bytes], patience: float = 2.0) -> bytes:
    """Send each packet, waiting `patience` seconds for the end of its answer, then close the sending side and read until the server closes."""
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
        except OSError as problem:
            if isinstance(problem, TimeoutError):
                raise
    return received


def answer(connection: socket.socket, patience: float) -> bytes:
    connection.settimeout(patience)
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
            rest = received
            while len(rest) >= 8 and len(rest) >= int.from_bytes(rest[2:4], "big"):
                if rest[1] & wire.END_OF_MESSAGE:
                    return received
                rest = rest[int.from_bytes(rest[2:4], "big") :]
    except TimeoutError:
        return received
    return received


def test_the_conversation_itself_is_good(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as server:
        talk(server.port, CONVERSATION)
    assert [sql for sql, _ in engine.asked] == ["SELECT TOP 100 numbers", "SELECT @a, @b", "SELECT 1"]
    assert [[param.value for param in params] for _, params in engine.asked[1:]] == [[7, Decimal("0.07")], [datetime(2021, 1, 13), b"abc"]]
    assert engine.log == ["begin", "rollback"]


def test_mutated_packets(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as server:
        bystander = connect(server.port, Encrypt="no")

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(which=st.integers(0, len(CONVERSATION) - 1), changes=mutations)
        def run(which: int, changes: list[tuple[int, int, str]]) -> None:
            packets = list(CONVERSATION)
            packets[which] = mutated(packets[which], changes)
            talk(server.port, packets, patience=0.01)

        run()
        assert bystander.execute("SELECT 1").fetchval() == 1
        assert connect(server.port, Encrypt="no").execute("SELECT 1").fetchval() == 1


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=300))
def test_parsers_only_refuse(payload: bytes) -> None:
    for parse in (wire.Prelogin.parse, wire.Login7.parse, parse_rpc, lambda data: parse_rpc(HEADERS + b"\xff\xff\x0a\x00\x00\x00" + data)):
        try:
            parse(payload)
        except wire.ProtocolError:
            continue


def test_garbage_before_login(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as server:
        for packets in ([b"GET / HTTP/1.0\r\n\r\n"], [b"\x16\x03\x01\x00\x05hello"], [b"\x12"], [bytes(10)], [REQUESTS[0]], [PRELOGIN, REQUESTS[0]]):
            talk(server.port, packets, patience=0.1)
        assert connect(server.port, Encrypt="no").execute("SELECT 1").fetchval() == 1
