"""Who may do what in the target: the exploits of field cases E1, E9 and E10, run as the logins that
`pacs grants --target` makes (issue 14, part 1).
"""

from __future__ import annotations

import itertools
from importlib import resources
from typing import Any

import psycopg
import pytest
from psycopg import sql
from security_platform import Platform
from security_platform import bare_platform as bare_platform
from security_platform import platform as platform

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.facts import TargetReadiness
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, audit, ddl, privileges, read_sql, roles
from airflow_provider_pacs.sync.target.postgres.grants import target_grants
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, connect

DENIED = psycopg.errors.InsufficientPrivilege


_NUMBERS = itertools.count()
_FILLED: dict[str, tuple[str, str]] = {}


@pytest.fixture
def loaded(platform: Platform, make_county: CountyMaker) -> tuple[str, str]:
    """The FIPS codes of two counties, filled once by the sync login and nobody else."""
    if platform.mark not in _FILLED:
        _FILLED[platform.mark] = (
            fill(platform, make_county(ENTITIES)).fips,
            fill(platform, make_county(ENTITIES), 3, 4).fips,
        )
    return _FILLED[platform.mark]


def fill(platform: Platform, county: County, *numbers: int) -> County:
    county.target.close()
    county.target, county.url = platform.target(platform.sync), platform.url
    for entity in ENTITIES:
        county.add(entity, *(numbers or (1, 2)))
    county.sync()
    return county


def tenant_of(platform: Platform, county: str, name: str) -> str:
    login = platform.make_login(f"{name}_{next(_NUMBERS)}", "pacs_read")
    with platform.as_superuser() as connection:
        connection.execute("INSERT INTO pacs_ops.county_grant VALUES (%s, %s)", (login, county))
    return login


def counties_seen(connection: psycopg.Connection[Any]) -> set[str]:
    seen: set[str] = set()
    for table in ("property", "owner", "value_history", "structure"):
        rows = connection.execute(f"SELECT DISTINCT county_id FROM pacs.{table}".encode()).fetchall()
        seen |= {county for (county,) in rows}
    return seen


def test_a_tenant_reader_cannot_stand_in_for_the_catalog(platform: Platform, loaded: tuple[str, str]) -> None:
    """Case E1: a table `pg_temp.pg_roles` that says what its maker likes changes nothing of what may be read."""
    county, other = loaded
    login = tenant_of(platform, county, "tenant")
    with platform.as_superuser() as admin:
        admin.execute("INSERT INTO pacs_ops.county_grant VALUES ('nobody_of_all', '*')")
    with platform.as_login(login) as tenant:
        before = counties_seen(tenant)
        tenant.execute(
            "CREATE TEMP TABLE pg_roles AS SELECT 'nobody_of_all'::name AS rolname, oid FROM pg_catalog.pg_roles "
            "WHERE rolname = session_user"
        )
        tenant.execute("GRANT SELECT ON pg_temp.pg_roles TO PUBLIC")
        tenant.execute("SET search_path = pg_temp, pg_catalog, public")
        assert counties_seen(tenant) == before == {county}
        assert other not in before


def test_a_tenant_reader_cannot_run_code_as_the_owner(platform: Platform, loaded: tuple[str, str]) -> None:
    """Case E1: a function in a temporary view of the catalog's name is never called, so it grants nothing and
    switches no trigger off.
    """
    county, _ = loaded
    login = tenant_of(platform, county, "attacker")
    with platform.as_login(login) as tenant:
        tenant.execute(
            "CREATE FUNCTION pg_temp.grab() RETURNS name LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE WARNING 'ran as %', current_user; "
            "INSERT INTO pacs_ops.county_grant VALUES (session_user, '*'); RETURN session_user::name; END $$"
        )
        tenant.execute(
            "CREATE TEMP VIEW pg_roles AS SELECT pg_temp.grab() AS rolname, oid FROM pg_catalog.pg_roles"
        )
        tenant.execute(
            "CREATE FUNCTION pg_temp.pg_has_role(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
        )
        tenant.execute("GRANT SELECT ON pg_temp.pg_roles TO PUBLIC")
        tenant.execute("SET search_path = pg_temp, pg_catalog")
        heard: list[str] = []
        tenant.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
        assert counties_seen(tenant) == {county}
        assert heard == []
    with platform.as_superuser() as admin:
        assert admin.execute(
            "SELECT county_id FROM pacs_ops.county_grant WHERE role_name = %s", (login,)
        ).fetchall() == [(county,)]
        assert admin.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'pacs_ops.audit'::regclass AND tgenabled <> 'O'"
        ).fetchone() == (0,)


