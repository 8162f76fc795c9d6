"""`pacs check` and the DAG's first task: what a look at both ends of a county finds, in this process
(domain.md D4, G12-18, 24, 30).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.engine import Login, SandboxEngine
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.preflight import Finding, PreflightReport, examine
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.sync.schema.tables import source_tables
from airflow_provider_pacs.sync.source.port import ConnectionFacts
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, InProcessReader, new_engine, redeclare, retype

READER = "Sandbox!Reader1"


def look(county: County, *, thorough: bool = True, **sections: Any) -> dict[str, Finding]:
    """Findings by id, with our clock at the source's."""
    if sections:
        county.configure(**sections)
    return by_id(
        examine(
            county.config,
            county.source,
            county.target,
            thorough=thorough,
            now=county.clock.instant().utc.replace(tzinfo=UTC),
        )
    )


def by_id(report: PreflightReport) -> dict[str, Finding]:
    findings = {finding.id: finding for finding in report.findings}
    assert len(findings) == len(report.findings)
    return findings


def as_reader(county: County) -> None:
    """Read as the login that may only read."""
    county.source = InProcessReader(county.engine, "pacs_reader", READER)


@pytest.fixture
def read_only(county: County) -> County:
    as_reader(county)
    return county


@pytest.fixture
def changing(make_county: CountyMaker) -> County:
    """A county whose tables a test changes."""
    return make_county(["property"], engine=new_engine())


def states(findings: dict[str, Finding], state: str) -> set[str]:
    return {name for name, finding in findings.items() if finding.state == state}


def test_a_county_as_it_should_be_has_nothing_to_repair(whole_county: County) -> None:
    """D4: everything that a county's IT configures is looked at, in the order in which a connection comes
    about.
    """
    as_reader(whole_county)
    whole_county.target.migrate()
    whole_county.add("property", *range(1, 9))
    findings = look(whole_county)
    assert states(findings, "fail") == states(findings, "warn") == states(findings, "unknown") == set()
    areas = list(dict.fromkeys(finding.area for finding in findings.values()))
    assert areas == [
        "reachability",
        "tls",
        "driver",
        "login",
        "permissions",
        "database",
        "schema",
        "sizes",
        "clock",
        "data",
        "changes",
        "target",
    ]
    assert findings["sizes.property"].text.startswith("8 rows of property")
    assert {name for name in findings if name.startswith("changes.")} == {
        f"changes.{entity}" for entity in ENTITIES
    }
    assert findings["changes.property"].text == "property is read by last_modified: LastModified is datetime."


def test_a_check_writes_nothing(read_only: County) -> None:
    """An empty target stays empty: no schema is made for the sake of a look."""
    read_only.sql("DROP SCHEMA IF EXISTS pacs, pacs_part, pacs_ops, pacs_report, pacs_stage CASCADE")
    findings = look(read_only)
    assert read_only.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pacs%%'") == []
    assert findings["target.schema"].state == "warn"
    assert "0001_schemas_and_state" in findings["target.schema"].text
    assert states(findings, "fail") == set()
    assert all(sql.lstrip().startswith(("SELECT", "DECLARE")) for sql in read_only.source.asked)


def test_a_login_that_can_write_is_told(county: County) -> None:
    """Story 27: the sandbox's administrator could do everything; that is a warning with the way out."""
    findings = look(county, thorough=False)["permissions.beyond_reading"]
    assert findings.state == "warn"
    assert "db_owner" in findings.text
    assert "pacs grants" in findings.remedy


def test_strict_refuses_a_login_that_can_write_before_anything_is_claimed(county: County) -> None:
    county.configure(source={"read_only": "strict"})
    assert look(county)["permissions.beyond_reading"].state == "fail"
    with pytest.raises(ConfigError, match="could do more than read: member of sysadmin") as refused:
        county.sync()
    assert "pacs grants" in refused.value.remedy
    assert county.sql("SELECT 1 FROM pacs_ops.county WHERE county_id = %s", county.fips) == []
    as_reader(county)
    county.add("property", 1)
    county.sync()
    assert len(county.rows("property")) == 1


def test_strict_does_not_trust_silence(read_only: County) -> None:
    """A server that does not tell a login's rights is no proof that it can only read."""
    read_only.configure(source={"read_only": "strict"})
    read_only.source.denied = ("fn_my_permissions",)
    with pytest.raises(ConfigError, match="has permissions that the server does not show"):
        read_only.sync()


