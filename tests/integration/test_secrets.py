"""Runs that fail in many ways, with passwords, a token and owners one would recognise: none of them is found
anywhere afterwards.
"""

from __future__ import annotations

import logging
import os
import traceback
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from bad_counties import (
    GUARDED,
    GUARDED_PASSWORD,
    PASSWORD,
    Source,
    World,
    guard_role,
    target_url,
    write_county,
)
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world
from county_dags import airflow_folder as airflow_folder
from county_dags import county_dag as county_dag
from county_dags import run_dag, store
from psycopg import sql

from airflow_provider_pacs import cli
from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.sync.runtime.errors import PacsError

pytestmark = pytest.mark.usefixtures("trusting", "without_waiting")

WRONG, TOKEN, NAME = "Wr0ng}Secret;7", "eyJ0eXAiT0ken.Rec0gnisable", "Rumpelstilzchen Zz9"
OWNERS = {"sync": {"entities": ["property", "owner"], "retries": 0}}


def forms(secret: str) -> set[str]:
    """A secret as it is, and as a URL, a connection string or JSON would carry it."""
    return {secret, quote(secret, safe=""), secret.replace("}", "}}")}


SECRETS = set().union(*(forms(secret) for secret in (PASSWORD, WRONG, TOKEN, GUARDED_PASSWORD)))


@pytest.fixture
def target(pg_url: str) -> dict[str, str]:
    guard_role(pg_url)
    params = {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(pg_url).items() if value}
    return params | {"user": GUARDED, "password": GUARDED_PASSWORD}


@pytest.fixture
def owners(world: World) -> set[str]:
    """Every owner's name; one of them is ours."""
    world.execute(
        "UPDATE [dbo].[PropertyOwner] SET OwnerName = ? WHERE OwnerID = (SELECT TOP (1) OwnerID FROM "
        "[dbo].[PropertyOwner])",
        NAME,
    )
    names = {
        name
        for (name,) in world.rows("SELECT DISTINCT OwnerName FROM [dbo].[PropertyOwner]")
        if name and len(name) > 6
    }
    assert NAME in names
    return names


def leaked_names(text: str, names: set[str]) -> set[str]:
    return {word for word in SECRETS | names if word in text}


def test_the_search_finds_what_is_there(owners: set[str]) -> None:
    assert leaked_names(f"x{quote(PASSWORD, safe='')}x{TOKEN} {NAME}.", owners) == {
        quote(PASSWORD, safe=""),
        TOKEN,
        NAME,
    }


def ledger(url: str) -> str:
    """Everything in schema `pacs_ops` but staging, which holds rows until they are published."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'pacs_ops' AND tablename NOT LIKE 'stage\\_%'"
        ).fetchall()
        assert {"audit", "sync_run", "run_entity", "quarantine"} <= {name for (name,) in tables}
        rows = [
            connection.execute(
                sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier("pacs_ops", name))
            ).fetchall()
            for (name,) in tables
        ]
    return repr(rows)


def break_the_partition(url: str) -> None:
    """From now on PostgreSQL refuses every new row of the owners, and says in DETAIL what was in it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pacs_part.owner_53005 ADD CHECK (owner_name = 'nobody') NOT VALID")