TENANT_TRIES = (
    "SELECT * FROM pacs_ops.county",
    "SELECT * FROM pacs_ops.audit",
    "SELECT pacs_ops.append_audit('53005', NULL, 'run.publish', '', '{}')",
    "SELECT pacs_ops.attach_partition('property', '53005')",
    "CREATE TABLE pacs.mine (a int)",
    "CREATE TABLE pacs_stage.mine (a int)",
    "CREATE TABLE pacs_part.mine (a int)",
    "CREATE VIEW pacs_report.mine AS SELECT 1 AS a",
    "SET ROLE pacs_owner",
    "SET ROLE pacs_sync",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER TABLE pacs.owner DISABLE ROW LEVEL SECURITY",
    "UPDATE pacs.owner SET owner_name = 'x'",
    "CREATE TRIGGER mine BEFORE INSERT ON pacs.owner FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
    "ANALYZE pacs_part.owner_{fips}",
    "TABLE pacs_part.owner_{fips}",
    "SELECT stavalues1 FROM pg_statistic",
    "GRANT pacs_owner TO CURRENT_USER",
)


@pytest.mark.parametrize("statement", TENANT_TRIES)
def test_a_tenant_reader_reads_schema_pacs_and_nothing_else(
    platform: Platform, loaded: tuple[str, str], statement: str
) -> None:
    county, other = loaded
    login = tenant_of(platform, county, "curious")
    with platform.as_login(login) as tenant:
        heard: list[str] = []
        tenant.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
        try:
            tenant.execute(statement.replace("{fips}", other).encode())
        except DENIED:
            return
        assert any("permission denied" in line for line in heard), f"{statement} passed"


def test_statistics_of_other_counties_are_hidden(platform: Platform, loaded: tuple[str, str]) -> None:
    """The planner's samples hold names: PostgreSQL hides them where row-level security is on or rights lack."""
    county, _ = loaded
    with platform.as_superuser() as admin:
        admin.execute("ANALYZE pacs.owner")
    with platform.as_login(tenant_of(platform, county, "statistician")) as tenant:
        assert tenant.execute("SELECT * FROM pg_stats WHERE schemaname LIKE 'pacs%'").fetchall() == []


def test_row_security_off_is_an_error_not_a_door(platform: Platform, loaded: tuple[str, str]) -> None:
    with platform.as_login(tenant_of(platform, loaded[0], "bypass")) as tenant:
        tenant.execute("SET row_security = off")
        with pytest.raises(DENIED):
            tenant.execute("SELECT * FROM pacs.owner")


SYNC_TRIES = (
    "INSERT INTO pacs_ops.audit (action, actor, at) VALUES ('run.publish', 'the assessor', now())",
    "INSERT INTO pacs_ops.audit (seq, action) OVERRIDING SYSTEM VALUE VALUES (1, 'x')",
    "UPDATE pacs_ops.audit SET actor = 'the assessor'",
    "DELETE FROM pacs_ops.audit",
    "TRUNCATE pacs_ops.audit",
    "ALTER TABLE pacs_ops.audit DISABLE TRIGGER ALL",
    "UPDATE pacs_ops.audit_head SET position = 0",
    "DELETE FROM pacs_ops.audit_head",
    "SELECT setval('pacs_ops.audit_seq_seq', 1)",
    "SELECT nextval('pacs_ops.audit_seq_seq')",
    "DELETE FROM pacs_ops.sync_run",
    "DELETE FROM pacs_ops.run_entity",
    "DELETE FROM pacs_ops.certificate",
    "DELETE FROM pacs_ops.quality_result",
    "TRUNCATE pacs_ops.sync_run CASCADE",
    "DROP TABLE pacs_ops.certificate",
    "INSERT INTO pacs_ops.county_grant VALUES (session_user, '*')",
    "SELECT * FROM pacs_ops.county_grant",
    "UPDATE pacs_ops.schema_migration SET digest = 'x'",
    "CREATE TABLE pacs_ops.mine (a int)",
    "CREATE FUNCTION pacs_ops.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION pacs_ops.readable_counties() RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text'",
    "CREATE TABLE pacs.mine (a int)",
    "CREATE VIEW pacs_report.mine AS SELECT 1 AS a",
    "ALTER TABLE pacs.owner DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE pacs.owner ADD COLUMN mine int",
    "DROP TABLE pacs.owner",
    "ALTER TABLE pacs.owner OWNER TO CURRENT_USER",
    "SET ROLE pacs_owner",
    "GRANT SELECT ON pacs.owner TO PUBLIC",
    "GRANT pacs_owner TO CURRENT_USER",
    "GRANT pacs_sync TO pacs_read",
    "ALTER ROLE pacs_sync LOGIN",
    "CREATE SCHEMA mine",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pacs_ops.attach_partition('owner; DROP TABLE pacs.owner', '53005')",
)