@pytest.mark.parametrize(
    ("view", "finding", "grant"),
    [
        ("dm_exec_connections", "tls.in_force", "GRANT VIEW SERVER STATE TO [pacs_reader]"),
        ("sys.databases", "database.level", "GRANT VIEW DEFINITION TO [pacs_reader]"),
        ("sys.databases", "database.snapshot", "GRANT VIEW DEFINITION TO [pacs_reader]"),
        ("sys.databases", "database.cdc", "GRANT VIEW DEFINITION TO [pacs_reader]"),
        (
            "sys.change_tracking_databases",
            "database.change_tracking",
            "GRANT VIEW DEFINITION TO [pacs_reader]",
        ),
        (
            "fn_my_permissions(?",
            "permissions.read.property",
            "GRANT VIEW DEFINITION ON OBJECT::[dbo].[Property] TO [pacs_reader];",
        ),
        (
            "INFORMATION_SCHEMA.COLUMNS|sys.columns",
            "schema.property",
            "GRANT VIEW DEFINITION ON OBJECT::[dbo].[Property] TO [pacs_reader];",
        ),
        (
            "COUNT_BIG(*) AS n FROM [dbo]",
            "sizes.property",
            "GRANT VIEW DEFINITION ON OBJECT::[dbo].[Property] TO [pacs_reader];",
        ),
    ],
)
def test_a_view_that_is_denied_is_unknown_and_never_a_failure(
    read_only: County, view: str, finding: str, grant: str
) -> None:
    read_only.target.migrate()
    read_only.source.denied = tuple(view.split("|"))
    findings = look(read_only, thorough=finding.startswith("sizes"))
    assert findings[finding].state == "unknown"
    assert grant in findings[finding].remedy
    assert states(findings, "fail") == set()


def test_one_look_that_fails_hides_no_other(read_only: County) -> None:
    """The connection breaks while sizes are asked for: that is said, and everything else is still there."""
    read_only.target.migrate()

    def breaks(sql: str) -> None:
        if "sys.partitions" in sql:
            raise RetryableError("the connection was lost")

    read_only.source.before_query = breaks
    findings = look(read_only)
    assert states(findings, "fail") == {"sizes"}
    assert "PACS-001: the connection was lost" in findings["sizes"].text
    assert {"clock.zone", "data.property.stamps", "changes.property", "target.schema"} <= findings.keys()


def test_a_target_that_is_down_hides_nothing_of_the_source(read_only: County) -> None:
    report = examine(
        read_only.config,
        read_only.source,
        RetryableError("the target does not answer", remedy="Start it"),
        thorough=True,
    )
    findings = by_id(report)
    assert findings["target.reachability"] == Finding(
        "target.reachability", "target", "fail", "PACS-001: the target does not answer", "Start it"
    )
    assert {
        "permissions.read.property",
        "schema.property",
        "sizes.property",
        "data.property.keys.PropertyID",
    } <= findings.keys()
    assert (report.state, report.count("fail")) == ("fail", 1)


def test_a_missing_column_and_a_wrong_type_are_told_with_the_nearest_name(changing: County) -> None:
    """Story 24: the fingerprint is compared before anything is read, and the difference is named."""
    redeclare(changing.engine, retype("Property", City=None, CityName=SqlType("varchar", 100)))
    findings = look(changing)
    assert "has no column 'City' (nearest: 'cityname')" in findings["schema.property"].text
    assert findings["schema.property"].state == "fail"
    assert findings["changes.property"].state == "unknown"
    findings = look(
        changing, tables={"property": {"columns": {"city": "CityName", "acreage": "LastModified"}}}
    )
    assert "column 'LastModified' is datetime, but acreage takes numeric" in findings["schema.property"].text


def test_drift_since_the_last_run_is_told(changing: County) -> None:
    changing.add("property", 1)
    changing.sync()
    assert look(changing, thorough=False)["schema.property"].state == "ok"
    redeclare(
        changing.engine, retype("Property", Zoning=SqlType("varchar", 10), City=SqlType("varchar", 4000))
    )
    findings = look(changing, thorough=False)["schema.property"]
    assert findings.state == "warn"
    assert "added Zoning; widened City: varchar(100) -> varchar(4000)" in findings.text
    redeclare(changing.engine, retype("Property", City=SqlType("varchar", 5)))
    assert look(changing, thorough=False)["schema.property"].state == "fail"


