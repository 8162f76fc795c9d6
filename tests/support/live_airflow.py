"""A sandbox PACS with a table that has a rowversion, an empty PostgreSQL, and a real Airflow (scheduler,
dag-processor, api-server, triggerer) that follows counties of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from airflow_provider_pacs.sandbox.commands import call
from airflow_provider_pacs.sandbox.demo.airflow_process import (
    COMPONENTS,
    airflow_settings,
    clean_environment,
    free_port,
    migrate,
    start_components,
)
from airflow_provider_pacs.sandbox.demo.bring_up import airflow_connections, answering
from airflow_provider_pacs.sandbox.demo.embedded_postgres import Postgres, embedded_postgres
from airflow_provider_pacs.sandbox.demo.processes import Processes
from airflow_provider_pacs.sandbox.site import Endpoint

ROOT = Path(__file__).parents[2]
DAG_FILE = "from airflow_provider_pacs.dag_builder import build_county_dags\n\nglobals().update(build_county_dags())\n"
TABLE = "LiveProperty"
_CREATE = f"""CREATE TABLE dbo.{TABLE} (PropertyID uniqueidentifier NOT NULL, ParcelNumber nvarchar(50) NOT NULL,
Address nvarchar(255) NULL, City nvarchar(100) NULL, State nvarchar(2) NULL, ZipCode nvarchar(10) NULL,
LegalDescription nvarchar(max) NULL, Acreage decimal(10, 4) NULL, YearBuilt int NULL, IsActive bit NOT NULL,
LastModified datetime NULL, rv rowversion NOT NULL, PRIMARY KEY (PropertyID))"""
_CONNECTED = """import os, sys
import pyodbc
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.drivers import with_allowed_driver
connection = pyodbc.connect(with_allowed_driver(SourceAddress.from_url(sys.argv[1])).connection_string(), autocommit=True)
print("ready", flush=True)
import time
for line in sys.stdin:
    connection.execute(line.strip())
    print(time.time(), flush=True)