@pytest.mark.parametrize("statement", SYNC_TRIES)
def test_the_sync_login_forges_no_evidence(
    platform: Platform, loaded: tuple[str, str], statement: str
) -> None:
    """Case E9: the login that writes the journal can't forge an actor or a time, delete runs, grant itself a
    county, or change anything that it does not own.
    """
    with platform.as_login(platform.sync) as login:
        heard: list[str] = []
        login.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
        error: psycopg.Error | None = None
        try:
            login.execute(statement.encode())
        except psycopg.Error as refused:
            error = refused
        if error is None:
            assert any("no privileges were granted" in line for line in heard), f"{statement} passed"
        elif "attach_partition" in statement:
            assert isinstance(error, psycopg.errors.UndefinedTable)
        else:
            assert isinstance(error, DENIED)
    with platform.as_superuser() as admin:
        assert audit.verify(admin, loaded[0]).is_intact
        assert not admin.execute(
            "SELECT FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relname = 'owner' AND a.grantee = 0"
        ).fetchall()


def test_the_audit_says_who_it_was(platform: Platform, loaded: tuple[str, str]) -> None:
    """Case E9: the actor is the login, also behind the group's role; time and sequence are the server's."""
    county, _ = loaded
    with platform.as_superuser() as admin:
        rows = admin.execute(
            "SELECT actor, at <= clock_timestamp() AND at > clock_timestamp() - interval '1 hour', action FROM "
            "pacs_ops.audit WHERE county_id = %s ORDER BY seq",
            (county,),
        ).fetchall()
    assert rows
    with platform.as_login(platform.sync) as login:
        audit.append(login, county, None, "test.row", "", {"actor": "the assessor"})
    with platform.as_superuser() as admin:
        assert admin.execute(
            "SELECT actor FROM pacs_ops.audit WHERE county_id = %s ORDER BY seq DESC LIMIT 1", (county,)
        ).fetchone() == (platform.sync,)


MONITOR_READS = {
    "OVERVIEW": {"counties": ["53005"]},
    "RUNS": {"county": "53005", "kind": "sync", "limit": 5},
    "STATES": {"county": "53005"},
    "QUARANTINE_BY_RULE": {"county": "53005"},
    "CERTIFICATES": {"county": "53005", "limit": 5},
    "PENDING": {"county": "53005"},
    "NEWEST_RUNS": {"counties": ["53005"]},
    "NEWEST_FAILURES": {"counties": ["53005"]},
    "REFUSED": {"counties": ["53005"]},
    "FAILURES": {"county": "53005", "limit": 5},
    "AUDIT": {"county": "53005", "before": None, "limit": 5},
    "LAST_CHECK": {"county": "53005"},
    "PARTITION_ROWS": {"tables": ["property_53005"]},
    "LAST_FULL": {"county": "53005"},
    "LAST_VALIDATED": {"county": "53005"},
    "RULE_TITLES": {"county": "53005"},
}


