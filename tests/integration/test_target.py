"""The platform database itself: migrations, rights, the audit table (design.md 3.1, 3.4)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, ddl
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, connect


@pytest.fixture
def fresh_url(pg_server: str) -> Iterator[str]:
    """A database that nobody has touched."""
    name = f"fresh_{uuid4().hex[:12]}"
    with connect(pg_server) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def recorded(url: str) -> list[tuple[Any, ...]]:
    with connect(url) as connection:
        return connection.execute(
            "SELECT name, digest, applied_at FROM pacs_ops.schema_migration ORDER BY name"
        ).fetchall()


def test_migrations_run_once(fresh_url: str) -> None:
    """The first call applies and records every step, in the audit too; the next does nothing."""
    with PostgresTarget.from_url(fresh_url) as target:
        applied = target.migrate()
        first = recorded(fresh_url)
        assert target.migrate() == []
        audited = target.connection.execute(
            "SELECT object FROM pacs_ops.audit WHERE action = 'migrate' ORDER BY seq"
        ).fetchall()
    assert sorted(applied) == [row[0] for row in first]
    assert recorded(fresh_url) == first
    assert [row[0] for row in audited] == applied


def test_a_shipped_migration_never_changes(fresh_url: str) -> None:
    """A recorded migration whose file differs stops everything, by name."""
    with PostgresTarget.from_url(fresh_url) as target:
        target.migrate()
        target.connection.execute(
            "UPDATE pacs_ops.schema_migration SET digest = 'x' WHERE name = '0002_roles'"
        )
        with pytest.raises(ConfigError, match="0002_roles"):
            target.migrate()


def test_two_preflights_migrate_once(fresh_url: str) -> None:
    """Two processes that start at the same moment: each step is applied by one of them."""
    targets = [PostgresTarget.from_url(fresh_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(lambda target: target.migrate(), targets))
    for target in targets:
        target.close()
    flat = [name for names in applied for name in names]
    assert len(flat) == len(set(flat)) == len(recorded(fresh_url))


def test_a_failed_migration_leaves_nothing(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails takes the whole migration back: no half of it is recorded or there."""
    shipped = ddl._steps()
    monkeypatch.setattr(
        ddl, "_steps", lambda: [*shipped, ("0003_wrong", "digest", "CREATE TABLE pacs_ops.county (x int)")]
    )
    with PostgresTarget.from_url(fresh_url) as target:
        with pytest.raises(Exception, match="county"):
            target.migrate()
        assert target.connection.execute("SELECT to_regclass('pacs_ops.county')").fetchone() == (None,)


def test_row_level_security(make_county: CountyMaker) -> None:
    """Case 116: a login that was granted one county sees that county's rows and no other's, also through SET
    ROLE.
    """
    first, second = make_county(ENTITIES), make_county(ENTITIES)
    for entity in ENTITIES:
        first.add(entity, 1, 2)
    first.sync()
    second.sync()
    role = f"clerk_{first.fips}"
    with connect(first.url) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN IN ROLE pacs_read".encode())
        admin.execute("INSERT INTO pacs_ops.county_grant VALUES (%s, %s)", (role, first.fips))
    with connect(first.url) as clerk:
        clerk.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        for table in ("property", "owner", "value_history", "structure"):
            assert clerk.execute(f"SELECT DISTINCT county_id FROM pacs.{table}".encode()).fetchall() == [
                (first.fips,)
            ]
        for refused in (
            f"SELECT 1 FROM {first.partition('property')}",
            f"SELECT 1 FROM {second.partition('property')}",
            "SELECT 1 FROM pacs_ops.audit",
            "DELETE FROM pacs.property",
            "INSERT INTO pacs_ops.county_grant VALUES (session_user, '*')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                clerk.execute(refused.encode())
    with connect(first.url) as admin:
        admin.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
        admin.execute(f"DROP OWNED BY {role}".encode())
        admin.execute(f"DROP ROLE {role}".encode())


def test_nobody_has_rights_on_partitions(whole_county: County) -> None:
    """A grant on a partition would bypass row-level security: there is none but the sync's, neither on schema pacs_part nor on a
    table in it.
    """
    whole_county.add("property", 1)
    whole_county.sync()
    grants = whole_county.sql(
        "SELECT c.relname, a.grantee::regrole::text AS who FROM pg_class AS c JOIN pg_namespace AS n ON "
        "n.oid = c.relnamespace, "
        "aclexplode(c.relacl) AS a WHERE n.nspname = 'pacs_part' AND a.grantee <> c.relowner AND "
        "a.grantee::regrole::text <> 'pacs_sync'"
    )
    assert grants == []
    public = whole_county.sql("SELECT has_schema_privilege('pacs_read', 'pacs_part', 'USAGE') AS usable")
    assert public == [{"usable": False}]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE pacs_ops.audit SET action = 'x'", "DELETE FROM pacs_ops.audit", "TRUNCATE pacs_ops.audit"],
)
def test_the_audit_is_append_only(county: County, statement: str) -> None:
    """Case 128: even the owner of the table can't change, delete or truncate what is written."""
    county.add("property", 1)
    county.sync()
    count = county.sql("SELECT count(*) AS n FROM pacs_ops.audit")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        county.sql(statement)
    assert county.sql("SELECT count(*) AS n FROM pacs_ops.audit") == count


def test_the_audit_tells_the_run(county: County) -> None:
    """Start, publish and certificate of a run are there, in order, with counts and no values."""
    county.add("property", 1, Address="777 Secret Rd")
    county.sync()
    rows = county.sql(
        "SELECT action, details::text AS details FROM pacs_ops.audit WHERE county_id = %s ORDER BY seq",
        county.fips,
    )
    assert [row["action"] for row in rows] == ["run.start", "run.publish", "run.certificate"]
    assert not any("Secret" in row["details"] for row in rows)


def test_a_run_that_never_started_is_in_the_audit(county: County) -> None:
    """A plan that fails leaves its code in the audit."""
    county.add("property", 1)
    county.sync()
    county.configure(tables={"property": {"table": "Parcels"}})
    with pytest.raises(ConfigError):
        steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    (row,) = county.sql(
        "SELECT object, details FROM pacs_ops.audit WHERE county_id = %s AND action = 'run.failed'",
        county.fips,
    )
    assert (row["object"], row["details"]["code"]) == ("plan", "PACS-003")


def test_a_county_keeps_its_code(county: County) -> None:
    """Case 116: another slug with a recorded FIPS code is refused: it would mix two counties' rows."""
    county.add("property", 1)
    county.sync()
    county.configure(county="impostor")
    with pytest.raises(ConfigError, match="FIPS"):
        county.sync()
