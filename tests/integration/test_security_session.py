"""A connection states what it relies on and leaves nothing behind (field cases D1, D2, D4, D8, D9, E12)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from security_platform import Platform, new_platform

from airflow_provider_pacs.sync import steps as run
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import gx
from airflow_provider_pacs.sync.quality.model import ValidationContext
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.sync.target.facts import TargetReadiness
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, session
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from tests.integration.conftest import CountyMaker
from tests.support.county import connect
from tests.support.county import key as row_key

ADDRESS = "Łódź Straße 東"
_POOLER_SECONDS = 20


def params_of(url: str) -> dict[str, str]:
    return {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(url).items() if value}


@pytest.fixture
def own_role(pg_url: str) -> Iterator[dict[str, str]]:
    """A superuser of its own, whose settings and limits a test may change."""
    role = f"own_{uuid4().hex[:10]}"
    with connect(pg_url) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
        yield params_of(pg_url) | {"user": role}
        admin.execute(f"DROP OWNED BY {role}".encode())
        admin.execute(f"DROP ROLE {role}".encode())


@contextmanager
def database(pg_server: str, encoding: str) -> Iterator[str]:
    name = f"coded_{uuid4().hex[:10]}"
    with connect(pg_server) as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'".encode()
        )
        try:
            yield urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_the_environments_encoding_changes_nothing(
    make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case D1: PGCLIENTENCODING=LATIN1 where the sync starts; the address arrives as it was written."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    county = make_county(["property"])
    assert county.target.connection.info.parameter_status("client_encoding") == "UTF8"
    county.add("property", 1, Address=ADDRESS)
    county.sync()
    monkeypatch.delenv("PGCLIENTENCODING")
    with connect(county.url) as reader:
        assert reader.execute(
            "SELECT address, octet_length(address) FROM pacs.property WHERE property_id = %s",
            (row_key("property", 1),),
        ).fetchone() == (ADDRESS, len(ADDRESS.encode()))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_utf8_is_refused(
    encoding: str, pg_server: str, make_county: CountyMaker
) -> None:
    """Cases D1 and D2: by `sync` before it writes anything, and by `check`, with the reason and what to do."""
    county = make_county(["property"])
    county.add("property", 1, Address=ADDRESS)
    county.target.close()
    with database(pg_server, encoding) as url, PostgresTarget.from_url(url) as target:
        county.target = target
        with pytest.raises(ConfigError, match=rf"encoding {encoding}.*ENCODING 'UTF8'"):
            county.sync()
        assert county.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pacs%%'") == []
        findings = {
            finding.id: finding for finding in run.check(county.config, county.source, target).findings
        }
        assert findings["target.encoding"].state == "fail"
        assert encoding in findings["target.encoding"].text


HOSTILE = {
    "statement_timeout": "3s",
    "lock_timeout": "1ms",
    "default_transaction_read_only": "on",
    "search_path": "nowhere",
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Tokyo",
    "default_transaction_isolation": "serializable",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
}


def test_settings_of_the_role_reach_no_run(own_role: dict[str, str], make_county: CountyMaker) -> None:
    """Case D9: a role whose defaults would stop, hide or reformat everything synchronises and certifies."""
    county = make_county(["property"])
    county.target.close()
    with psycopg.connect(**own_role, autocommit=True) as admin:  # type: ignore[arg-type]
        for name, value in HOSTILE.items():
            admin.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(own_role["user"]), sql.Identifier(name), sql.Literal(value)
                )
            )
    with PostgresTarget(own_role) as target:
        county.target = target
        assert target.connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        assert target.connection.execute("SHOW search_path").fetchone() == ("pg_catalog, pg_temp",)
        county.add("property", 1, 2)
        _, certificate = county.sync()
        assert certificate.clean
        assert county.reconcile().clean


def test_several_hosts_reach_both_clients(pg_url: str, tmp_path: Path) -> None:
    """Case D8: the first host is dead, the second lives, as libpq lists them; SQLAlchemy goes the same way."""
    stated = params_of(pg_url)
    hosts = {
        "host": f"{tmp_path},{stated['host']}",
        "port": "5999,5432",
        "target_session_attrs": "read-write",
    }
    with PostgresTarget(stated | hosts) as target:
        assert target.connection.execute("SELECT 1").fetchone() == (1,)
        engine = sa.create_engine(target.sqlalchemy_url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT current_database()").scalar_one() == stated["dbname"]
            assert connection.exec_driver_sql("SHOW client_encoding").scalar_one() == "UTF8"


def test_a_url_of_several_hosts_keeps_them() -> None:
    """Case D8: also with TLS and a password that needs encoding, and rendered as Great Expectations gets it."""
    url = session.sqlalchemy_url(
        session.params_from_url("postgresql://u:p%40%2F@h1:5432,h2:5433/db?target_session_attrs=read-write")
    )
    read = sa.make_url(url.render_as_string(hide_password=False))
    assert (read.username, read.password, read.database) == ("u", "p@/", "db")
    assert read.query["host"] == "h1,h2"
    assert read.query["port"] == "5432,5433"
    assert read.query["sslmode"] == "verify-full"


def test_all_slots_taken_is_tried_again(own_role: dict[str, str], make_county: CountyMaker) -> None:
    """Case E12: the run's own connection has the last slot, so Great Expectations gets none: retryable, and it
    says slots; the rows are not to blame.
    """
    role = f"{own_role['user']}_n"
    with psycopg.connect(**own_role, autocommit=True) as admin:  # type: ignore[arg-type]
        admin.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1".encode())
        try:
            with session.connect(own_role | {"user": role}) as only:
                url = session.sqlalchemy_url(own_role | {"user": role})
                with pytest.raises(RetryableError, match="slots"), mapped_errors():
                    session.connect(own_role | {"user": role})
                context = ValidationContext("53005", 2026, "pacs_stage", "x")
                with pytest.raises(RetryableError, match="slots"):
                    gx.validate_stage(url, load_entities()["property"], [], context)
                assert only.execute("SELECT 1").fetchone() == (1,)
        finally:
            admin.execute(f"DROP ROLE {role}".encode())


@contextmanager
def pgbouncer(server: str, pool_size: int) -> Iterator[int]:
    """Pgbouncer in transaction mode before the embedded server; its port."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer (brew install pgbouncer)")
    stated = params_of(server)
    with tempfile.TemporaryDirectory(prefix="pacs-pool-") as name, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        free.close()
        folder = Path(name)
        folder.chmod(0o755)
        users = folder / "users.txt"
        users.write_text("".join(f'"{user}" ""\n' for user in _users(server)), "utf-8")
        (folder / "pool.ini").write_text(
            f"[databases]\n* = host={stated['host']} port={stated.get('port', '5432')}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
            f"auth_file = {users}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n"
            "max_client_conn = 200\nserver_reset_query_always = 0\n",
            "utf-8",
        )
        command = [program, "-q", str(folder / "pool.ini")]
        if os.geteuid() == 0:
            command[1:1] = ["-u", pwd.getpwuid(Path(stated["host"]).stat().st_uid).pw_name]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(10)
            if process.stderr is not None:
                process.stderr.close()


