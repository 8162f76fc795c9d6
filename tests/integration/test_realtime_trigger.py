"""The trigger and the deferrable sensor over Microsoft's driver, on an event loop; positions as Airflow keeps
them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.serialization.encoders import encode_trigger
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from county_dags import airflow_folder as airflow_folder
from county_dags import county_dag as county_dag
from county_dags import run_dag

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sensors.connection import PacsConnectionSensor
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental.strategy import PolledTable
from airflow_provider_pacs.sync.polling import (
    Followed,
    PolledEntity,
    PollPlan,
    moved,
    poll_query,
    read_position,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.async_reader import AsyncReader
from airflow_provider_pacs.sync.source.reach import UnreachableError
from airflow_provider_pacs.triggers.changes import PacsChangeTrigger
from airflow_provider_pacs.triggers.connection import PacsConnectionTrigger
from tests.support.county import county_config, retype
from tests.support.server import MssqlServer

BENTON = CountyConfig.model_validate({"county": "benton_wa"})
COLUMNS = "k int NOT NULL PRIMARY KEY, stamp datetime2(7) NULL, city varchar(50) NULL, rv rowversion"


@pytest.fixture(scope="module")
def served(mssql: MssqlServer) -> Iterator[tuple[MssqlServer, str]]:
    """A server and a table of it with a rowversion and a stamp."""
    with mssql.table(COLUMNS) as name:
        mssql.execute(f"INSERT INTO dbo.{name} (k, stamp) VALUES (1, '2020-01-01'), (2, '2020-01-02')")
        yield mssql, name


def plan(table: str, *strategies: str) -> PollPlan:
    known = {
        "rowversion": PolledTable("dbo", table),
        "last_modified": PolledTable("dbo", table, "stamp", "datetime2(7)", lag_seconds=60),
    }
    return PollPlan(tuple(PolledEntity(name, name, known[name]) for name in strategies), {}, 60)


async def position(reader: AsyncReader, asked: PollPlan) -> dict[str, str]:
    return read_position(asked, await reader.row(poll_query(asked).sql))


def test_one_statement_tells_every_position(served: tuple[MssqlServer, str]) -> None:
    server, table = served
    asked = plan(table, "rowversion", "last_modified")

    async def work() -> None:
        async with AsyncReader(server.address) as reader:
            before = await position(reader, asked)
            assert moved(before, await position(reader, asked)) == ()
            server.execute(f"UPDATE dbo.{table} SET city = 'Prosser' WHERE k = 1")
            after = await position(reader, asked)
            assert moved(before, after) == ("rowversion:rowversion",)
            server.execute(f"UPDATE dbo.{table} SET stamp = '2020-01-03' WHERE k = 1")
            assert set(moved(after, await position(reader, asked))) == {
                "rowversion:rowversion",
                "last_modified:last_modified",
            }

    asyncio.run(work())


def test_many_readers_share_a_few_threads(served: tuple[MssqlServer, str]) -> None:
    server, table = served
    asked = plan(table, "rowversion")

    async def work() -> int:
        readers = [AsyncReader(server.address) for _ in range(40)]
        try:
            shown = await asyncio.gather(*(position(reader, asked) for reader in readers))
            assert len({each["rowversion:rowversion"] for each in shown}) == 1
            return sum(thread.name.startswith("pacs-poll") for thread in threading.enumerate())
        finally:
            await asyncio.gather(*(reader.close() for reader in readers))

    assert asyncio.run(work()) <= 16


def test_errors_are_sorted_as_everywhere(served: tuple[MssqlServer, str]) -> None:
    server, _ = served

    async def ask(address: SourceAddress, sql: str = "SELECT 1 AS one") -> Any:
        async with AsyncReader(address) as reader:
            return await reader.row(sql)

    with pytest.raises(UnreachableError, match="port 1 is closed"):
        asyncio.run(ask(replace(server.address, host="127.0.0.1", port=1)))
    with pytest.raises(ConfigError, match="DNS knows no host"):
        asyncio.run(ask(replace(server.address, host="no-such-host.invalid")))
    with pytest.raises(ConfigError) as refused:
        asyncio.run(ask(replace(server.address, password="Wrong!1")))
    assert refused.value.code == "PACS-002"
    with pytest.raises(ConfigError) as missing:
        asyncio.run(ask(server.address, "SELECT x FROM dbo.no_such_table"))
    assert missing.value.code == "PACS-003"


def test_after_an_error_the_next_question_is_asked_on_a_fresh_connection(
    served: tuple[MssqlServer, str],
) -> None:
    server, _ = served

    async def work() -> None:
        async with AsyncReader(server.address) as reader:
            (first,) = await reader.row("SELECT @@SPID AS one")
            with pytest.raises(PacsError):
                await reader.row("SELECT x FROM dbo.no_such_table")
            (second,) = await reader.row("SELECT @@SPID AS one")
            assert first != second

    asyncio.run(work())


def test_whoever_is_cancelled_leaves_no_connection(served: tuple[MssqlServer, str]) -> None:
    """A trigger is cancelled while the driver works: its thread must not lose its connection under it."""
    server, _ = served

    async def work() -> None:
        reader = AsyncReader(server.address)
        await reader.row("SELECT 1 AS one")
        asking = asyncio.create_task(reader.row("SELECT 1 AS one"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await reader.close()
        assert reader._engine is None
        assert await reader.row("SELECT 2 AS two") == (2,)
        await reader.close()

    asyncio.run(work())


class Store:
    """Airflow's asset state store, as a trigger sees it."""

    def __init__(self, **documents: Any) -> None:
        self.documents: dict[str, Any] = documents

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.documents.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.documents[key] = json.loads(json.dumps(value))


