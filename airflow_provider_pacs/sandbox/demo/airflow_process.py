"""Starts a real Airflow in a folder: api-server, scheduler, dag-processor and triggerer over a metadata
database.

Everything listens on 127.0.0.1 only. The log servers, which Airflow binds to all addresses, are left out: one
machine reads its logs from disk.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from airflow_provider_pacs.sandbox.demo.processes import Processes

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "api-server": ("api-server",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
# Airflow imports this file, if it is there, when a process starts. The LocalExecutor forks its workers, and
# these the tasks, from the scheduler: what it has loaded, no task need load again. Great Expectations alone
# takes three seconds of CPU, for each of eight tasks.
_PRELOAD = """import logging
import sys

if "scheduler" in sys.argv:
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    for name in ("arrow_odbc", "great_expectations", "psycopg", "pyarrow", "pyodbc", "airflow.sdk.execution_time.task_runner"):
        __import__(name)
"""
_FOREIGN = ("AIRFLOW", "_AIRFLOW", "PACS_")
_MIGRATE_SECONDS = 240


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of some other Airflow or county."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def airflow_settings(
    home: Path, *, port: int, metadata_url: str, dags: Path, counties: Path
) -> dict[str, str]:
    """The environment of all Airflow processes.

    Args:
        home: AIRFLOW_HOME; logs go to `logs` in it.
        port: of the api-server.
        metadata_url: SQLAlchemy's, with a driver.
        dags: folder of the DAG files.
        counties: folder of the county files.
    """
    address = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__PACS__COUNTIES_PATH": str(counties),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def migrate(processes: Processes, settings: Mapping[str, str]) -> None:
    """Make the metadata database's tables.

    Raises:
        ProcessEnded: Airflow could not.
    """
    processes.start("airflow-db", [sys.executable, "-m", "airflow", "db", "migrate"], settings)
    processes.finish("airflow-db", _MIGRATE_SECONDS)


def start_components(processes: Processes, settings: Mapping[str, str]) -> None:
    """Start the four, each with a log of its own."""
    config = Path(settings["AIRFLOW_HOME"]) / "config"
    config.mkdir(exist_ok=True)
    (config / "airflow_local_settings.py").write_text(_PRELOAD, "utf-8")
    for name, words in COMPONENTS.items():
        processes.start(f"airflow-{name}", [sys.executable, "-m", "airflow", *words], settings)