def test_another_database_behind_the_connection_is_told(county: County) -> None:
    """Story 30."""
    county.add("property", 1)
    county.sync()
    assert look(county, thorough=False)["database.identity"].state == "ok"
    county.sql(
        """UPDATE pacs_ops.county SET source_identity = '{"server": "OTHER", "db": "PACS"}' WHERE county_id = %s""",
        county.fips,
    )
    findings = look(county, thorough=False)["database.identity"]
    assert findings.state == "fail"
    assert "--accept-source" in findings.remedy


def test_clocks_and_zones_that_differ_are_told(read_only: County) -> None:
    """Stories 1, 2, 13: windows go by the source's clock; a county in another zone than its server is a
    setting that is wrong.
    """
    read_only.target.migrate()
    assert {look(read_only, thorough=False)[name].state for name in ("clock.skew", "clock.zone")} == {"ok"}
    report = examine(
        read_only.config, read_only.source, read_only.target, now=datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
    )
    assert "3,600 s behind" in by_id(report)["clock.skew"].text
    read_only.configure(timezone="America/Boise")
    findings = look(read_only, thorough=False)["clock.zone"]
    assert (findings.state, "UTC-08:00" in findings.text, "UTC-07:00" in findings.text) == (
        "warn",
        True,
        True,
    )
    read_only.configure(sync={"clock": "utc"})
    assert {look(read_only, thorough=False)[name].state for name in ("clock.skew", "clock.zone")} == {"ok"}


def test_stamps_that_no_window_reaches_are_counted(changing: County) -> None:
    """Rows without a stamp and rows stamped in the far future are read in every run; the county should know."""
    table = retype("Property", LastModified=None, Changed=SqlType("datetime"))
    redeclare(changing.engine, table)
    changing.configure(tables={"property": {"columns": {"last_modified": "Changed"}}})
    for number, stamp in enumerate(("NULL", "'2026-01-15 04:00'", "'2031-01-01'")):
        changing.pacs(
            "INSERT INTO [dbo].[Property] (PropertyID, ParcelNumber, Changed, IsActive) VALUES (NEWID(), "
            f"'{number}', {stamp}, 1)"
        )
    findings = look(changing)["data.property.stamps"]
    assert findings.state == "warn"
    assert (
        "Of 3 rows of dbo.Property 1 have no Changed and 1 are stamped over a day ahead; the newest is "
        "2031-01-01" in findings.text
    )


def test_sentinel_dates_are_counted(whole_county: County) -> None:
    """Story 18: a conversion's day 1980-01-01, and SQL Server's day 0."""
    whole_county.add("property", 1)
    whole_county.add("owner", 1, 2, 3, of=1, StartDate="1980-01-01", EndDate="1900-01-01")
    findings = look(whole_county)["data.owner.dates"]
    assert (findings.state, "3 x 1980-01-01 in StartDate, 3 x 1900-01-01 in EndDate" in findings.text) == (
        "warn",
        True,
    )


def test_parcel_numbers_that_could_be_taken_for_one_another_are_counted(county: County) -> None:
    """Story 15: SQL Server takes ab-1 and AB-1, and trailing blanks, for the same; PostgreSQL does not."""
    for number, parcel in enumerate(("1-1", "1-1", "ab-1", "AB-1", "c-1", "c-1 ")):
        county.add("property", number, ParcelNumber=parcel)
    findings = look(county)
    text = findings["data.property.keys.ParcelNumber"].text
    assert findings["data.property.keys.ParcelNumber"].state == "warn"
    assert "2 differ only by case or trailing blanks" in text
    assert "occur more than once" in text
    assert findings["data.property.keys.PropertyID"].state == "ok"


def test_codes_are_shown_and_personal_values_are_not(whole_county: County) -> None:
    """Nothing personal in a report: counts for columns marked so, and no value that only a few rows have."""
    whole_county.add("property", *range(1, 9), Address="12 Secret Ln")
    whole_county.add("property", 9, City="Ann Lee's", Address=None)
    whole_county.add("owner", *range(1, 9), OwnerName="Ann Lee")
    findings = look(whole_county)
    assert findings["data.property.codes.City"].text == "dbo.Property.City, most often: 'Prosser' 8."
    assert "'Individual' 8" in findings["data.owner.codes.OwnerType"].text
    assert "1 without Address" in findings["data.property.personal"].text
    text = json.dumps([finding.text + finding.remedy for finding in findings.values()])
    assert not [word for word in ("Secret", "Ann", "1-0000") if word in text]


