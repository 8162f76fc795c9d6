"""`pacs check` and `pacs grants` as people use them: over the wire, with exit statuses, and with what
PostgreSQL makes of the grants.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from bad_counties import World, write_county
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world
from security_platform import Platform
from security_platform import bare_platform as bare_platform

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.cli.check import lines
from airflow_provider_pacs.sandbox.counties import generic_tables as generic
from airflow_provider_pacs.sync.preflight import Finding, examine
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.target.postgres.grants import target_grants
from tests.support.county import County, county_config
from tests.support.server import MssqlServer

pytestmark = pytest.mark.usefixtures("trusting", "without_waiting")


def arguments(folder: Path, source: str, target: str) -> list[str]:
    return ["benton_wa", "--counties", str(folder), "--source-url", source, "--target-url", target]


def test_a_check_ends_with_0_and_a_table(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing failed: what the login may not see and what is only to be looked at are no failures."""
    asked = arguments(write_county(tmp_path, {}), world.source.url, pg_url)
    assert main(["check", *asked]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("reachability  ok")
    assert any(
        line.startswith("permissions   ok      The login can read, and nothing else.") for line in printed
    )
    assert any("msodbcsql" in line for line in printed)
    assert "0 failed" in printed[-1]


def test_a_check_in_json_is_the_report(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = arguments(write_county(tmp_path, {}), world.source.url, pg_url)
    assert main(["check", "--json", "--quick", *asked]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == {"county", "at", "state", "thorough", "findings"}
    assert (report["county"], report["thorough"]) == ("benton_wa", False)
    assert all(finding.keys() == {"id", "area", "state", "text", "remedy"} for finding in report["findings"])


def test_a_check_without_a_target_or_with_a_broken_file_is_status_2(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_county(tmp_path, {})
    assert main(["check", "benton_wa", "--counties", str(folder), "--source-url", world.source.url]) == 2
    assert "no target given" in capsys.readouterr().err
    broken = write_county(tmp_path / "broken", {"source": {"read_only": "perhaps"}})
    assert main(["check", *arguments(broken, world.source.url, "postgresql://x")]) == 2
    assert "source.read_only" in capsys.readouterr().err


def test_a_check_of_a_strict_county_whose_login_could_write_is_status_1(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin, parts = world.admin.address, urlsplit(world.source.url)
    writes = parts._replace(
        netloc=f"{admin.user}:{quote(admin.password or '', safe='')}@{parts.hostname}:{parts.port}"
    ).geturl()
    strict = write_county(tmp_path, {"source": {"read_only": "strict"}})
    assert main(["check", *arguments(strict, writes, pg_url)]) == 1
    assert "FAIL" in capsys.readouterr().out
    warned = write_county(tmp_path / "warned", {})
    assert main(["check", *arguments(warned, writes, pg_url)]) == 0


def test_a_remedy_is_wrapped_below_its_finding() -> None:
    from datetime import UTC, datetime

    from airflow_provider_pacs.sync.preflight import PreflightReport

    finding = Finding(
        "permissions.beyond_reading",
        "permissions",
        "warn",
        "It could write.",
        "Use a login that only reads, as is printed by pacs grants.",
    )
    printed = lines(
        PreflightReport("benton_wa", datetime(2026, 1, 1, tzinfo=UTC), True, (finding,)), width=63
    )
    assert printed == [
        "permissions   WARN    It could write.",
        "                      -> Use a login that only reads, as is",
        "                         printed by pacs grants.",
        "",
        "benton_wa: 0 ok, 1 to look at, 0 unknown, 0 failed.",
    ]


def test_a_servers_own_tables_are_looked_at_over_the_wire(mssql: MssqlServer) -> None:
    """The same statements on a genuine server: an administrator, a table of one's own, a parcel number twice,
    a code.
    """
    declared = next(table for table in generic.TABLES if table.name == "Property")
    with mssql.table(declared) as name, SqlServerReader(mssql.address, attempts=1) as reader:
        for number in range(6):
            parcel = f"p-{number // 2}" if number < 2 else f"p-{number}"
            mssql.execute(
                f"INSERT INTO dbo.{name} (PropertyID, ParcelNumber, City, LastModified, IsActive) "
                f"VALUES ('00000000-0000-0000-0000-00000000000{number}', '{parcel}', 'Prosser', '2020-01-02 "
                "03:04:05.677', 1)"
            )
        config = county_config(tables={"property": {"table": name}})
        report = examine(config, reader, ConfigError("no target"), thorough=True)
    findings = {finding.id: finding for finding in report.findings}
    assert {name for name, finding in findings.items() if finding.state == "fail"} == {"target.reachability"}
    assert "sysadmin" in findings["permissions.beyond_reading"].text
    assert findings["permissions.read.property"].state == "ok"
    assert findings["sizes.property"].text.startswith("6 rows of property")
    assert "the newest is 2020-01-02 03:04:05.677" in findings["data.property.stamps"].text
    assert f"dbo.{name}.City, most often: 'Prosser' 6." in findings["data.property.codes.City"].text
    assert "1 values occur more than once" in findings["data.property.keys.ParcelNumber"].text
    assert "SQL Server" in findings["database.version"].text
    assert findings["driver.source"].state == "ok"


def test_grants_are_printed_without_a_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_county(
        tmp_path, {"tables": {"property": {"schema": "tax] office", "columns": {"city": "City Name"}}}}
    )
    asked = ["grants", "benton_wa", "--counties", str(folder), "--login", "o'brien", "--target"]
    assert main(asked) == 0
    script = capsys.readouterr().out
    assert "CREATE USER [o'brien] FOR LOGIN [o'brien];" in script
    assert (
        "GRANT SELECT ON OBJECT::[tax]] office].[Property] ([PropertyID], [ParcelNumber], [Address], [City "
        "Name]," in script
    )
    assert "PASSWORD = N'...'" in script
    assert 'CREATE ROLE "tf_pacs_sync" LOGIN;' in script
    assert main([*asked, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {"source", "target"}
    assert data["source"]["statements"][-1] == "DENY INSERT, UPDATE, DELETE, ALTER TO [tf_reader];"


def test_grants_ask_a_source_that_is_named_for_the_columns_changes_are_found_by(
    mssql: MssqlServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rowversion column stands in no profile: with column grants alone the reader could see it and not read
    it.
    """
    with mssql.table(
        "k uniqueidentifier NOT NULL PRIMARY KEY, a varchar(10) NULL, d datetime NULL, i int NULL, rv "
        "rowversion NOT NULL"
    ) as name:
        columns = dict.fromkeys(
            ("parcel_number", "address", "city", "state", "zip_code", "legal_description", "acreage"), "a"
        )
        columns |= {"property_id": "k", "year_built": "i", "last_modified": "d", "is_active": "i"}
        folder = write_county(tmp_path, {"tables": {"property": {"table": name, "columns": columns}}})
        address = mssql.address
        url = f"mssql://{address.user}:{address.password}@{address.host}:{address.port}/{address.database}"
        options = "?trust_server_certificate=yes" if address.trust_server_certificate else ""
        assert main(["grants", "benton_wa", "--counties", str(folder), "--source-url", url + options]) == 0
    assert (
        f"GRANT SELECT ON OBJECT::[dbo].[{name}] ([k], [a], [i], [d], [rv]) TO [tf_reader];"
        in capsys.readouterr().out
    )


def test_what_the_targets_grants_give_is_enough_for_a_whole_run(
    bare_platform: Platform, county: County
) -> None:
    """A role with these grants and nothing else runs and certifies what the owner migrated, and reads that it
    may; that it is no more than that, test_security_roles.py proves.
    """
    bare_platform.run_grants()
    bare_platform.migrate()
    county.target.close()
    with bare_platform.target(bare_platform.sync) as target:
        county.target = target
        assert target.readiness().missing_privileges == ()
        county.add("property", 1, 2)
        _, certificate = county.sync()
        assert certificate.clean
        assert target.readiness().pending == target.readiness().missing_privileges == ()
        assert county.sql(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb AS more FROM pg_roles WHERE rolname = session_user"
        ) == [{"more": False}]


@pytest.mark.parametrize("name", ["", "x" * 64, "line\nbreak", "nul\x00", "\ud800"])
def test_what_is_no_role_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not a PostgreSQL role name"):
        target_grants(name)


@pytest.mark.parametrize(
    "name", ['quo"te', "o'brien", "a; DROP ROLE postgres; --", "$do$", "$do_$do$", "Ünïcode", "%I"]
)
def test_a_hostile_role_name_stays_one_role(pg_url: str, name: str) -> None:
    with psycopg.connect(pg_url) as connection:
        for statement in target_grants(name):
            connection.execute(statement.encode())
        assert connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
        assert connection.execute(
            "SELECT pg_has_role(%s, 'pacs_sync', 'USAGE'), has_database_privilege(%s, current_database(), "
            "'CREATE'), has_database_privilege(%s, current_database(), 'TEMPORARY')",
            (name, name, name),
        ).fetchone() == (True, False, True)
        connection.rollback()