def _users(server: str) -> list[str]:
    with connect(server) as admin:
        return [
            name for (name,) in admin.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin").fetchall()
        ]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _POOLER_SECONDS
    while True:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, "pgbouncer does not listen"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def granted(pg_server: str) -> Iterator[Platform]:
    with new_platform(pg_server) as platform:
        platform.run_grants()
        platform.migrate()
        yield platform


def behind(platform: Platform, user: str, port: int) -> dict[str, str]:
    """The platform through the pooler; 127.0.0.1 without TLS has to be said by name."""
    return platform.params(user) | {"host": "127.0.0.1", "port": str(port), "sslmode": "disable"}


def settings_of(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """What a client finds: everything but what says whose connection it is."""
    return {
        name: value
        for name, value in connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name NOT LIKE '%.%' AND name NOT IN ('application_name', 'transaction_read_only', "
            "'transaction_isolation', 'transaction_deferrable')"
        ).fetchall()
    }


def test_three_counties_at_once_behind_a_pooler(
    granted: Platform, pg_server: str, make_county: CountyMaker
) -> None:
    """Case D4: pgbouncer in transaction mode with two server connections for three counties: each is clean,
    and afterwards the server connections are as they were: no setting, no prepared statement, no temporary
    table and no lock of ours is left for the next client.
    """
    counties = [make_county(["property", "owner"]) for _ in range(3)]
    for number in range(1, 30):
        counties[0].add("property", number)
    with pgbouncer(pg_server, pool_size=2) as port:
        with psycopg.connect(
            **behind(granted, granted.sync, port), autocommit=True, prepare_threshold=None
        ) as other:  # type: ignore[arg-type]
            before = settings_of(other)
        for county in counties:
            county.target.close()
            county.target = PostgresTarget(behind(granted, granted.sync, port))
            ready = county.target.readiness()
            assert isinstance(ready, TargetReadiness)
            assert ready.session.pooled
            assert ready.missing_privileges == ()

        def twice(number: int) -> list[bool]:
            outcomes = [counties[number].sync("full")[1].clean for _ in range(2)]
            return [*outcomes, counties[number].reconcile().clean]

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(twice, range(3))) == [[True] * 3] * 3
        with ThreadPoolExecutor(4) as pool:
            for seen, prepared, temporary in pool.map(
                lambda _: _as_the_next_client(behind(granted, granted.sync, port)), range(8)
            ):
                assert seen == before
                assert (prepared, temporary) == (0, 0)
        for county in counties:
            county.target.close()


