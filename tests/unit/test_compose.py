"""docker-compose.yaml can't run where the tests run; what can be read from it is held here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
LONG_RUNNING = sorted(name for name, service in SERVICES.items() if service.get("restart") != "no")
REQUIRED = sorted(set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text("utf-8"))))
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|TOKEN", re.IGNORECASE)


def filled_in(text: str) -> str:
    """Fills a value's ${VARIABLE:-default} and ${VARIABLE:?message} as compose would, each with its default
    or its own name.
    """
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda match: match[2] or match[1], text)


def test_the_whole_of_airflow_and_both_databases_are_there() -> None:
    airflow = {
        f"airflow-{part}" for part in ("db", "init", "api-server", "scheduler", "dag-processor", "triggerer")
    }
    assert set(SERVICES) == airflow | {"sqlserver", "postgres"}
    assert SERVICES["sqlserver"]["image"].endswith("/mssql/server:2022-latest")
    assert SERVICES["postgres"]["image"] == "postgres:17"


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_each_long_running_service_has_a_healthcheck(name: str) -> None:
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert healthcheck["retries"] > 1


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_waits_are_for_conditions_that_can_come_true(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    for other, how in waits.items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_secret_is_written_down(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(key):
            assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), f"{name}: {key} is a literal"
        if "://" in str(value) and "@" in value:
            assert re.search(r"://\w+:\$\{\w+:\?[^}]*\}@", value), f"{name}: {key} holds a literal password"
        for password in re.findall(r'"password": "([^"]*)"', str(value)):
            assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", password), f"{name}: {key} holds a literal password"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_bound_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("variable", "kind"), [("AIRFLOW_CONN_PACS_BENTON_WA", "pacs"), ("AIRFLOW_CONN_TERRAFUSION", "postgres")]
)
def test_connections_are_json_that_points_at_a_service(variable: str, kind: str) -> None:
    connection = json.loads(filled_in(SERVICES["airflow-scheduler"]["environment"][variable]))
    assert connection["conn_type"] == kind
    assert connection["host"] in SERVICES


def test_the_readme_names_every_variable_that_must_be_set() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [variable for variable in REQUIRED if variable not in readme] == []


def test_docker_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        not docker
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker compose here")
    values = dict.fromkeys(REQUIRED, "x")
    subprocess.run(
        [docker, "compose", "--file", str(COMPOSE), "config", "--quiet"],
        env={"PATH": str(Path(docker).parent), **values},
        check=True,
    )