@pytest.mark.parametrize("name", MONITOR_READS)
def test_the_monitors_login_can_answer_the_page(platform: Platform, name: str) -> None:
    with platform.as_login(platform.monitor) as login:
        login.execute(getattr(read_sql, name).encode(), MONITOR_READS[name])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM pacs.owner",
        "SELECT * FROM pacs_ops.pending_delete_key",
        "SELECT * FROM pacs_ops.probed_contents",
        "SELECT * FROM pacs_ops.county_grant",
        "SELECT * FROM pacs_stage.anything",
        "SELECT pacs_ops.append_audit('53005', NULL, 'run.publish', '', '{}')",
        "SET ROLE pacs_sync",
    ],
)
def test_the_monitors_login_sees_no_rows_and_writes_nothing(platform: Platform, statement: str) -> None:
    with platform.as_login(platform.monitor) as login, pytest.raises(DENIED):
        login.execute(statement.encode())
    with platform.as_login(platform.monitor) as login:
        login.execute("SET default_transaction_read_only = off")
        with pytest.raises(DENIED):
            login.execute("UPDATE pacs_ops.sync_run SET message = ''")


def test_an_auditor_proves_the_chain_and_writes_nothing(platform: Platform, loaded: tuple[str, str]) -> None:
    with platform.as_login(platform.make_login(f"auditor{loaded[0]}", "pacs_auditor")) as auditor:
        assert audit.verify(auditor, loaded[0]).is_intact
        assert list(audit.export(auditor, loaded[0]))
        auditor.execute("SELECT * FROM pacs_ops.county_grant")
        for refused in (
            "UPDATE pacs_ops.audit SET actor = 'x'",
            "SELECT * FROM pacs.owner",
            "SELECT pacs_ops.append_audit('53005', NULL, 'run.publish', '', '{}')",
        ):
            with pytest.raises(DENIED):
                auditor.execute(refused.encode())


def test_functions_that_run_as_their_owner_are_bound(platform: Platform) -> None:
    """Case E1, as its whole kind: every SECURITY DEFINER function of ours ends its search path with pg_temp,
    names nothing else in it than pg_catalog, and may not be called by PUBLIC; its body names every object
    with its schema.
    """
    with platform.as_superuser() as admin:
        functions = admin.execute(
            "SELECT p.oid::regprocedure::text, p.proconfig, p.prosrc, p.proowner::regrole::text, "
            "has_function_privilege('public', p.oid, 'EXECUTE') FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid "
            "= p.pronamespace WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert {name.partition("(")[0] for name, *_ in functions} == {
        "pacs_ops.append_audit",
        "pacs_ops.attach_partition",
        "pacs_ops.grant_county",
        "pacs_ops.revoke_county",
        "pacs_ops.dismiss_quarantine",
        "pacs_ops.drop_empty_change_log_months",
        "pacs_ops.open_change_log_months",
        "pacs_ops.page_action",
        "pacs_ops.prune_change_log",
        "pacs_ops.readable_counties",
        "pacs_ops.redact_change_log",
        "pacs_ops.redact_change_log_rows",
        "pacs_ops.row_history",
        "pacs_ops.row_images",
        "pacs_report.changes_since",
        "pacs_report.owner_as_of",
        "pacs_report.property_as_of",
        "pacs_report.structure_as_of",
        "pacs_report.value_history_as_of",
        "pacs_report.code_as_of",
        "pacs_report.exemption_as_of",
        "pacs_report.land_as_of",
        "pacs_report.sale_as_of",
        "pacs_report.sale_property_as_of",
        "pacs_report.tax_area_as_of",
    }
    for name, settings, body, owner, public in functions:
        assert settings[0] == "search_path=pg_catalog, pg_temp", name
        assert all(setting.startswith("lock_timeout=") for setting in settings[1:]), name
        assert not public, name
        assert owner == "pacs_owner", name
        relations = [
            word for word in body.split() if word.startswith("pg_") and not word.startswith("pg_catalog.")
        ]
        assert relations == [], name


def test_nobody_logs_in_as_the_owner(platform: Platform, loaded: tuple[str, str]) -> None:
    """Schemas, tables and functions and partitions belong to `pacs_owner`, staging to `pacs_sync`; neither logs
    in, and neither has an attribute of power.
    """
    with platform.as_superuser() as admin:
        powers = admin.execute(
            "SELECT rolname, rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR "
            "rolreplication FROM pg_roles WHERE rolname = ANY(%s)",
            (list(roles.ROLES),),
        ).fetchall()
        owners = admin.execute(
            "SELECT DISTINCT n.nspname, c.relowner::regrole::text FROM pg_class AS c JOIN pg_namespace AS n ON "
            "n.oid = c.relnamespace WHERE n.nspname LIKE 'pacs%'"
        ).fetchall()
        schemas = admin.execute(
            "SELECT DISTINCT nspowner::regrole::text FROM pg_namespace WHERE nspname LIKE 'pacs%'"
        ).fetchall()
    assert dict(powers) == dict.fromkeys(roles.ROLES, False)
    assert schemas == [("pacs_owner",)]
    assert {owner for schema, owner in owners if schema == "pacs_stage"} <= {"pacs_sync"}
    assert {owner for schema, owner in owners if schema != "pacs_stage"} == {"pacs_owner"}


def test_default_privileges_of_a_dba_do_not_open_a_partition(
    platform: Platform, make_county: CountyMaker
) -> None:
    """A grant that a DBA made for all future tables would bypass row-level security on a new partition."""
    reader = platform.make_login("everything")
    with platform.as_superuser() as admin:
        for role in ("pacs_sync", "postgres"):
            admin.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON TABLES TO {}").format(
                    sql.Identifier(role), sql.Identifier(reader)
                )
            )
    try:
        county = fill(platform, make_county(ENTITIES))
        with platform.as_superuser() as admin:
            assert (
                admin.execute(
                    "SELECT c.relname FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relnamespace = "
                    "'pacs_part'::regnamespace AND a.grantee <> c.relowner AND a.grantee::regrole::text <> 'pacs_sync'"
                ).fetchall()
                == []
            )
            assert admin.execute(
                "SELECT count(*) FROM pg_class WHERE relname LIKE %s AND relispartition",
                (f"%\\_{county.fips}",),
            ).fetchone() > (3,)
    finally:
        with platform.as_superuser() as admin:
            for role in ("pacs_sync", "postgres"):
                admin.execute(
                    sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE SELECT ON TABLES FROM {}").format(
                        sql.Identifier(role), sql.Identifier(reader)
                    )
                )