def test_failing_commands_leak_nothing(
    world: World,
    owners: set[str],
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("airflow_provider_pacs.sandbox").setLevel(logging.INFO)  # the county's own server
    folder = str(write_county(tmp_path, OWNERS))
    good, goal = world.source, target_url(target)
    quoting = (
        'error=245 match=PropertyOwner times=1 message="Conversion failed when converting the varchar '
        f"value '{NAME}' to data type int.\""
    )
    failures: dict[str, tuple[str, str, str | None]] = {
        "wrong password": (replace(good, password=WRONG).url, goal, None),
        "unknown database": (replace(good, database="PAX").url, goal, None),
        "unencoded password": (f"mssql://reader:{WRONG}/x@127.0.0.1/PACS", goal, None),
        "a token as an option": (f"{good.url}?access_token={TOKEN}", goal, None),
        "broken handshake": (good.url, goal, "tls times=5"),
        "login refused": (good.url, goal, "error=18456@login times=1"),
        "value in the message": (good.url, goal, quoting),
        "cut in the middle": (good.url, goal, "drop@rows=20 match=PropertyOwner times=9"),
        "target password": (good.url, target_url(target | {"password": WRONG}), None),
        "target URL": (good.url, f"postgresql://u:{WRONG}@[::/x", None),
        "target database": (good.url, target_url(target | {"dbname": "nowhere_db"}), None),
    }
    if world.ports:
        failures["bad certificate"] = (world.behind("expired").url, goal, None)
    said = ""
    for name, (source, goal_url, fault) in failures.items():
        if fault and not world.breaks(fault):
            continue
        words = ["sync", "benton_wa", "-v", "--counties", folder, "--source-url", source]
        with pytest.raises(PacsError) as caught:
            cli.run([*words, "--target-url", goal_url], cli.Invocation())
        said += f"{name}: " + "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        world.mend()
    assert (
        cli.main(
            [
                "sync",
                "benton_wa",
                "--full",
                "--counties",
                folder,
                "--source-url",
                good.url,
                "--target-url",
                goal,
            ]
        )
        == 0
    )
    break_the_partition(pg_url)
    world.execute("UPDATE [dbo].[PropertyOwner] SET OwnerType = ? WHERE OwnerName = ?", "Trust", NAME)
    words = ["sync", "benton_wa", "--full", "--counties", folder, "--source-url", good.url]
    with pytest.raises(PacsError, match="23514") as caught:
        cli.run([*words, "--target-url", goal], cli.Invocation())
    said += "".join(traceback.format_exception(caught.value))
    captured = capfd.readouterr()
    assert leaked_names(said + captured.out + captured.err + caplog.text + ledger(pg_url), owners) == set()


def connect(monkeypatch: pytest.MonkeyPatch, source: Source, target: dict[str, str]) -> None:
    """Store the connections of a county, with a token where somebody might put one."""
    place = {
        "host": source.host,
        "port": source.port,
        "schema": source.database,
        "login": source.user,
        "password": source.password,
    }
    store(
        monkeypatch,
        "pacs_benton_wa",
        conn_type="pacs",
        extra={**source.options, "access_token": TOKEN},
        **place,
    )
    names = {"host": "host", "dbname": "schema", "user": "login", "password": "password"}
    store(
        monkeypatch, "terrafusion", conn_type="postgres", **{name: target[key] for key, name in names.items()}
    )


def test_failing_dags_leak_nothing(
    world: World,
    owners: set[str],
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    county_dag: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("airflow_provider_pacs.sandbox").setLevel(logging.INFO)
    folder = write_county(tmp_path, OWNERS)
    said = ""
    failures = [(replace(world.source, password=WRONG), target), (world.source, target | {"password": WRONG})]
    if world.breaks(
        'error=245 match=PropertyOwner times=1 message="Conversion failed when converting the varchar '
        f"value '{NAME}'.\""
    ):
        failures.append((world.source, target))
    for source, goal in failures:
        connect(monkeypatch, source, goal)
        ran = run_dag(county_dag, "pacs_benton_wa", folder, monkeypatch, capfd)
        assert ran.state == "failed"
        said += ran.log
    world.mend()
    home = Path(os.environ["AIRFLOW_HOME"])
    kept = {file: file.read_bytes().decode("utf-8", "replace") for file in home.rglob("*") if file.is_file()}
    assert any(
        file.name == "airflow.db" for file in kept
    )  # connections come from the environment, so the whole file must be clean
    assert leaked_names(said + caplog.text + ledger(pg_url), owners) == set()
    assert {
        file.name: leaked_names(text, owners) for file, text in kept.items() if leaked_names(text, owners)
    } == {}


BACKEND = """
from airflow.sdk import Connection
from airflow.secrets import BaseSecretsBackend


class Vault(BaseSecretsBackend):
    def get_connection(self, conn_id, team_name=None):
        if conn_id == "pacs_benton_wa":
            return Connection(conn_id=conn_id, conn_type="pacs", host="vault.example", schema="PACS", login="reader", password="from the vault")
        return None
"""


def test_any_secrets_backend_serves_the_hook_and_variables_stand_in_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pacs_test_vault.py").write_text(BACKEND, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "pacs_test_vault.Vault")
    for county in ("BENTON_WA", "KING_WA"):
        for part, value in {
            "HOST": "variables.example",
            "NAME": "PACS",
            "USER": "reader",
            "PASSWORD": "from variables",
        }.items():
            monkeypatch.setenv(f"PACS_DB_{part}_{county}_SOURCE", value)
    assert PacsHook("pacs_benton_wa").address().password == "from the vault"
    assert PacsHook("pacs_king_wa").address().password == "from variables"