def test_a_short_personal_column_is_no_code(changing: County) -> None:
    """However short its type and however often a value comes."""
    redeclare(changing.engine, retype("Property", Address=SqlType("varchar", 40)))
    changing.add("property", *range(1, 9), Address="12 Secret Ln")
    findings = look(changing)
    assert "data.property.codes.Address" not in findings
    assert "Secret" not in str(findings)
    assert (
        findings["data.property.personal"].text == "dbo.Property, counts alone, in 8 rows: 0 without Address."
    )


def test_a_quick_look_reads_no_rows(read_only: County) -> None:
    """The DAG's first task may not cost the county a scan."""
    findings = look(read_only, thorough=False)
    assert not [sql for sql in read_only.source.asked if "FROM [dbo]" in sql]
    assert "data" not in {finding.area for finding in findings.values()}
    assert findings["sizes.property"].state == "unknown"


def answering(county: County, part: str, **row: Any) -> None:
    """The source answers statements with this part in them so; all others as ever."""
    ask = county.source.query
    county.source.query = lambda sql, params=(): [row] if part in sql else ask(sql, params)  # type: ignore[method-assign]


def test_rows_are_taken_from_the_catalog_where_it_counts_them(read_only: County) -> None:
    answering(read_only, "FROM sys.partitions", n=95_450)
    findings = look(read_only, thorough=False)["sizes.property"]
    assert (
        findings.text == "95,450 rows of property: about 5 s to read whole, at 20,000 rows/s (an assumption)."
    )


@pytest.mark.parametrize(
    ("part", "row", "finding", "state"),
    [
        ("dm_exec_connections", {"encrypted": "FALSE"}, "tls.in_force", "fail"),
        ("ProductVersion", {"version": "10.50.6000.34", "edition": "Standard"}, "database.version", "fail"),
        ("ProductVersion", {"version": None, "edition": None}, "database.version", "unknown"),
        ("compatibility_level", {"level": 100, "read_only": False}, "database.level", "warn"),
        ("compatibility_level", {"level": 110, "read_only": True}, "database.read_only", "ok"),
    ],
)
def test_a_server_that_is_not_as_it_should_be(
    read_only: County, part: str, row: dict[str, Any], finding: str, state: str
) -> None:
    """D4: old servers, low compatibility levels, and a connection that is not encrypted although that was
    asked for.
    """
    answering(read_only, part, **row)
    findings = look(read_only, thorough=False)[finding]
    assert (findings.state, bool(findings.remedy)) == (state, state in ("fail", "warn"))


@pytest.mark.parametrize(("encrypt", "any_certificate"), [("no", False), ("yes", True)])
def test_a_connection_that_proves_nothing_is_told(
    read_only: County, encrypt: str, any_certificate: bool
) -> None:
    read_only.source.facts = lambda: ConnectionFacts("msodbcsql17", encrypt, any_certificate, "sql.example")  # type: ignore[method-assign]
    findings = look(read_only, thorough=False)
    assert (findings["tls.source"].state, findings["driver.source"].state) == ("warn", "warn")
    assert findings["tls.source"].remedy


def test_the_speed_is_the_countys_own_once_it_has_read_enough(county: County) -> None:
    county.add("property", *range(1, 1201))
    assert "at 20,000 rows/s (an assumption)" in look(county)["sizes.property"].text
    county.sync()
    county.sql(
        "UPDATE pacs_ops.run_entity SET extract_seconds = 0.5 WHERE run_id IN (SELECT run_id FROM "
        "pacs_ops.sync_run WHERE county_id = %s)",
        county.fips,
    )
    assert (
        "about 1 s to read whole, at 2,400 rows/s (this county's last reads)"
        in look(county)["sizes.property"].text
    )


def test_a_table_without_a_change_column_is_told_as_dear(changing: County) -> None:
    redeclare(changing.engine, retype("Property", LastModified=SqlType("varchar", 30)))
    findings = look(changing, thorough=False)["changes.property"]
    assert (findings.state, "compare" in findings.text) == ("warn", True)
    assert look(changing, thorough=False, sync={"enable_cdc": False})["changes.property"].state == "ok"


def test_snapshot_isolation_that_is_asked_for_must_be_allowed(changing: County) -> None:
    changing.source.isolation_level = "SNAPSHOT"
    assert look(changing, thorough=False)["database.snapshot"].state == "ok"
    changing.engine.catalog.databases["pacs"].snapshot = False
    changing.engine.publish()
    assert look(changing, thorough=False)["database.snapshot"].state == "fail"


