"""What the drivers do seldom or never: attention at odd moments, connection reset, large and split packets,
shutdown under load.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pyodbc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pacs.sandbox.wire import packets, tokens
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.raw import PRELOGIN, answer, batch, login, nvarchar, rpc
from tests.wire.scripted import CERTIFICATE, ScriptedEngine, connect, wait_for

ATTENTION = packets.message(packets.ATTENTION, b"")
ACKNOWLEDGED = tokens.done(tokens.DONE, tokens.DONE_ATTENTION)


@pytest.fixture
def client(engine: ScriptedEngine) -> Iterator[socket.socket]:
    """A logged-in connection in clear text."""
    with SandboxServer(engine) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(PRELOGIN)
        answer(connection)
        connection.sendall(login())
        answer(connection)
        yield connection


def test_attention_while_idle_is_acknowledged_once(client: socket.socket) -> None:
    client.sendall(ATTENTION)
    assert answer(client)[packets.HEADER.size :] == ACKNOWLEDGED
    client.sendall(batch("SELECT 1"))
    assert ACKNOWLEDGED not in answer(client)


def test_attention_ends_the_message_it_interrupts(client: socket.socket, engine: ScriptedEngine) -> None:
    client.sendall(batch("WAIT 30"))
    assert wait_for(lambda: bool(engine.asked))
    client.sendall(ATTENTION)
    assert answer(client).endswith(ACKNOWLEDGED)
    client.sendall(batch("SELECT 1"))
    assert ACKNOWLEDGED not in answer(client)


def test_reset_opens_a_fresh_session(client: socket.socket, engine: ScriptedEngine) -> None:
    packet = bytearray(batch("SELECT 1"))
    packet[1] |= packets.RESET_CONNECTION
    client.sendall(packet)
    assert tokens.connection_reset() in answer(client)
    assert [session.closed for session in engine.sessions] == [True, False]


def test_handle_that_was_never_prepared(client: socket.socket) -> None:
    client.sendall(rpc(12, b"\x00\x00\x26\x04\x04\x63\x00\x00\x00"))
    assert "prepared statement with handle 99".encode("utf-16-le") in answer(client)


def test_parameter_lists(client: socket.socket) -> None:
    for statement, reason in (
        (("SELECT @a", "@a int"), "was not supplied"),
        (("SELECT 1", "@a geography"), "type geography"),
        (("SELECT 1", "a"), "parameter list"),
    ):
        client.sendall(rpc(10, *(nvarchar(value) for value in statement)))
        assert reason.encode("utf-16-le") in answer(client)


def test_request_in_many_packets(client: socket.socket, engine: ScriptedEngine) -> None:
    sql = "SELECT 1 -- " + "é" * 20_000
    payload = batch(sql)
    for start in range(0, len(payload), 1000):
        client.sendall(payload[start : start + 1000])
    answer(client)
    assert engine.asked[-1][0] == sql


def test_server_stops_while_statements_run(engine: ScriptedEngine) -> None:
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        connections = [connect(server.port) for _ in range(3)]
        failures: list[pyodbc.Error] = []

        def wait(connection: pyodbc.Connection) -> None:
            try:
                connection.execute("WAIT 30")
            except pyodbc.Error as problem:
                failures.append(problem)

        threads = [threading.Thread(target=wait, args=(connection,)) for connection in connections]
        for thread in threads:
            thread.start()
        assert wait_for(lambda: len(engine.asked) == 3)
        started = time.monotonic()
    assert time.monotonic() - started < 4
    for thread in threads:
        thread.join(5)
    assert [problem.args[0] for problem in failures] == ["08S01"] * 3
    assert all(session.closed for session in engine.sessions)


@given(sizes=st.lists(st.integers(0, 3000), max_size=12), packet_size=st.sampled_from([512, 4096]))
def test_packets_hold_exactly_what_was_fed(sizes: list[int], packet_size: int) -> None:
    packetizer = packets.Packetizer(size=packet_size)
    pieces = [bytes([position]) * size for position, size in enumerate(sizes)]
    stream = b"".join(packetizer.feed(piece) for piece in pieces) + packetizer.finish()
    payload, numbers, ends = b"", [], []
    while stream:
        _, status, length, _, number, _ = packets.HEADER.unpack_from(stream)
        payload += stream[packets.HEADER.size : length]
        numbers.append(number)
        ends.append(status)
        stream = stream[length:]
    assert payload == b"".join(pieces)
    assert numbers == [number & 0xFF for number in range(1, len(numbers) + 1)]
    assert ends == [0] * (len(ends) - 1) + [packets.END_OF_MESSAGE]
