"""The change log: what is in it, who may read it, what is redacted, what is pruned, and how an older target gets it."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from security_platform import Platform
from security_platform import platform as platform

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, ddl
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, key

DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def relatives(make_county: CountyMaker) -> County:
    """Properties and owners, with history."""
    made = make_county(("property", "owner"))
    made.configure(history={"enabled": True})
    return made


def sync(county: County) -> str:
    county.clock.step(hours=3)
    return county.sync()[0].run_id


def moment(county: County) -> datetime:
    (row,) = county.sql("SELECT clock_timestamp() AS t")
    now: datetime = row["t"]
    return now


def log(county: County) -> list[dict[str, Any]]:
    return county.sql("SELECT * FROM pacs_ops.change_log WHERE county_id = %s ORDER BY at, op", county.fips)


def test_the_history_is_off_by_default(county: County) -> None:
    county.add("property", 1)
    sync(county)
    county.change("property", 1, City="Finley")
    sync(county)
    assert log(county) == []
    assert county.sql("SELECT FROM pacs_ops.change_set WHERE county_id = %s", county.fips) == []


def test_every_change_is_in_it_once_with_the_row_as_it_was(relatives: County) -> None:
    """Inserts, updates, tombstones and rows that live again; an unchanged row is not; a first load is known by
    `_first_seen_at`.
    """
    relatives.add("property", 1, 2, 3)
    first = sync(relatives)
    assert log(relatives) == []
    was = relatives.row("property", 1)
    relatives.change("property", 1, City="Finley")
    relatives.change("property", 3)  # stamped, and the same: only its stamp is another
    relatives.remove("property", 2)
    relatives.add("property", 4, at=relatives.stamp())
    second = sync(relatives)
    entries = {(row["op"], str(row["row_key"])): row for row in log(relatives)}
    assert set(entries) == {
        ("U", key("property", 1)),
        ("U", key("property", 3)),
        ("D", key("property", 2)),
        ("I", key("property", 4)),
    }
    changed = entries["U", key("property", 1)]
    assert {str(row["run_id"]) for row in entries.values()} == {second}
    assert (changed["before"]["city"], changed["before"]["_run_id"]) == ("Prosser", first)
    assert changed["at"] == relatives.row("property", 1)["_changed_at"] != was["_changed_at"]
    assert changed["after_digest"] != entries["U", key("property", 3)]["after_digest"]
    relatives.add("property", 2, at=relatives.stamp())
    sync(relatives)
    (again,) = [row for row in log(relatives)[4:]]
    assert (again["op"], again["before"]["_deleted_at"] is None) == ("U", False)
    assert relatives.sync()[0].entities[0].changed == 0
    assert len(log(relatives)) == 5


def test_as_of_tells_tombstones_too_and_every_table_has_one(make_county: CountyMaker) -> None:
    county = make_county(ENTITIES)
    county.configure(history={"enabled": True})
    for entity in ENTITIES:
        county.add(entity, 1, 2)
    sync(county)
    early = moment(county)
    for entity in ("owner", "value", "structure"):
        county.remove(entity, 2)
    county.change("property", 1, Acreage=7.5)
    sync(county)
    county.sql("INSERT INTO pacs_ops.county_grant VALUES (session_user, '*') ON CONFLICT DO NOTHING")
    for entity in load_entities().values():
        name = f"pacs_report.{entity.table}_as_of"
        (then,) = county.sql(
            f"SELECT count(*) FILTER (WHERE _deleted_at IS NULL) AS live, count(*) AS n FROM {name}(%s, %s)",
            early,
            county.fips,
        )
        (now,) = county.sql(
            f"SELECT count(*) FILTER (WHERE _deleted_at IS NULL) AS live, count(*) AS n FROM {name}(now(), %s)",
            county.fips,
        )
        kept = 2 if entity.name in ENTITIES else 0
        gone = 1 if entity.name in ("owner", "value", "structure") else 0
        assert (then["live"], then["n"]) == (kept, kept)
        assert (now["live"], now["n"]) == (kept - gone, kept)


# Redaction


def names_in_the_history(county: County) -> str:
    """Everything that the change log holds, as one text."""
    return json.dumps([row["before"] for row in log(county)], default=str)


def test_names_leave_a_history_that_is_no_longer_kept(relatives: County) -> None:
    """What was logged while it was kept is redacted by a run that logs nothing."""
    flag = {"owner": {"columns": {"is_confidential": "OwnershipPercentage"}}}
    relatives.configure(tables=flag)
    relatives.add("property", 1)
    relatives.add("owner", 1, OwnershipPercentage=0)
    sync(relatives)
    relatives.change("owner", 1, OwnerName="Ann Lee-Smith")
    sync(relatives)
    assert "Ann Lee" in names_in_the_history(relatives)
    relatives.configure(tables=flag, history={"enabled": False})
    relatives.change("owner", 1, OwnerName="[Confidential]", OwnershipPercentage=1)
    sync(relatives)
    assert "Ann Lee" not in names_in_the_history(relatives)


def test_a_row_that_became_confidential_has_no_name_in_its_history(relatives: County) -> None:
    """Where the county's own view hides the name: before-images, those of this run too, say no more than the
    row; `as_of` and a rollback bring nothing back.
    """
    relatives.configure(
        tables={"owner": {"columns": {"is_confidential": "OwnershipPercentage"}}}
    )  # any numeric column of the sandbox's table: 1 is true
    relatives.add("property", 1, 2)
    relatives.add("owner", 1, 2, OwnershipPercentage=0)
    sync(relatives)
    early = moment(relatives)
    relatives.change("owner", 1, OwnerName="Ann Lee-Smith")
    relatives.change("owner", 2, OwnerName="Bo Ray")
    sync(relatives)
    assert "Ann Lee" in names_in_the_history(relatives)
    relatives.change("owner", 1, OwnerName="[Confidential]", OwnershipPercentage=1)
    flagged = sync(relatives)
    own = [row for row in log(relatives) if str(row["row_key"]) == key("owner", 1)]
    assert len(own) == 2
    assert "Ann Lee" not in json.dumps([row["before"] for row in own])
    assert "Ann Lee" in json.dumps([row["before"] for row in log(relatives) if row not in own]), "others stay"
    relatives.sql("INSERT INTO pacs_ops.county_grant VALUES (session_user, '*') ON CONFLICT DO NOTHING")
    then = relatives.sql("SELECT * FROM pacs_report.owner_as_of(%s, %s)", early, relatives.fips)
    assert {str(row["owner_id"]): row["owner_name"] for row in then} == {
        key("owner", 1): "[Confidential]",
        key("owner", 2): "Ann Lee",
    }
    steps.rollback(relatives.config, relatives.target, run_id=flagged, actor="ann", trigger="test")
    row = relatives.row("owner", 1)
    assert (row["owner_name"], row["is_confidential"]) == ("[Confidential]", True)


# Who may read it


@pytest.fixture
def loaded(platform: Platform, make_county: CountyMaker) -> tuple[County, datetime]:
    """A county filled and changed by the sync login and nobody else."""
    county = make_county(("property", "owner"))
    county.configure(history={"enabled": True})
    county.target.close()
    county.target, county.url = platform.target(platform.sync), platform.url
    county.add("property", 1, 2)
    county.add("owner", 1, 2)
    sync(county)
    early = moment(county)
    county.change("property", 1, City="Finley")
    county.change("owner", 2, OwnerName="Bo Ray")
    sync(county)
    return county, early


def test_a_tenant_sees_the_past_of_its_counties_alone(
    platform: Platform, loaded: tuple[County, datetime], make_county: CountyMaker
) -> None:
    """Case E1: `as_of` runs as its owner and shows what row-level security would show."""
    county, early = loaded
    other = make_county(("property", "owner"))
    other.configure(history={"enabled": True})
    other.target.close()
    other.target, other.url = platform.target(platform.sync), platform.url
    other.add("property", 3)
    sync(other)
    reader = platform.make_login(f"tenant_{county.fips}", "pacs_read")
    with platform.as_superuser() as admin:
        admin.execute("INSERT INTO pacs_ops.county_grant VALUES (%s, %s)", (reader, county.fips))
    with platform.as_login(reader) as tenant:
        rows = tenant.execute(
            "SELECT county_id, city FROM pacs_report.property_as_of(%s) ORDER BY parcel_number", (early,)
        ).fetchall()
        assert rows == [(county.fips, "Prosser"), (county.fips, "Prosser")]
        assert (
            tenant.execute("SELECT * FROM pacs_report.property_as_of(now(), %s)", (other.fips,)).fetchall()
            == []
        )
        changes = tenant.execute(
            "SELECT DISTINCT county_id FROM pacs_report.changes_since('-infinity')"
        ).fetchall()
        assert changes == [(county.fips,)]
        for refused in (
            "SELECT * FROM pacs_ops.change_log",
            "SELECT * FROM pacs_ops.change_log_state",
            "SELECT * FROM pacs_ops.row_images('53005', 'x', 1)",
            "SELECT * FROM pacs_ops.row_history('53005', 'x', 1)",
        ):
            with pytest.raises(DENIED):
                tenant.execute(refused.encode())


def test_the_sync_login_adds_to_the_change_log_and_changes_nothing_in_it(
    platform: Platform, loaded: tuple[County, datetime]
) -> None:
    """Case E9: the login that writes before-images can neither change nor remove them, nor stop the log."""
    months = "SELECT relname FROM pg_class WHERE relname LIKE 'change\\_log\\_2%' AND relkind = 'r'"
    with platform.as_login(platform.sync) as login:
        month = login.execute(months.encode()).fetchall()[0][0]
        for refused in (
            "UPDATE pacs_ops.change_log SET before = NULL",
            "DELETE FROM pacs_ops.change_log",
            "DELETE FROM pacs_ops.change_log_state",
            "UPDATE pacs_ops.change_set SET actor = 'the assessor'",
            "TRUNCATE pacs_ops.change_log",
            f"SELECT * FROM pacs_ops.{month}",
            f"DELETE FROM pacs_ops.{month}",
            f"DROP TABLE pacs_ops.{month}",
        ):
            with pytest.raises(DENIED):
                login.execute(refused.encode())
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="a year"):
            login.execute("SELECT pacs_ops.prune_change_log(%s, 'property', now())", (loaded[0].fips,))
        for beyond in ("infinity", "-infinity", "9999-01-01"):  # months up to there would be opened
            with pytest.raises(psycopg.errors.CheckViolation):
                login.execute(
                    "INSERT INTO pacs_ops.change_set (county_id, run_id, entity, at, columns) "
                    "SELECT county_id, run_id, 'property', %s, '{}' FROM pacs_ops.sync_run LIMIT 1",
                    (beyond,),
                )


def test_the_page_sees_columns_and_no_values(platform: Platform, loaded: tuple[County, datetime]) -> None:
    county, _ = loaded
    with platform.as_login(platform.monitor) as login:
        rows = login.execute(
            "SELECT * FROM pacs_ops.row_history(%s, %s, 50)", (county.fips, key("property", 2))
        ).fetchall()
        assert {(row[0], row[5]) for row in rows} == {("property", "I"), ("owner", "I"), ("owner", "U")}
        assert "Bo Ray" not in str(rows)
        for refused in (
            "SELECT * FROM pacs_ops.change_log",
            "SELECT * FROM pacs_ops.row_images('1', 'x', 1)",
        ):
            with pytest.raises(DENIED):
                login.execute(refused.encode())


# Retention


def test_old_changes_go_and_as_of_says_so(relatives: County) -> None:
    """`pacs prune`: what is older than the county keeps goes, its month with it; a year always stays."""
    relatives.add("property", 1)
    sync(relatives)
    relatives.change("property", 1, City="Finley")
    sync(relatives)
    relatives.change("property", 1, City="Pasco")
    sync(relatives)
    with psycopg.connect(relatives.url, autocommit=True) as admin:  # ages the first change by eight years
        admin.execute("CREATE TABLE pacs_ops.change_log_2018_11 (LIKE pacs_ops.change_log INCLUDING ALL)")
        admin.execute("ALTER TABLE pacs_ops.change_log_2018_11 OWNER TO pacs_owner")
        admin.execute(
            "ALTER TABLE pacs_ops.change_log ATTACH PARTITION pacs_ops.change_log_2018_11 "
            "FOR VALUES FROM ('2018-01-01') TO ('2019-01-01')"
        )
        admin.execute(
            "UPDATE pacs_ops.change_log SET at = '2018-06-01' WHERE county_id = %s AND at = (SELECT min(at) "
            "FROM pacs_ops.change_log WHERE county_id = %s)",
            (relatives.fips, relatives.fips),
        )
    assert relatives.target.history.prunable(relatives.fips, "property", 7) == 1
    assert relatives.target.history.prunable(relatives.fips, "property", 9) == 0
    assert relatives.target.history.prune(relatives.fips, "property", 7) == 1
    assert len(log(relatives)) == 1
    assert relatives.sql("SELECT to_regclass('pacs_ops.change_log_2018_11') AS t")[0]["t"] is None
    audited = relatives.sql(
        "SELECT details ->> 'images' AS n FROM pacs_ops.audit WHERE county_id = %s AND action = 'history.pruned'",
        relatives.fips,
    )
    assert [row["n"] for row in audited] == ["1"]
    relatives.sql("INSERT INTO pacs_ops.county_grant VALUES (session_user, '*') ON CONFLICT DO NOTHING")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        relatives.sql("SELECT * FROM pacs_report.property_as_of('2018-01-01', %s)", relatives.fips)
    assert relatives.sql("SELECT city FROM pacs_report.property_as_of(now(), %s)", relatives.fips) == [
        {"city": "Pasco"}
    ]


# An older target


def test_a_target_without_history_gets_it(bare: PostgresTarget) -> None:
    """A target as the released version 0022 leaves it, with a run in it, is upgraded: the run and its rows stay,
    and the next run has a history.
    """
    folder = resources.files(ddl.__package__ or "") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    connection = bare.connection
    connection.execute("CREATE SCHEMA pacs_ops")
    connection.execute(ddl._RECORD)
    for file in files:
        if file.name[:4] <= "0022":
            text = file.read_text("utf-8")
            connection.execute(text.encode())
            connection.execute(
                "INSERT INTO pacs_ops.schema_migration (name, digest) VALUES (%s, %s)",
                (file.name.removesuffix(".sql"), ddl._digest(text)),
            )
    connection.execute(
        "INSERT INTO pacs_ops.county (county_id, county, name) VALUES ('53005', 'benton_wa', 'B')"
    )
    connection.execute(
        "INSERT INTO pacs_ops.sync_run (run_id, county_id, epoch, kind, trigger, config_fingerprint, code_version, "
        "state) VALUES (gen_random_uuid(), '53005', 1, 'sync', 'cli', 'c', '0.1', 'succeeded')"
    )
    applied = bare.migrate()
    assert {"0040_hold", "0041_history", "function_property_as_of", "function_row_history"} <= set(applied)
    assert bare.migrate() == []
    assert connection.execute("SELECT state, rolled_back_by FROM pacs_ops.sync_run").fetchall() == [
        ("succeeded", None)
    ]
    connection.execute("SELECT pacs_ops.open_change_log_months()")
    assert connection.execute(
        "SELECT count(*) > 0 FROM pg_inherits WHERE inhparent = 'pacs_ops.change_log'::regclass"
    ).fetchone() == (True,)


@pytest.fixture
def bare(pg_server: str) -> Any:
    """A database that nobody has touched."""
    name = "history_before"
    with psycopg.connect(pg_server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    params = psycopg.conninfo.conninfo_to_dict(pg_server) | {"dbname": name}
    try:
        with PostgresTarget({k: str(v) for k, v in params.items() if v}) as target:
            yield target
    finally:
        with psycopg.connect(pg_server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


# The commands


def test_the_commands_tell_and_undo(
    relatives: County, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pacs history`, `pacs rollback RUN` as it is typed, `pacs hold`, `pacs resume`, `pacs prune`."""
    relatives.add("property", 1)
    relatives.add("owner", 1)
    sync(relatives)
    relatives.change("property", 1, Acreage=2.5)
    relatives.change("owner", 1, OwnerName="Bo Ray", OwnerType="Trust")
    wrong = sync(relatives)
    name = relatives.config.county
    (tmp_path / f"{name}.yaml").write_text(
        f'county: {name}\nfips: "{relatives.fips}"\ntimezone: America/Los_Angeles\nsync: {{entities: [property, owner]}}\n'
        "history: {enabled: true}\n"
    )
    ends = ["--counties", str(tmp_path), "--target-url", relatives.url]

    def pacs(*words: str, status: int = 0) -> str:
        assert main([*words, *ends]) == status
        return capsys.readouterr().out

    lines = json.loads(pacs("history", name, "1-00001", "--json"))
    assert [(each["entity"], each["op"], each["changed"]) for each in lines] == [
        ("owner", "U", ["last_modified", "owner_name", "owner_type"]),
        ("property", "U", ["acreage", "last_modified"]),
        ("owner", "I", []),
        ("property", "I", []),
    ]
    assert lines[0]["run_id"] == wrong
    assert lines[0]["upper_bound"] == relatives.plan_of(wrong, "owner").upper_bound
    values = pacs("history", name, key("owner", 1), "--values")
    assert 'owner_type: "Individual" -> "Trust"' in values
    assert "Bo Ray" not in values
    shown = pacs("rollback", wrong)
    assert "property: 1 rows get their image back" in shown
    assert (
        f"--apply --digest {steps.propose_rollback(relatives.config, relatives.target, run_id=wrong).digest}"
        in shown
    )
    done = pacs("rollback", name, wrong, "--apply", "--by", "ann")
    assert "Certificate (keys): rolled_back" in done
    assert f"pacs resume {name}" in done
    assert str(relatives.row("property", 1)["acreage"]) == "0.25"
    assert "on hold since" in pacs("resume", name)
    assert relatives.target.holds.current(relatives.fips) is None
    assert "by ann: the vendor restores" in pacs(
        "hold", name, "--reason", "the vendor restores", "--by", "ann"
    )
    assert "property: 0 changes older than 7 years would go" in pacs("prune", name, "--dry-run")
    assert "owner: 0 changes older than 7 years went" in pacs("prune", name)
    assert "knows nothing" in pacs("history", name, "no such parcel")
