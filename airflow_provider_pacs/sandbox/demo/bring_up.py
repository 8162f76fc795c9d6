"""Brings up what the demo needs: a sandbox PACS, a PostgreSQL with two databases, and Airflow."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_pacs.sandbox import site
from airflow_provider_pacs.sandbox.demo.airflow_api import AirflowApi
from airflow_provider_pacs.sandbox.demo.airflow_process import (
    airflow_settings,
    clean_environment,
    free_port,
    migrate,
    start_components,
)
from airflow_provider_pacs.sandbox.demo.embedded_postgres import Postgres, embedded_postgres
from airflow_provider_pacs.sandbox.demo.processes import Processes, stop_marked

_LOCK = "pacs-demo.lock"
_SANDBOX_SECONDS, _HEALTHY_SECONDS = 300, 300


@dataclass(frozen=True, slots=True)
class DemoCounty:
    """A county of the demo and the sandbox PACS behind it.

    Attributes:
        name: of its file and its DAGs.
        profile: whose tables the sandbox has.
        size: of the sandbox.
        seed: another gives other data.
        text: of its file; empty for the checkout's own with another profile.
    """

    name: str
    profile: str
    size: str
    seed: int = 1
    text: str = ""

    @property
    def process(self) -> str:
        """The name of its sandbox's process and log."""
        return f"sandbox-{self.name}" if self.text else "sandbox"

    def sandbox(self, folder: Path) -> Path:
        """The folder of its sandbox."""
        return folder / self.process


@dataclass(frozen=True, slots=True)
class Running:
    """Everything up: Airflow's API, the processes, and where things are."""

    folder: Path
    processes: Processes
    api: AirflowApi
    postgres: Postgres
    started: float
    setup_seconds: float

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.folder / "airflow"