def _as_the_next_client(stated: dict[str, str]) -> tuple[dict[str, str], int, int]:
    with psycopg.connect(**stated, autocommit=True, prepare_threshold=None) as connection:  # type: ignore[arg-type]
        seen = settings_of(connection)
        (prepared,) = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() or (-1,)
        (temporary,) = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
        ).fetchone() or (-1,)
        return seen, prepared, temporary


def test_behind_a_pooler_statements_have_their_settings(granted: Platform, pg_server: str) -> None:
    """Case D4: inside a transaction and outside of one, and the role's own time-out is not theirs."""
    with granted.as_superuser() as admin:
        admin.execute(f"ALTER ROLE {granted.sync} SET statement_timeout = '7s'".encode())
    with (
        pgbouncer(pg_server, pool_size=1) as port,
        session.connect(behind(granted, granted.sync, port)) as connection,
    ):
        assert connection.pooled
        for _ in range(2):
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog, pg_temp",)
        with connection.transaction():
            assert connection.execute("SHOW work_mem").fetchone() == ("64MB",)
            with connection.transaction():
                assert connection.execute("SHOW jit").fetchone() == ("off",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        with psycopg.connect(**behind(granted, granted.sync, port), autocommit=True) as other:  # type: ignore[arg-type]
            assert other.execute("SHOW statement_timeout").fetchone() == ("7s",)
            assert other.execute("SHOW work_mem").fetchone() != ("64MB",)


def test_great_expectations_works_behind_a_pooler(
    granted: Platform, pg_server: str, make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case D4: its own connections prepare nothing and set nothing."""
    monkeypatch.setattr(
        import_module("airflow_provider_pacs.sync.steps.validate"), "validate_stage", gx.validate_stage
    )
    county = make_county(["property"])
    county.add("property", 1, 2)
    county.target.close()
    with pgbouncer(pg_server, pool_size=1 + 1) as port:
        stated = behind(granted, granted.sync, port)
        with PostgresTarget(stated) as target:
            county.target = target
            _, certificate = county.sync()
            assert certificate.clean
        with psycopg.connect(**stated, autocommit=True, prepare_threshold=None) as other:  # type: ignore[arg-type]
            assert other.execute("SHOW work_mem").fetchone() == ("4MB",)
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_the_page_reads_behind_a_pooler_and_can_write_nothing(granted: Platform, pg_server: str) -> None:
    """Case D4: read-only and with time limits, though no setting outlives a statement."""
    with (
        pgbouncer(pg_server, pool_size=1) as port,
        OpsReader(behind(granted, granted.monitor, port)) as reader,
    ):
        assert reader.is_ready()
        assert reader.overview(["53005"])
        assert reader._one("SHOW statement_timeout", {}) == {"statement_timeout": "1900ms"}
        with pytest.raises(Exception, match="read-only"):
            reader._one("UPDATE pacs_ops.sync_run SET message = '' RETURNING 1 AS one", {})
