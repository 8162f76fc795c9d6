"""Broken packets neither crash nor hang the server, and other connections go on."""

from __future__ import annotations

import gc
import struct
import threading
from datetime import datetime
from decimal import Decimal

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sandbox.wire import packets
from airflow_provider_pacs.sandbox.wire.rpc import parse_rpc
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.raw import HEADERS, PRELOGIN, batch, login, nvarchar, rpc, talk
from tests.wire.scripted import ScriptedEngine, connect, wait_for

INT = b"\x00\x00\x26\x04\x04\x07\x00\x00\x00"
NUMERIC = b"\x00\x00\x6c\x05\x09\x02\x05\x01\x07\x00\x00\x00"
DATETIME2 = b"\x00\x00\x2a\x07\x08" + bytes(5) + b"\x0a\x42\x0b"
PLP = b"\x00\x00\xa5\xff\xff" + struct.pack("<QI", 3, 3) + b"abc" + bytes(4)
REQUESTS = [
    batch("SELECT TOP 100 numbers"),
    rpc(10, nvarchar("SELECT @a, @b"), nvarchar("@a int, @b numeric(9,2)"), INT, NUMERIC),
    rpc(
        13,
        b"\x00\x01\x26\x04\x00",
        nvarchar("@a datetime2(7), @b varbinary(max)"),
        nvarchar("SELECT 1"),
        DATETIME2,
        PLP,
    ),
    rpc(12, INT),
    packets.message(packets.TRANSACTION_MANAGER, HEADERS + struct.pack("<HBB", 5, 2, 0)),
    packets.message(packets.TRANSACTION_MANAGER, HEADERS + struct.pack("<HBB", 8, 0, 0)),
    packets.message(packets.ATTENTION, b""),
]
CONVERSATION = [PRELOGIN, login(), *REQUESTS]

mutations = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 255), st.sampled_from(["set", "insert", "delete", "cut"])),
    min_size=1,
    max_size=4,
)


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


def test_the_conversation_itself_is_good(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as server:
        talk(server.port, CONVERSATION)
    assert [sql for sql, _ in engine.asked] == ["SELECT TOP 100 numbers", "SELECT @a, @b", "SELECT 1"]
    assert [[param.value for param in params] for _, params in engine.asked[1:]] == [
        [7, Decimal("0.07")],
        [datetime(2021, 1, 13), b"abc"],
    ]
    assert engine.log == ["begin", "rollback"]


def own_memory() -> int:
    """Resident bytes of this process, which is the server's too."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize(
    "packets", [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_mutated_packets_neither_crash_nor_hang_nor_grow(
    engine: ScriptedEngine, packets: int, caplog: pytest.LogCaptureFixture
) -> None:
    done = 0
    with SandboxServer(engine) as server, caplog.at_level("WARNING", logger="airflow_provider_pacs.sandbox"):
        bystander = connect(server.port, Encrypt="no")

        def batch_of(count: int) -> None:
            @settings(
                max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(which=st.integers(0, len(CONVERSATION) - 1), changes=mutations)
            def run(which: int, changes: list[tuple[int, int, str]]) -> None:
                nonlocal done
                done += 1
                conversation = list(CONVERSATION)
                conversation[which] = mutated(conversation[which], changes)
                talk(server.port, conversation, patience=0.01)
                engine.asked.clear()
                engine.sessions.clear()
                engine.log.clear()

            run()

        batch_of(packets // 5)
        before, threads = own_memory(), threading.active_count()
        for _ in range(4):
            batch_of(packets // 5)
            assert bystander.execute("SELECT 1").fetchval() == 1
        bystander.close()
        assert connect(server.port, Encrypt="no").execute("SELECT 1").fetchval() == 1
        assert wait_for(lambda: threading.active_count() <= threads, 10), "threads of dead connections stay"
    assert done >= packets * 0.99
    grown = own_memory() - before
    print(f"{done} packets, {grown / (1 << 20):.1f} MB more than after the first fifth")
    assert grown < 32 << 20
    assert [record.message for record in caplog.records if "failure of the sandbox" in record.message] == []


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=300))
def test_parsers_only_refuse(payload: bytes) -> None:
    for parse in (
        packets.Prelogin.parse,
        packets.Login7.parse,
        parse_rpc,
        lambda data: parse_rpc(HEADERS + b"\xff\xff\x0a\x00\x00\x00" + data),
    ):
        try:
            parse(payload)
        except packets.ProtocolError:
            continue


def test_garbage_before_login(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as server:
        for packets in (
            [b"GET / HTTP/1.0\r\n\r\n"],
            [b"\x16\x03\x01\x00\x05hello"],
            [b"\x12"],
            [bytes(10)],
            [REQUESTS[0]],
            [PRELOGIN, REQUESTS[0]],
        ):
            talk(server.port, packets, patience=0.1)
        assert connect(server.port, Encrypt="no").execute("SELECT 1").fetchval() == 1