class NotOurs(Exception):
    """The folder holds something that no demo put there."""


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """A fresh folder that no other demo uses; what a killed demo left running in it is stopped, and its files
    go.

    Raises:
        BlockingIOError: another demo runs in it.
        NotOurs: files of somebody else are in it.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / _LOCK).exists():
        raise NotOurs(f"{folder} is not empty and holds no demo: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stop_marked(folder, signal.SIGKILL, 10)
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old.name != _LOCK:
                old.unlink()
        yield


@contextlib.contextmanager
def everything_up(
    folder: Path, counties: Sequence[DemoCounty], dags: Path, on_progress: Callable[[str], None]
) -> Iterator[Running]:
    """Bring everything up, side by side where one does not wait for the other; stop it all when the block
    ends, however it ends.

    Args:
        folder: made by `own_folder`.
        counties: each gets a sandbox PACS and its connection; their DAGs are awaited.
        dags: folder of the DAG files; the county files are in `counties` there.
        on_progress: receives a line for each step.

    Raises:
        ProcessEnded: something ended by itself.
        TimeoutError: something does not answer.
    """
    started = time.monotonic()
    processes = Processes(folder, clean_environment())
    with contextlib.ExitStack() as ending:
        ending.callback((folder / "running.json").unlink, missing_ok=True)
        server = ending.enter_context(contextlib.ExitStack())  # ends last: the processes use it
        ending.callback(_stop, processes, on_progress)
        for county in counties:
            processes.start(county.process, [sys.executable, *_serve(county, folder)])
        postgres = server.enter_context(embedded_postgres(folder / "postgres", ("terrafusion", "airflow")))
        port = free_port()
        settings = airflow_settings(
            folder / "airflow",
            port=port,
            metadata_url=postgres.url("airflow", "postgresql+psycopg2"),
            dags=dags,
            counties=county_files(dags / "counties", folder / "counties", counties),
        )
        migrate(processes, settings)
        endpoints = {county: answering(county.sandbox(folder), processes) for county in counties}
        on_progress(
            "sandbox PACS and PostgreSQL answer; Airflow starts: scheduler, dag-processor, api-server, "
            "triggerer"
        )
        start_components(
            processes,
            settings
            | _trusting(folder, endpoints)
            | airflow_connections({county.name: at for county, at in endpoints.items()}, postgres),
        )
        api = AirflowApi(f"http://127.0.0.1:{port}", processes.check)
        awaited = [f"pacs_{county.name}{kind}" for county in counties for kind in ("", "_reconcile")]
        api.wait_until_healthy(tuple(awaited), _HEALTHY_SECONDS)
        where = {
            "airflow": api.address,
            "target_url": postgres.url("terrafusion"),
            "sandbox": str(counties[0].sandbox(folder)),
            "county": counties[0].name,
        }
        (folder / "running.json").write_text(json.dumps(where, indent=1), "utf-8")
        yield Running(folder, processes, api, postgres, started, time.monotonic() - started)


def _serve(county: DemoCounty, folder: Path) -> list[str]:
    words = ["-m", "airflow_provider_pacs.cli", "sandbox", "serve", "--profile", county.profile, "--size"]
    return [*words, county.size, "--seed", str(county.seed), "--dir", str(county.sandbox(folder))]


def _trusting(folder: Path, endpoints: dict[DemoCounty, site.Endpoint]) -> dict[str, str]:
    """The settings that reach every sandbox: each has an authority of its own, and a process trusts one file."""
    settings = dict(next(iter(endpoints.values())).environment)
    if len(endpoints) > 1:
        files = [Path(endpoint.environment["SSL_CERT_FILE"]) for endpoint in endpoints.values()]
        trusted = folder / "authorities.pem"
        trusted.write_text("".join(file.read_text("utf-8") for file in files), "utf-8")
        settings["SSL_CERT_FILE"] = str(trusted)
    return settings


def county_files(written: Path, copied: Path, counties: Sequence[DemoCounty]) -> Path:
    """Copies the county files; a county that brings no text of its own is one of them, and its file then says
    which profile its PACS is of.

    Raises:
        ValueError: its file names no profile, or more than one.
    """
    shutil.copytree(written, copied)
    for county in counties:
        file = copied / f"{county.name}.yaml"
        text, result = county.text, 1
        if not text:
            text, result = re.subn(
                r"(?m)^(  profile: )\w+", rf"\g<1>{county.profile}", file.read_text("utf-8")
            )
        if result != 1:
            raise ValueError(
                f"{written / file.name} names {result} profiles: one `  profile: NAME` below `source:` is wanted"
            )
        file.write_text(text, "utf-8")
    return copied


def _stop(processes: Processes, on_progress: Callable[[str], None]) -> None:
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # stopping takes a bounded time; a second Ctrl-C must not leave things behind
        signal.signal(number, signal.SIG_IGN)
    left = processes.stop()
    on_progress("everything that was started is stopped" if not left else f"STILL RUNNING: {'; '.join(left)}")


def airflow_connections(endpoints: Mapping[str, site.Endpoint], postgres: Postgres) -> dict[str, str]:
    """The connections of counties (name -> sandbox) and of the target, as Airflow reads them from the
    environment.
    """
    connections: dict[str, dict[str, Any]] = {
        f"AIRFLOW_CONN_PACS_{county.upper()}": {
            "conn_type": "pacs",
            "host": endpoint.host,
            "port": endpoint.port,
            "schema": endpoint.database,
            "login": endpoint.reader,
            "password": endpoint.reader_password,
            "extra": {"encrypt": "yes", "trust_server_certificate": False},
        }
        for county, endpoint in endpoints.items()
    }
    connections["AIRFLOW_CONN_TERRAFUSION"] = {
        "conn_type": "postgres",
        "host": postgres.socket_folder,
        "schema": "terrafusion",
        "login": postgres.user,
    }
    return {name: json.dumps(fields) for name, fields in connections.items()}


def answering(folder: Path, processes: Processes) -> site.Endpoint:
    """The endpoint of a sandbox that was just started in a folder.

    Raises:
        TimeoutError: it does not answer in time.
    """
    end = time.monotonic() + _SANDBOX_SECONDS
    while not (folder / "endpoint.json").exists():
        processes.check()
        if time.monotonic() > end:
            raise TimeoutError(f"the sandbox PACS does not answer after {_SANDBOX_SECONDS} s")
        time.sleep(0.1)
    return site.Endpoint.read(folder)