"""


def parcel(number: int) -> str:
    """The key of a property of the table."""
    return f"00000000-0000-4000-8000-{number:012d}"


@dataclass(frozen=True)
class LiveAirflow:
    """Everything that runs.

    Attributes:
        folder: logs of all processes are in it.
        fips: FIPS code by county.
    """

    folder: Path
    endpoint: Endpoint
    postgres: Postgres
    processes: Processes
    settings: Mapping[str, str]
    fips: Mapping[str, str]
    writer: Any

    def commit(self, statement: str) -> float:
        """A statement of the county's software, over a connection that stays open; gives the moment at which
        it was committed.
        """
        self.writer.stdin.write(" ".join(statement.split()) + "\n")
        self.writer.stdin.flush()
        return float(self.writer.stdout.readline())

    def change(self, number: int, city: str) -> float:
        """A clerk's edit."""
        return self.commit(f"UPDATE dbo.{TABLE} SET City = N'{city}' WHERE PropertyID = '{parcel(number)}'")

    def target(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the platform's database, by another client."""
        with psycopg.connect(self.postgres.url("terrafusion"), autocommit=True) as connection:
            return connection.execute(sql.encode(), params).fetchall()

    def metadata(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of Airflow's own database."""
        with psycopg.connect(self.postgres.url("airflow"), autocommit=True) as connection:
            return connection.execute(sql.encode(), params).fetchall()

    def cities(self, number: int) -> dict[str, str]:
        """A property's city by county."""
        try:
            rows = self.target(
                "SELECT county_id, city FROM pacs.property WHERE property_id = %s AND _deleted_at IS NULL",
                parcel(number),
            )
        except psycopg.errors.UndefinedTable:
            return {}
        return dict(rows)

    def await_(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not done():
            self.processes.check()
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not after {seconds:g} s; logs: {self.folder}")
            time.sleep(0.1)

    def await_city(self, number: int, city: str, seconds: float = 90) -> None:
        """Wait until every county shows a property's city."""
        self.await_(
            f"{city} in every county",
            lambda: set(self.cities(number).items()) == {(fips, city) for fips in self.fips.values()},
            seconds,
        )

    def tasks(self) -> list[tuple[str, str, str]]:
        """(dag, run, state) of every realtime task, oldest first."""
        return self.metadata(
            "SELECT dag_id, run_id, state FROM task_instance WHERE task_id = 'follow' ORDER BY queued_dttm"
        )  # type: ignore[return-value]

    def idle(self) -> bool:
        """Whether no realtime run is queued or at work."""
        return self.metadata(
            "SELECT count(*) FROM dag_run WHERE dag_id LIKE %s AND state IN ('queued', 'running')",
            "pacs\\_%\\_realtime",
        ) == [(0,)]

    def kill(self, component: str) -> None:
        """End a component and all that it started, as a machine's end would."""
        process, _ = self.processes._started.pop(f"airflow-{component}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def start(self, component: str) -> None:
        """Start it again."""
        command = [sys.executable, "-m", "airflow", *COMPONENTS[component]]
        self.processes.start(f"airflow-{component}", command, self.settings)


@contextlib.contextmanager
def live_airflow(
    folder: Path,
    counties: int = 1,
    *,
    rows: int = 50,
    realtime: Mapping[str, Any] | None = None,
    sync: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[LiveAirflow]:
    """Bring it all up with counties that have one table; stop it all in the end.

    Args:
        folder: an empty one.
        counties: how many counties follow the same database.
        rows: of the table.
        realtime: of the county files.
        sync: of the county files.
        settings: of Airflow, beside those that everybody gets.
        wait: until every county has its first load.
    """
    slugs = {f"live_{number:03d}": f"{97000 + number}" for number in range(1, counties + 1)}
    processes = Processes(folder, clean_environment() | {"PYTHONPATH": str(ROOT)})
    dags = folder / "dags"
    files = dags / "counties"
    files.mkdir(parents=True)
    (dags / "counties.py").write_text(DAG_FILE, "utf-8")
    for slug, fips in slugs.items():
        (files / f"{slug}.yaml").write_text(_county_file(slug, fips, realtime or {}, sync or {}), "utf-8")
    with contextlib.ExitStack() as ending:
        server = ending.enter_context(contextlib.ExitStack())
        ending.callback(processes.stop)
        serve = ["-m", "airflow_provider_pacs.cli", "sandbox", "serve", "--size", "tiny"]
        processes.start("sandbox", [sys.executable, *serve, "--dir", str(folder / "sandbox")])
        postgres = server.enter_context(embedded_postgres(folder / "postgres", ("terrafusion", "airflow")))
        port = free_port()
        airflow = airflow_settings(
            folder / "airflow",
            port=port,
            metadata_url=postgres.url("airflow", "postgresql+psycopg2"),
            dags=dags,
            counties=files,
        )
        airflow |= {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__PACS__DEADLINE_ALERTS": "False",
            **(settings or {}),
        }
        migrate(processes, airflow)
        endpoint = answering(folder / "sandbox", processes)
        call(endpoint, _CREATE)
        for first in range(1, rows + 1, 100):
            call(endpoint, _insert(range(first, min(first + 100, rows + 1))))
        environment = (
            airflow | endpoint.environment | airflow_connections(dict.fromkeys(slugs, endpoint), postgres)
        )
        writer = subprocess.Popen(
            [sys.executable, "-c", _CONNECTED, endpoint.url(admin=True)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **endpoint.environment, "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )
        ending.callback(writer.wait, 10)
        ending.callback(writer.stdin.close)
        assert writer.stdout.readline().strip() == "ready"
        start_components(processes, environment)
        live = LiveAirflow(folder, endpoint, postgres, processes, environment, slugs, writer)
        if wait:
            live.await_(
                "the first load of every county", lambda: len(live.cities(1)) == counties, 300 + 10 * counties
            )
        yield live


def _county_file(slug: str, fips: str, realtime: Mapping[str, Any], sync: Mapping[str, Any]) -> str:
    document = {
        "county": slug,
        "fips": fips,
        "timezone": "America/Los_Angeles",
        "source": {"connection": f"pacs_{slug}", "profile": "generic"},
        "sync": {"entities": ["property"], "cron": None, "reconcile_cron": None, **sync},
        "realtime": {"enabled": True, "poll_seconds": 2, "linger_seconds": 10, **realtime},
        "tables": {"property": {"table": TABLE}},
    }
    return json.dumps(document, indent=1)


def _insert(numbers: Sequence[int]) -> str:
    values = ", ".join(
        f"('{parcel(n)}', N'1-{n:05d}', N'1 Main St', N'Prosser', N'WA', N'99350', N'LOT 1', 0.25, 1999, 1, "
        "'2026-01-01 08:00:00')"
        for n in numbers
    )
    return (
        f"INSERT INTO dbo.{TABLE} (PropertyID, ParcelNumber, Address, City, State, ZipCode, LegalDescription, "
        f"Acreage, YearBuilt, IsActive, LastModified) VALUES {values}"
    )