def readiness(target: PostgresTarget) -> TargetReadiness:
    ready = target.readiness()
    assert isinstance(ready, TargetReadiness)
    return ready


def test_two_logins_of_the_sync_and_a_superuser_take_turns(
    platform: Platform, make_county: CountyMaker
) -> None:
    """A first load by one, later runs by another: what they make belongs to the group."""
    county = make_county(ENTITIES)
    county.target.close()
    with PostgresTarget.from_url(platform.url) as superuser:
        county.target, county.url = superuser, platform.url
        county.add("property", 1, 2)
        county.sync()
    second = f"second_{platform.mark}"
    with platform.as_superuser() as admin:
        for statement in target_grants(second, platform.monitor):
            admin.execute(statement.encode())
    for number, login in enumerate((platform.sync, second, platform.sync), 10):
        with platform.target(login) as target:
            county.target = target
            county.add("property", number, at=county.stamp(minutes=5))
            _, certificate = county.sync()
            assert certificate.clean
            assert readiness(target).missing_privileges == ()
            assert not readiness(target).owns_schemas


def test_what_the_grants_give_is_exactly_what_a_run_needs(
    bare_platform: Platform, make_county: CountyMaker
) -> None:
    """The printed script and `pacs migrate`, then a run as the login: it is enough. Each grant taken away
    again: `check` names it, so nothing that it lacks goes unseen.
    """
    bare_platform.run_grants()
    with (
        bare_platform.target(bare_platform.sync) as target,
        pytest.raises(ConfigError, match="may not migrate"),
    ):
        target.migrate()
    bare_platform.migrate()
    county = fill(bare_platform, make_county(ENTITIES))
    assert readiness(county.target).missing_privileges == ()
    assert readiness(county.target).pending == ()
    assert county.reconcile().clean
    with bare_platform.as_superuser() as admin:
        wanted = [grant for grant in privileges.wanted(admin) if grant.role == roles.SYNC]
        assert len(wanted) > 40
        for grant in wanted:
            with admin.transaction(force_rollback=True):
                admin.execute(_revoke(grant))
                assert f"{grant} for pacs_sync" in privileges.missing(admin), grant


def _revoke(grant: privileges.Grant) -> sql.Composed:
    text = (
        privileges.grant_statement(grant)
        .as_string(None)
        .replace("GRANT ", "REVOKE ", 1)
        .replace(" TO ", " FROM ")
    )
    return sql.SQL(text) + sql.SQL("")