@pytest.fixture
def stored(served: tuple[MssqlServer, str], monkeypatch: pytest.MonkeyPatch) -> SourceAddress:
    """The connection `pacs_benton_wa` in Airflow's environment."""
    address = served[0].address
    connection = {
        "conn_type": "pacs",
        "host": address.host,
        "port": address.port,
        "schema": address.database,
        "login": address.user,
        "password": address.password,
        "extra": {"encrypt": address.encrypt, "trust_server_certificate": address.trust_server_certificate},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", json.dumps(connection))
    return address


def trigger(**changes: Any) -> PacsChangeTrigger:
    config = county_config(realtime={"enabled": True, "poll_seconds": 1, **changes})
    made = PacsChangeTrigger.of(config)
    made.source_connection, made.poll_seconds = "pacs_benton_wa", 0.05  # type: ignore[assignment]
    return made


async def events(trigger: PacsChangeTrigger, count: int) -> list[TriggerEvent]:
    shown: list[TriggerEvent] = []
    run: AsyncIterator[TriggerEvent] = trigger.run()
    async with asyncio.timeout(30):
        async for event in run:
            shown.append(event)
            if len(shown) == count:
                break
    await run.aclose()  # type: ignore[attr-defined]
    await trigger.cleanup()
    return shown


def test_a_trigger_is_made_again_from_what_airflow_stores() -> None:
    made = trigger(hours="07:00-18:00", days=["mon"])
    path, arguments = made.serialize()
    assert path == "airflow_provider_pacs.triggers.changes.PacsChangeTrigger"
    again = PacsChangeTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == made.serialize()
    encoded = encode_trigger(made)
    assert BaseEventTrigger.hash(encoded["classpath"], encoded["kwargs"]) == BaseEventTrigger.hash(
        *again.serialize()
    )
    assert not {"password", "host", "login"} & set(arguments)


def test_a_change_at_the_source_is_an_event_without_a_row(
    served: tuple[MssqlServer, str], stored: SourceAddress
) -> None:
    server, table = served
    asked = plan(table, "rowversion")

    async def work() -> None:
        async with AsyncReader(server.address) as reader:
            handled = await position(reader, asked)
        changes = trigger()
        changes.asset_state_store = Store(followed=Followed(asked, handled).as_json())  # type: ignore[assignment]
        listening = asyncio.create_task(events(changes, 1))
        await asyncio.sleep(0.5)
        assert not listening.done()
        server.execute(f"UPDATE dbo.{table} SET city = 'Kennewick' WHERE k = 2")
        (event,) = await listening
        assert set(event.payload) == {"county", "moved", "seen_at"}
        assert "Kennewick" not in json.dumps(event.payload)
        assert changes.asset_state_store.documents["polled"]["state"] == "live"  # type: ignore[union-attr]

    asyncio.run(work())


def test_a_triggerer_that_starts_again_reports_what_came_meanwhile(
    served: tuple[MssqlServer, str], stored: SourceAddress
) -> None:
    """A change while no triggerer ran, and an event that got lost with it: both are reported."""
    server, table = served
    asked = plan(table, "rowversion")

    async def work() -> None:
        async with AsyncReader(server.address) as reader:
            handled = await position(reader, asked)
        store = Store(followed=Followed(asked, handled).as_json())
        server.execute(f"UPDATE dbo.{table} SET city = 'Richland' WHERE k = 2")
        for _ in range(2):
            changes = trigger()
            changes.asset_state_store = store  # type: ignore[assignment]
            assert len(await events(changes, 1)) == 1

    asyncio.run(work())


def test_before_airflow_33_the_position_is_in_the_target(
    served: tuple[MssqlServer, str],
    stored: SourceAddress,
    pg_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget
    from airflow_provider_pacs.triggers import state

    server, table = served
    asked = plan(table, "rowversion")
    changes = trigger()
    monkeypatch.setattr(
        "airflow_provider_pacs.hooks.target.open_target", lambda *_: PostgresTarget.from_url(pg_url)
    )
    with PostgresTarget.from_url(pg_url) as target:
        target.migrate()
        kept = state.TargetFollowed(target, changes.fips)
        assert kept.read() is None

        async def work() -> None:
            async with AsyncReader(server.address) as reader:
                kept.write(Followed(asked, await position(reader, asked)).as_json())
            listening = asyncio.create_task(events(changes, 1))
            await asyncio.sleep(0.5)
            assert not listening.done()
            server.execute(f"UPDATE dbo.{table} SET city = 'Pasco' WHERE k = 1")
            assert len(await listening) == 1

        asyncio.run(work())
        polled = target.realtime.read(changes.fips, "polled")
        assert polled is not None
        assert polled["state"] == "live"


def test_before_the_first_run_there_is_nothing_to_keep_it_in(
    served: tuple[MssqlServer, str], stored: SourceAddress, pg_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger comes before the first run makes the schemas: it reports the county all the same."""
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

    name = f"empty_{uuid4().hex[:8]}"
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            url = urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
            monkeypatch.setattr(
                "airflow_provider_pacs.hooks.target.open_target", lambda *_: PostgresTarget.from_url(url)
            )
            (event,) = asyncio.run(events(trigger(), 1))
            assert event.payload["moved"] == ["first"]
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_the_sensor_is_done_at_once_where_the_source_answers(stored: SourceAddress) -> None:
    sensor = PacsConnectionSensor(task_id="wait", config=BENTON, deferrable=True)
    assert sensor.execute({}) is None  # type: ignore[arg-type]


def test_the_sensor_waits_in_the_triggerer(stored: SourceAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    address = json.loads(os.environ["AIRFLOW_CONN_PACS_BENTON_WA"])
    monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", json.dumps(address | {"port": 1}))
    sensor = PacsConnectionSensor(task_id="wait", config=BENTON, deferrable=True, poke_interval=0.2)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})  # type: ignore[arg-type]
    waiting = deferred.value.trigger
    assert isinstance(waiting, PacsConnectionTrigger)
    again = PacsConnectionTrigger(**json.loads(json.dumps(waiting.serialize()[1])))

    async def work() -> dict[str, Any]:
        listening = asyncio.create_task(anext(again.run()))  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        assert not listening.done()
        monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", json.dumps(address))
        async with asyncio.timeout(20):
            return (await listening).payload  # type: ignore[no-any-return]

    event = asyncio.run(work())
    assert event == {"status": "success"}
    sensor.execute_complete({}, event)  # type: ignore[arg-type]


def test_what_somebody_must_change_fails_the_sensor_at_once(
    stored: SourceAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = json.loads(os.environ["AIRFLOW_CONN_PACS_BENTON_WA"]) | {"password": "Wrong!1"}
    monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", json.dumps(wrong))
    sensor = PacsConnectionSensor(task_id="wait", config=BENTON, deferrable=True)
    with pytest.raises(AirflowFailException, match="PACS-002"):
        sensor.execute({})  # type: ignore[arg-type]
    waiting = PacsConnectionTrigger(county="benton_wa", source_connection="pacs_benton_wa", poll_seconds=1)
    event = asyncio.run(anext(waiting.run())).payload  # type: ignore[arg-type]
    assert (event["status"], event["code"]) == ("failed", "PACS-002")
    assert "Wrong!1" not in json.dumps(event)
    with pytest.raises(AirflowFailException, match="PACS-002"):
        sensor.execute_complete({}, event)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_realtime_dag_in_airflow(
    served: tuple[MssqlServer, str],
    stored: SourceAddress,
    pg_url: str,
    county_dag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The whole path in one task: what it published, and what it kept for the trigger."""
    server, _ = served
    with server.table(retype("Property", rv=SqlType("rowversion"))) as table:
        names = "PropertyID, ParcelNumber, Address, City, IsActive, LastModified"
        values = "'00000000-0000-4000-8000-000000000001', '1-1', '1 Main St', 'Prosser', 1, '2026-01-01'"
        server.execute(f"INSERT INTO dbo.{table} ({names}) VALUES ({values})")
        document = {
            "county": "benton_wa",
            "sync": {"entities": ["property"], "retries": 0},
            "realtime": {"enabled": True, "poll_seconds": 1, "linger_seconds": 0},
            "tables": {"property": {"table": table}},
        }
        (tmp_path / "benton_wa.yaml").write_text(json.dumps(document), "utf-8")
        known = psycopg.conninfo.conninfo_to_dict(pg_url)
        target = {"conn_type": "postgres", "host": known["host"], "schema": known["dbname"]}
        monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", json.dumps({**target, "login": known["user"]}))
        ran = run_dag(county_dag, "pacs_benton_wa_realtime", tmp_path, monkeypatch, capfd)
    assert ran.states == {"follow": "success"}, ran.log[-3000:]
    assert "Great Expectations" not in ran.log
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT city FROM pacs.property WHERE county_id = '53005'").fetchall() == [
            ("Prosser",)
        ]
        runs = connection.execute(
            "SELECT r.kind, r.state, c.state FROM pacs_ops.sync_run AS r JOIN pacs_ops.certificate AS c USING (run_id) "
            "WHERE r.county_id = '53005'"
        ).fetchall()
    assert runs == [("realtime", "succeeded", "clean")]
