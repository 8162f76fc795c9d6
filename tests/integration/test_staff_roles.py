"""The roles of people: what `pacs grants --roles` prints is run as it is, somebody logs in as each, does what the
role is for, and tries what it must not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from security_platform import Platform
from security_platform import platform as platform

from airflow_provider_pacs.sync.reports import load_reports
from airflow_provider_pacs.sync.target.postgres import privileges
from airflow_provider_pacs.sync.target.postgres.grants import role_grants, target_grants
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County

DENIED = psycopg.errors.InsufficientPrivilege
ROLES = ("pacs_assessor", "pacs_valuation", "pacs_reporting", "pacs_it_admin", "pacs_auditor")
ROWS = (
    "property",
    "value_history",
    "structure",
    "land",
    "exemption",
    "sale",
    "sale_property",
    "tax_area",
    "code",
)
_NUMBERS = itertools.count()
_MADE: dict[str, Staff] = {}


@dataclass(frozen=True, slots=True)
class Staff:
    """Two loaded counties, and a login of each role that may read the first of them."""

    platform: Platform
    county: str
    other: str
    logins: dict[str, str]

    def run(self, role: str, statement: str) -> list[tuple[object, ...]]:
        with self.platform.as_login(self.logins[role]) as login:
            cursor = login.execute(statement.replace("{fips}", self.county).encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def staff(platform: Platform, make_county: CountyMaker) -> Staff:
    if platform.mark not in _MADE:
        counties = [_loaded(platform, make_county(ENTITIES), first) for first in (1, 3)]
        for _ in range(2):  # and again: it can be repeated at any time
            with platform.as_superuser() as admin:
                for statement in role_grants():
                    admin.execute(statement.encode())
        logins = {role: platform.make_login(f"{role[5:]}_{next(_NUMBERS)}", role) for role in ROLES}
        with platform.as_login(logins["pacs_it_admin"]) as admin:
            for role in ROLES[:3]:
                admin.execute("SELECT pacs_ops.grant_county(%s, %s)", (logins[role], counties[0].fips))
        _MADE[platform.mark] = Staff(platform, counties[0].fips, counties[1].fips, logins)
    return _MADE[platform.mark]


def _loaded(platform: Platform, county: County, first: int) -> County:
    county.target.close()
    county.target, county.url = platform.target(platform.sync), platform.url
    county.add("property", first, first + 1)
    county.add("owner", first, first + 1, OwnerName="Ada Lovelace")
    county.add("value", first, first + 1)
    assert county.sync()[1].clean
    return county


def test_reports_are_for_the_granted_county_alone(staff: Staff) -> None:
    """Assessor, valuation and reporting read each report, of their county and of no other."""
    for role in ROLES[:3]:
        for report in load_reports():
            rows = staff.run(role, f"SELECT DISTINCT county_id FROM pacs_report.{report}")
            assert set(rows) <= {(staff.county,)}, (role, report)
        assert staff.run(role, "SELECT county_id FROM pacs_report.values") == [(staff.county,)]


def test_the_assessor_reads_owners_and_valuation_staff_all_but_owners(staff: Staff) -> None:
    """Rows of the granted county only: row-level security."""
    names = staff.run("pacs_assessor", "SELECT county_id, owner_name FROM pacs.owner")
    assert names == [(staff.county, "Ada Lovelace")] * 2
    for table in ROWS:
        for role in ("pacs_assessor", "pacs_valuation"):
            assert set(staff.run(role, f"SELECT DISTINCT county_id FROM pacs.{table}")) <= {(staff.county,)}
    assert len(staff.run("pacs_valuation", "SELECT * FROM pacs.value_history")) == 2


EVERYBODY_TRIES = (
    "UPDATE pacs.property SET year_built = 1",
    "DELETE FROM pacs.value_history",
    "INSERT INTO pacs_ops.county_grant VALUES (session_user, '*')",
    "DELETE FROM pacs_ops.audit",
    "TABLE pacs_part.property_{fips}",
    "TABLE pacs_ops.probed_contents",
    "CREATE TABLE pacs.mine (a int)",
    "CREATE VIEW pacs_report.mine AS SELECT 1 AS a",
    "CREATE OR REPLACE VIEW pacs_report.values AS SELECT 1 AS county_id",
    "SET ROLE pacs_owner",
    "SET ROLE pacs_sync",
    "GRANT pacs_assessor TO CURRENT_USER",
    "SELECT pacs_ops.append_audit('{fips}', NULL, 'run.publish', '', '{}')",
)
TRIES = {
    "pacs_assessor": ("TABLE pacs_ops.audit", "TABLE pacs_ops.quarantine", "SELECT pacs_ops.grant_county('pacs_read', '*')"),
    "pacs_valuation": (
        "SELECT owner_name FROM pacs.owner",
        "SELECT count(*) FROM pacs.owner",
        "TABLE pacs_ops.audit",
        "SELECT pacs_ops.grant_county('pacs_read', '*')",
    ),
    "pacs_reporting": (
        *(f"SELECT count(*) FROM pacs.{table}" for table in (*ROWS, "owner")),
        "TABLE pacs_ops.audit",
        "TABLE pacs_ops.certificate",
        "SELECT pacs_ops.grant_county('pacs_read', '*')",
    ),
    "pacs_it_admin": (
        *(f"SELECT count(*) FROM pacs.{table}" for table in ("property", "owner", "value_history")),
        "TABLE pacs_report.values",
        "TABLE pacs_report.parcels",
        "UPDATE pacs_ops.county SET name = 'x'",
    ),
    "pacs_auditor": (
        "SELECT count(*) FROM pacs.owner",
        "TABLE pacs_report.parcels",
        "SELECT pacs_ops.grant_county('pacs_read', '*')",
        "UPDATE pacs_ops.sync_run SET message = ''",
    ),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_what_each_must_not(staff: Staff, role: str) -> None:
    """Denied, and not merely empty."""
    with staff.platform.as_login(staff.logins[role]) as login:
        tried = [text.replace("{fips}", staff.county) for text in (*EVERYBODY_TRIES, *TRIES[role])]
        assert [statement for statement in tried if not _denied(login, statement)] == []


def _denied(login: psycopg.Connection[Any], statement: str) -> bool:
    try:
        login.execute(statement.encode())
    except DENIED:
        return True
    return False


def test_a_function_in_a_readers_condition_sees_no_other_county(staff: Staff) -> None:
    """Case E1: a view that runs with its owner's rights hands a reader's function no row that he may not read."""
    with staff.platform.as_login(staff.logins["pacs_reporting"]) as login:
        heard: list[str] = []
        login.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
        login.execute(
            "CREATE FUNCTION pg_temp.seen(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE "
            "WARNING 'saw %', t; RETURN true; END $$"
        )
        for report in ("parcels", "owners", "values"):
            login.execute(f"SELECT * FROM pacs_report.{report} WHERE pg_temp.seen(county_id)".encode())
    assert heard
    assert set(heard) == {f"saw {staff.county}"}


def test_who_reads_which_county_is_decided_by_it_and_written_down(staff: Staff) -> None:
    """An IT administrator grants and takes back; not to himself, not what is not there; the audit has each."""
    mine, reader = staff.logins["pacs_it_admin"], staff.logins["pacs_valuation"]
    with staff.platform.as_login(mine) as admin:
        for role, error in (
            (mine, DENIED),
            ("pacs_it_admin", DENIED),
            ("nobody_at_all", psycopg.errors.UndefinedObject),
        ):
            with pytest.raises(error):
                admin.execute("SELECT pacs_ops.grant_county(%s, '*')", (role,))
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            admin.execute("SELECT pacs_ops.grant_county(%s, '99999')", (reader,))
        admin.execute("SELECT pacs_ops.grant_county(%s, %s)", (reader, staff.other))
        assert len(staff.run("pacs_valuation", "SELECT DISTINCT county_id FROM pacs.property")) == 2
        admin.execute("SELECT pacs_ops.revoke_county(%s, %s)", (reader, staff.other))
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            admin.execute("SELECT pacs_ops.revoke_county(%s, %s)", (reader, staff.other))
    assert staff.run("pacs_valuation", "SELECT DISTINCT county_id FROM pacs.property") == [(staff.county,)]
    actions = staff.run(
        "pacs_auditor",
        f"SELECT action, actor, object FROM pacs_ops.audit WHERE county_id = '{staff.other}' AND action LIKE 'county.%' ORDER BY seq",
    )
    assert actions == [("county.grant", mine, reader), ("county.revoke", mine, reader)]


def test_rights_come_back_when_a_report_is_made_anew(staff: Staff) -> None:
    """A migration that makes a view again, or a DBA who takes a right away: `migrate` grants it."""
    with staff.platform.as_superuser() as admin:
        admin.execute("REVOKE SELECT ON pacs_report.values FROM pacs_reporting")
        admin.execute("GRANT SELECT ON pacs.owner TO pacs_reporting")
        assert "SELECT on pacs_report.values for pacs_reporting" in privileges.missing(admin)
    staff.platform.migrate()
    assert staff.run("pacs_reporting", "SELECT county_id FROM pacs_report.values") == [(staff.county,)]
    with pytest.raises(DENIED):
        staff.run("pacs_reporting", "SELECT count(*) FROM pacs.owner")


def test_the_page_reads_sums_and_no_rows(staff: Staff) -> None:
    """The page's login reads the reports of sums of the counties that it was granted, and none of single rows."""
    with staff.platform.as_superuser() as admin:
        admin.execute("SELECT pacs_ops.grant_county('pacs_monitor', '*')")
    for report in load_reports().values():
        with staff.platform.as_login(staff.platform.monitor) as page:
            if report.per_row:
                with pytest.raises(DENIED):
                    page.execute(f"TABLE pacs_report.{report.name}".encode())
            else:
                page.execute(f"TABLE pacs_report.{report.name}".encode())


def test_a_function_in_public_does_not_run_as_the_dba(platform: Platform) -> None:
    """Case E1: the printed scripts call no function that somebody may have made beside PostgreSQL's own, with
    arguments that fit better. Databases that come from before PostgreSQL 15 let everybody make one in `public`.
    """
    mallory = platform.make_login(f"mallory_{next(_NUMBERS)}")
    scripts = [*target_grants(platform.sync, platform.monitor), *role_grants()]
    with platform.as_superuser() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    try:
        with platform.as_login(mallory) as login:
            for arguments in ("text, name, text", "text, text, text"):
                login.execute(
                    f"CREATE FUNCTION public.format({arguments}) RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
                    f"EXECUTE 'ALTER ROLE {mallory} SUPERUSER'; RETURN 'SELECT 1'; END $$".encode()
                )
        with platform.as_superuser() as admin:
            for statement in scripts:
                admin.execute(statement.encode())
            power = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (mallory,)).fetchone()
        assert power == (False,)
    finally:
        with platform.as_superuser() as admin:
            admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            admin.execute(
                "DROP FUNCTION IF EXISTS public.format(text, name, text), public.format(text, text, text)"
            )