def test_the_roles_can_be_made_again_at_any_time(bare_platform: Platform) -> None:
    """Case E10: the script run twice, and the rights granted twice, change nothing and fail nowhere."""
    bare_platform.run_grants()
    bare_platform.migrate()
    with bare_platform.as_superuser() as admin:
        before = _everything_granted(admin)
        bare_platform.run_grants()
        with admin.transaction():
            privileges.apply(admin)
            privileges.apply(admin)
        assert _everything_granted(admin) == before
        assert before


def test_rights_that_somebody_took_away_are_told_and_given_back(bare_platform: Platform) -> None:
    """Case E10: `check` proves effective rights, and does not take recorded migrations for them."""
    bare_platform.run_grants()
    bare_platform.migrate()
    with bare_platform.as_superuser() as admin:
        admin.execute("REVOKE INSERT ON pacs_ops.certificate FROM pacs_sync")
        admin.execute("REVOKE SELECT ON pacs_ops.sync_run FROM pacs_monitor")
        admin.execute("REVOKE EXECUTE ON FUNCTION pacs_ops.append_audit FROM pacs_sync")
    with bare_platform.target(bare_platform.sync) as target:
        ready = readiness(target)
        assert ready.pending == ()
        assert ready.missing_privileges == (
            "INSERT on pacs_ops.certificate",
            "EXECUTE on pacs_ops.append_audit(text,uuid,text,text,jsonb)",
        )
        assert "SELECT on pacs_ops.sync_run for pacs_monitor" in ready.lost_privileges
    assert bare_platform.migrate() == []
    with bare_platform.target(bare_platform.sync) as target:
        assert readiness(target).missing_privileges == readiness(target).lost_privileges == ()


def _everything_granted(admin: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return admin.execute(
        "SELECT n.nspname, c.relname, c.relowner::regrole::text, a.grantee::regrole::text, a.privilege_type FROM "
        "pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a WHERE "
        "n.nspname LIKE 'pacs%' UNION ALL SELECT nspname, '', nspowner::regrole::text, a.grantee::regrole::text, "
        "a.privilege_type FROM pg_namespace, aclexplode(nspacl) AS a WHERE nspname LIKE 'pacs%' ORDER BY 1, 2, 4, 5"
    ).fetchall()


def test_a_deploying_login_without_superuser_migrates(bare_platform: Platform) -> None:
    """A member of `pacs_owner` that may create nothing but in this database brings everything up, and owns
    nothing afterwards.
    """
    bare_platform.run_grants()
    deployer = bare_platform.make_login("deployer", "pacs_owner", "pacs_sync")
    with bare_platform.target(deployer) as target:
        assert "0020_audit_chain" in target.migrate()
        assert target.migrate() == []
    with bare_platform.as_superuser() as admin:
        assert (
            admin.execute(
                "SELECT c.relname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE r.rolname = %s",
                (deployer,),
            ).fetchall()
            == []
        )
        assert privileges.missing(admin) == []


def test_an_owner_of_before_still_works(bare_platform: Platform, make_county: CountyMaker) -> None:
    """A login that owns everything and may hand nothing over goes on as before; `check` says that it is not
    bound.
    """
    owner = bare_platform.make_login("old_owner")
    with bare_platform.as_superuser() as admin:
        admin.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(f"platform_{bare_platform.mark}"), sql.Identifier(owner)
            )
        )
    county = make_county(ENTITIES)
    county.target.close()
    with bare_platform.target(owner) as target:
        county.target, county.url = target, bare_platform.url
        county.add("property", 1, 2)
        _, certificate = county.sync()
        assert certificate.clean
        ready = readiness(target)
        assert (ready.missing_privileges, ready.owns_schemas) == ((), True)
        assert audit.verify(target.connection, county.fips).is_intact


