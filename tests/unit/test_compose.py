"""docker-compose.yaml can't run where the tests run; what can be read from it is held here.

Case F13: it works as the README describes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_pacs.sync.config import load_county

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
COMPOSE = ROOT / "docker-compose.yaml"
WHOLE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
VOLUMES: dict[str, Any] = WHOLE["volumes"]
LOGIN = "tf_pacs_sync"
"""What `pacs grants --target` calls the target's login."""
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
    helpers = {"certificates", "target-login"}
    assert set(SERVICES) == airflow | helpers | {"sqlserver", "postgres", "redis", "airflow-worker"}
    assert "/mssql/server:2022-" in SERVICES["sqlserver"]["image"]
    assert SERVICES["postgres"]["image"].startswith("postgres:17.")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned_to_a_release(name: str) -> None:
    image = SERVICES[name]["image"]
    if image != "airflow-provider-pacs:dev":  # built here
        assert re.fullmatch(r"[^:]+:(\d+\.\d+[\w.-]*|\d{4}-CU\d+-[\w.-]+)", image)


def test_the_image_takes_the_set_that_the_tests_ran_with() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    (airflow,) = re.findall(r"^FROM apache/airflow:([\d.]+)-python", dockerfile, re.MULTILINE)
    assert f"\napache-airflow=={airflow}\n" in constraints
    assert "--constraint /opt/pacs/constraints.txt" in dockerfile
    copied = {
        word for line in re.findall(r"^COPY \S+ (.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    }
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_each_long_running_service_has_a_healthcheck(name: str) -> None:
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert healthcheck["retries"] > 1


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_healthcheck_asks_over_tcp(name: str) -> None:
    """While PostgreSQL's image makes its database, a server answers on the socket, and only there."""
    test = " ".join(SERVICES[name]["healthcheck"]["test"])
    if "pg_isready" in test:
        assert "--host=127.0.0.1" in test
    if "sqlcmd" in test:
        assert "-S tcp:127.0.0.1" in test
    assert "localhost" not in test


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_waits_are_for_conditions_that_can_come_true(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    for other, how in waits.items():
        if SERVICES[other].get("profiles", []) and not SERVICES[name].get("profiles"):
            assert how["required"] is False, f"{name} would not start without the profile of {other}"
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_secret_is_written_down(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(key) and not key.endswith("_FILE"):
            assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), f"{name}: {key} is a literal"
        if "://" in str(value) and "@" in value:
            assert re.search(r"://\w+:\$\{\w+:\?[^}]*\}@", value), f"{name}: {key} holds a literal password"
        for password in re.findall(r'"password": "([^"]*)"', str(value)):
            assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", password), f"{name}: {key} holds a literal password"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_bound_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def target() -> dict[str, Any]:
    """The connection of the platform's database."""
    connection: dict[str, Any] = json.loads(
        filled_in(SERVICES["airflow-scheduler"]["environment"]["AIRFLOW_CONN_TERRAFUSION"])
    )
    return connection


def test_the_target_is_verified_and_its_login_is_no_superuser() -> None:
    superuser = SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    assert target()["login"] == LOGIN != superuser
    assert target()["extra"]["sslmode"] == "verify-full"
    assert "ssl=on" in SERVICES["postgres"]["command"]
    for name in ("postgres", "airflow-scheduler", "airflow-worker", "target-login"):
        assert "certificates:/certs:ro" in SERVICES[name]["volumes"]
    for name in ("airflow-scheduler", "airflow-worker", "airflow-dag-processor", "airflow-api-server"):
        assert SERVICES[name]["depends_on"]["target-login"]["condition"] == "service_completed_successfully"
    for name, service in SERVICES.items():
        if name != "target-login":
            assert "POSTGRES_PASSWORD" not in str(
                service.get("environment", {}).get("AIRFLOW_CONN_TERRAFUSION")
            )


def test_the_certificate_is_one_that_full_verification_accepts(tmp_path: Path) -> None:
    """The script that service `certificates` runs, run here."""
    owner = str(os.getuid())
    script = ["sh", str(ROOT / "docker" / "certificates.sh"), str(tmp_path), owner]
    subprocess.run(script, check=True)
    certificate = (tmp_path / "postgres.crt").read_bytes()
    subprocess.run(script, check=True)
    assert (tmp_path / "postgres.crt").read_bytes() == certificate, "a second start made another one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ca.crt", "postgres.crt", "postgres.key"]
    assert (tmp_path / "postgres.key").stat().st_mode & 0o777 == 0o600
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "postgres.crt", tmp_path / "postgres.key")
    assert handshake(context, served, target()["host"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context, served, "another-host")


def handshake(context: ssl.SSLContext, served: ssl.SSLContext, name: str) -> bool:
    """A TLS handshake in memory, the client expecting this name."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=name)
    server = served.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = 0
        for side in (client, server):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
        if done == 2:
            return True
    return False


def test_the_bundled_county_is_the_one_that_the_readme_restores() -> None:
    """The README restores a real PACS, so the county reads PACS's own tables."""
    environment = SERVICES["airflow-scheduler"]["environment"]
    assert "./docker/counties:/opt/airflow/counties:ro" in SERVICES["airflow-scheduler"]["volumes"]
    assert environment["AIRFLOW__PACS__COUNTIES_PATH"] == "/opt/airflow/counties"
    (file,) = (ROOT / "docker" / "counties").glob("*.yaml")
    county = load_county(file)
    assert county.source.profile == "harris_pacs_9"
    assert f"AIRFLOW_CONN_{county.source.connection.upper()}" in environment
    assert f"AIRFLOW_CONN_{county.target.connection.upper()}" in environment
    assert "harris_pacs_9" in README[README.index("## With a genuine SQL Server") :]
    assert SERVICES["target-login"]["entrypoint"][-1] == county.county


def test_the_admins_password_outlives_the_container() -> None:
    environment = SERVICES["airflow-api-server"]["environment"]
    file = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert f"airflow-auth:{file.parent}" in SERVICES["airflow-api-server"]["volumes"]
    assert "airflow-auth" in VOLUMES
    assert str(file.parent) in (ROOT / "Dockerfile").read_text("utf-8"), "the volume would belong to root"
    assert str(file) in README


def test_celery_has_a_broker_and_two_workers() -> None:
    worker = SERVICES["airflow-worker"]
    assert worker["profiles"] == SERVICES["redis"]["profiles"] == ["celery"]
    assert worker["deploy"]["replicas"] == 2
    environment = worker["environment"]
    assert environment["AIRFLOW__CELERY__BROKER_URL"].startswith("redis://redis:")
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "${AIRFLOW_EXECUTOR:-LocalExecutor}"
    assert "AIRFLOW_EXECUTOR=CeleryExecutor docker compose --profile celery up" in README
    assert "ports" not in worker
    assert "ports" not in SERVICES["redis"], "a broker without a password is for the network of compose only"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_named_volume_is_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith("./") else source in VOLUMES


@pytest.mark.parametrize(
    ("variable", "kind"), [("AIRFLOW_CONN_PACS_BENTON_WA", "pacs"), ("AIRFLOW_CONN_TERRAFUSION", "postgres")]
)
def test_connections_are_json_that_points_at_a_service(variable: str, kind: str) -> None:
    connection = json.loads(filled_in(SERVICES["airflow-scheduler"]["environment"][variable]))
    assert connection["conn_type"] == kind
    assert connection["host"] in SERVICES


def test_the_readme_names_every_variable_that_must_be_set() -> None:
    assert [variable for variable in REQUIRED if variable not in README] == []


def test_docker_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        not docker
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "docker compose is not installed: apt-get install docker-compose-plugin (or Docker Desktop)"
        )
    values = dict.fromkeys(REQUIRED, "x")
    subprocess.run(
        [docker, "compose", "--file", str(COMPOSE), "config", "--quiet"],
        env={"PATH": str(Path(docker).parent), **values},
        check=True,
    )