def test_the_first_task_keeps_its_report_with_the_run(read_only: County) -> None:
    report = steps.check(read_only.config, read_only.source, read_only.target)
    plan = steps.plan(
        read_only.config,
        read_only.source,
        read_only.target,
        steps.RunRequest("sync", "scheduled__1"),
        report=report,
    )
    (row,) = read_only.sql(
        "SELECT run_id::text, trigger, state, report FROM pacs_ops.check_report WHERE county_id = %s",
        read_only.fips,
    )
    assert (row["run_id"], row["trigger"]) == (plan.run_id, "scheduled__1")
    assert row["report"] == json.loads(json.dumps(report.as_dict()))


def test_a_run_that_is_refused_keeps_its_report_too(county: County) -> None:
    county.target.migrate()
    county.configure(source={"read_only": "strict"})
    report = steps.check(county.config, county.source, county.target)
    with pytest.raises(ConfigError):
        steps.plan(
            county.config,
            county.source,
            county.target,
            steps.RunRequest("sync", "scheduled__1"),
            report=report,
        )
    assert county.sql(
        "SELECT run_id, state FROM pacs_ops.check_report WHERE county_id = %s", county.fips
    ) == [{"run_id": None, "state": "fail"}]


def test_a_source_that_does_not_answer_is_asked_once_and_told_with_its_own_error(county: County) -> None:
    """The first task does not wait for a dead server twice, and Airflow still learns that the error may pass."""
    county.target.migrate()

    def dead(sql: str) -> None:
        raise RetryableError("no route to host")

    county.source.before_query = dead
    report = steps.check(county.config, county.source, county.target)
    assert {finding.id: finding.state for finding in report.findings if finding.area != "target"} == {
        "reachability.source": "fail",
        "login.rest": "unknown",
    }
    asked = len(county.source.asked)
    with pytest.raises(RetryableError, match="no route to host"):
        steps.plan(
            county.config,
            county.source,
            county.target,
            steps.RunRequest("sync", "scheduled__1"),
            report=report,
        )
    assert len(county.source.asked) == asked
    assert county.sql("SELECT state FROM pacs_ops.check_report WHERE county_id = %s", county.fips) == [
        {"state": "fail"}
    ]


def test_a_parcel_number_of_type_text_is_looked_at_as_far_as_it_goes(changing: County) -> None:
    """SQL Server can't group by text; that is no failure of the county's."""
    redeclare(
        changing.engine, retype("Property", ParcelNumber=SqlType("text", -1), IsActive=SqlType("text", -1))
    )
    changing.add("property", 1)
    findings = look(changing)
    assert states(findings, "fail") == set()
    assert "data.property.keys.ParcelNumber" not in findings


def test_reports_do_not_pile_up(county: County) -> None:
    county.target.migrate()
    report = steps.check(county.config, county.source, county.target).as_dict()
    for number in range(53):
        county.target.runs.record_check(county.fips, None, f"run {number}", report)
    kept = county.sql(
        "SELECT trigger FROM pacs_ops.check_report WHERE county_id = %s ORDER BY check_id", county.fips
    )
    assert [row["trigger"] for row in kept] == [f"run {number}" for number in range(3, 53)]


def test_a_target_login_without_rights_is_told_what_it_lacks(county: County) -> None:
    county.target.migrate()
    county.sql("DROP ROLE IF EXISTS check_nobody")
    county.sql("CREATE ROLE check_nobody")
    county.sql("SET ROLE check_nobody")
    try:
        findings = look(county, thorough=False)
    finally:
        county.sql("RESET ROLE")
        county.sql("DROP ROLE check_nobody")
    assert findings["target.permissions"].state == "fail"
    assert "USAGE on schema pacs" in findings["target.permissions"].text
    assert "pacs grants" in findings["target.permissions"].remedy


def test_the_tables_of_an_entity_name_every_column_that_is_read(county: County) -> None:
    (table,) = source_tables(resolve_tables(county.config, county.source)["property"].table)
    assert (table.text, table.quoted, table.key, table.change_column) == (
        "dbo.Property",
        "[dbo].[Property]",
        ("PropertyID",),
        "LastModified",
    )
    assert len(table.columns) == 11
    assert [column for column in table.columns if table.is_personal(column)] == ["Address"]
    assert table.is_personal("a column that nobody mapped")


def test_the_sandbox_knows_the_reader() -> None:
    """The tests above trust that this login can't write."""
    engine = SandboxEngine(logins=(Login("pacs_reader", READER),))
    assert not engine.login("pacs_reader", READER, "master", "t", "t").login.admin
    engine.close()