def apply_up_to(connection: psycopg.Connection[Any], last: str) -> None:
    """The migrations of an earlier version, recorded and audited as it did."""
    folder = resources.files(ddl.__package__ or "") / "migrations"
    connection.execute("CREATE SCHEMA IF NOT EXISTS pacs_ops")
    connection.execute(ddl._RECORD.encode())
    for file in sorted(
        (each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name
    ):
        if file.name[:4] <= last:
            text = file.read_text("utf-8")
            connection.execute(text.encode())
            connection.execute(
                "INSERT INTO pacs_ops.schema_migration (name, digest) VALUES (%s, %s)",
                (file.name.removesuffix(".sql"), ddl._digest(text)),
            )
            connection.execute(
                "INSERT INTO pacs_ops.audit (action, object) VALUES ('migrate', %s)", (file.name,)
            )


def test_an_upgrade_keeps_data_runs_and_audit(bare_platform: Platform, make_county: CountyMaker) -> None:
    """From the state before roles and chain, with data, a run in the middle and direct grants: everything is
    there, chained, and belongs to the grant role.
    """
    county = make_county(ENTITIES)
    county.target.close()
    with bare_platform.as_superuser() as admin:
        apply_up_to(admin, "0009")
        admin.execute(
            "INSERT INTO pacs_ops.county (county_id, county, name) VALUES ('53005', 'benton_wa', 'B')"
        )
        for number in range(50):
            admin.execute(
                "INSERT INTO pacs_ops.audit (county_id, action, details) VALUES (%s, 'run.start', %s)",
                (("53005", "53007")[number % 2], f'{{"n": {number}}}'),
            )
        admin.execute("CREATE TABLE pacs_ops.stage_0123_property_1 (property_id uuid, _op char(1))")
        admin.execute("INSERT INTO pacs_ops.stage_0123_property_1 VALUES (gen_random_uuid(), 'U')")
        admin.execute(
            "CREATE VIEW pacs_ops.stage_0123_property_1_u AS SELECT * FROM pacs_ops.stage_0123_property_1"
        )
        for entity in ddl.load_entities().values():
            ddl._make_table(admin, entity)
        admin.execute(
            "CREATE TABLE pacs_part.property_53005 PARTITION OF pacs.property FOR VALUES IN ('53005')"
        )
        direct = bare_platform.make_login("direct")
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA pacs TO {0}").format(sql.Identifier(direct)))
        admin.execute(sql.SQL("GRANT SELECT ON pacs.property TO {0}").format(sql.Identifier(direct)))
        admin.execute("INSERT INTO pacs_ops.county_grant VALUES (%s, '53005')", (direct,))
        bare_platform.run_grants()
        assert "0020_audit_chain" in bare_platform.migrate()
        for chain, rows in (("53005", 25), ("53007", 25)):
            seen = audit.verify(admin, chain)
            assert (seen.rows, seen.fault) == (rows, None)
        assert audit.verify(admin, None).is_intact
        assert admin.execute("SELECT count(*) FROM pacs_stage.stage_0123_property_1_u").fetchone() == (1,)
        assert admin.execute(
            "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'property_53005'"
        ).fetchone() == ("pacs_owner",)
        assert privileges.missing(admin) == []
        with bare_platform.as_login(direct) as reader:
            assert reader.execute("SELECT count(*) FROM pacs.property").fetchone() == (0,)
    county.target, county.url = bare_platform.target(bare_platform.sync), bare_platform.url
    county.add("property", 1)
    _, certificate = county.sync()
    assert certificate.clean


def test_the_old_monitors_members_read_what_the_page_reads(bare_platform: Platform) -> None:
    """`pacs_ops_read` had every table, staging and keys of held deletes too; now it is the monitor's role."""
    bare_platform.run_grants()
    bare_platform.migrate()
    with bare_platform.as_login(bare_platform.make_login("old", "pacs_ops_read")) as old:
        old.execute("SELECT * FROM pacs_ops.sync_run")
        with pytest.raises(DENIED):
            old.execute("SELECT * FROM pacs_ops.pending_delete_key")


def test_one_login_for_both_is_refused() -> None:
    with pytest.raises(ConfigError, match="login each"):
        target_grants("same", "same")


def test_the_script_gives_logins_no_power(bare_platform: Platform) -> None:
    bare_platform.run_grants()
    with connect(bare_platform.url) as admin:
        for login in (bare_platform.sync, bare_platform.monitor):
            assert admin.execute(
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication, "
                "pg_has_role(rolname, 'pacs_owner', 'MEMBER'), has_database_privilege(rolname, current_database(), "
                "'CREATE') FROM pg_roles WHERE rolname = %s",
                (login,),
            ).fetchone() == (False, False, False)


HANGINGS = {
    "trigger": "CREATE TRIGGER t BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION pacs_stage.hung_{n}()",
    "policy": "CREATE POLICY p ON {t} USING (true)",
    "default": "ALTER TABLE {t} ALTER county_id SET DEFAULT 'x'",
    "check": "ALTER TABLE {t} ADD CHECK (pacs_stage.bad_{n}(1))",
    "index": "CREATE INDEX ON {t} (lower(county_id))",
    "rule": "CREATE RULE r AS ON INSERT TO {t} DO ALSO NOTHING",
    "child": "CREATE TABLE pacs_stage.child_{n} () INHERITS ({t})",
    "statistics": "CREATE STATISTICS pacs_stage.s_{n} ON lower(county_id), county_id FROM {t}",
}
ON_A_PARTITION = (
    "DROP TABLE {}",
    "TRUNCATE {}",
    "ALTER TABLE {} ADD x int",
    "ALTER TABLE {} OWNER TO CURRENT_USER",
    "ALTER TABLE pacs.property DETACH PARTITION {}",
)


@pytest.mark.parametrize("grant", ["TRIGGER", "SELECT (city)"])
def test_a_partition_brings_no_grant_along(platform: Platform, loaded: tuple[str, str], grant: str) -> None:
    """Case E1: what its maker granted would outlast the attach, which takes the table over."""
    fips = f"{60_000 + next(_NUMBERS)}"
    made, published = f"pacs_part.property_{fips}", f"pacs_part.property_{loaded[0]}"
    with platform.as_login(platform.sync) as login:
        login.execute(f"CREATE TABLE {made} AS SELECT * FROM {published} LIMIT 0".encode())
        login.execute(f"GRANT {grant} ON {made} TO pacs_monitor".encode())
        with pytest.raises(DENIED, match="of its own"):
            login.execute("SELECT pacs_ops.attach_partition('property', %s)", (fips,))


def test_only_our_functions_get_the_owner(platform: Platform) -> None:
    """Case E1: a function that runs as its owner must not become the owner's because it lies in our schemas."""
    name = f"own_{next(_NUMBERS)}"
    with platform.as_login(platform.sync) as login:
        login.execute(
            f"CREATE FUNCTION pacs_stage.{name}() RETURNS text LANGUAGE sql SECURITY DEFINER "
            "AS 'SELECT current_user::text'".encode()
        )
    with platform.as_superuser() as admin, admin.transaction():
        privileges.apply(admin)
    with platform.as_login(platform.sync) as login:
        assert login.execute(f"SELECT pacs_stage.{name}()".encode()).fetchone() != ("pacs_owner",)


@pytest.mark.parametrize("kind", HANGINGS)
def test_nothing_hangs_on_a_partition(platform: Platform, loaded: tuple[str, str], kind: str) -> None:
    """Case E1, from the sync's side: who reads a table runs what its owner hung on it, a superuser too. The
    sync can't attach a table with anything on it, and can hang nothing on a partition.
    """
    number = next(_NUMBERS)
    fips, published = f"{60_000 + number}", f"pacs_part.property_{loaded[0]}"
    made = f"pacs_part.property_{fips}"
    with platform.as_login(platform.sync) as login:
        for statement in (
            f"CREATE FUNCTION pacs_stage.hung_{number}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            f"CREATE FUNCTION pacs_stage.bad_{number}(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'",
            f"CREATE TABLE {made} AS SELECT * FROM {published} LIMIT 0",
            HANGINGS[kind].format(t=made, n=number),
        ):
            login.execute(statement.encode())
        with pytest.raises(DENIED, match="of its own"):
            login.execute("SELECT pacs_ops.attach_partition('property', %s)", (fips,))
        again = HANGINGS[kind].replace("pacs_stage.s_", "pacs_stage.s2_").replace(".child_", ".child2_")
        with pytest.raises((DENIED, psycopg.errors.WrongObjectType)):
            login.execute(again.format(t=published, n=number).encode())
        login.execute(f"DROP TABLE {made} CASCADE".encode())


@pytest.mark.parametrize("statement", ON_A_PARTITION)
def test_the_sync_writes_a_partitions_rows_and_nothing_else_of_it(
    platform: Platform, loaded: tuple[str, str], statement: str
) -> None:
    with platform.as_login(platform.sync) as login, pytest.raises(DENIED):
        login.execute(statement.format(f"pacs_part.property_{loaded[0]}").encode())
