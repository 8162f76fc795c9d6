"""A county's file promotes columns of `extra` to columns of their own (issue 15, part 5; ADR 21).

The county syncs as the login that `pacs grants` makes, which may write rows and change no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from security_platform import Platform
from security_platform import platform as platform

from airflow_provider_pacs.cli.program import main
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import table_maps
from airflow_provider_pacs.sync.entities import promoted_column
from airflow_provider_pacs.sync.preflight.preview import preview
from airflow_provider_pacs.sync.preflight.target import promoted_lacking
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.support.county import County, county_config, key, new_engine, of, redeclare, retype
from tests.support.in_process import Pacs

OWN = {
    "Subdivision": SqlType("nvarchar", 60),
    "Lots": SqlType("varchar", 20),
    "PlatDate": SqlType("datetime2", scale=7),
    "TaxDistrict": SqlType("decimal", precision=38, scale=10),
    "Gated": SqlType("bit"),
}
EXTRA = {
    "subdivision": "Subdivision",
    "lots": "Lots",
    "platted_at": "PlatDate",
    "tax_district": "TaxDistrict",
    "gated": "Gated",
}
PROMOTE = {
    "subdivision": "text",
    "lots": "integer",
    "platted_at": "timestamp",
    "tax_district": "numeric",
    "gated": "boolean",
}
NEW = {"entities": ["property"]}
Maker = Callable[..., County]


@pytest.fixture(scope="module")
def engine() -> Iterator[Pacs]:
    made = new_engine(retype("Property", **OWN))
    yield made
    made.close()


@pytest.fixture
def make(platform: Platform, engine: Pacs, quick_rules: None) -> Iterator[Maker]:
    """`make(promote=...)`: a county on this module's platform, with the columns of OWN in its `extra`."""
    redeclare(engine, retype("Property", **OWN))
    made: list[County] = []

    def county(extra: dict[str, str] = EXTRA, promote: dict[str, str] | None = None) -> County:
        target = platform.target(platform.sync)
        config = county_config(tables={"property": {"extra": extra, "promote": promote or {}}})
        made.append(County(engine, engine.clock, target, platform.url, config))
        return made[-1]

    yield county
    for county_made in made:
        county_made.close()
        county_made.target.close()


def migrate(platform: Platform, county: County) -> list[str]:
    """What `pacs migrate` does for a member of pacs_owner."""
    with platform.target(user_of(platform)) as target:
        return target.promote(
            {name: table.promoted_columns for name, table in table_maps(county.config).items()}
        )


def user_of(platform: Platform) -> str:
    return platform.params("")["user"] or "postgres"


def rows(platform: Platform, county: County) -> dict[str, dict[str, Any]]:
    """Live rows by key, as a superuser sees them."""
    with platform.as_superuser() as connection:
        cursor = connection.execute(
            "SELECT * FROM pacs.property WHERE county_id = %s AND _deleted_at IS NULL", (county.fips,)
        )
        names = [column.name for column in cursor.description or ()]
        result = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {str(row["property_id"]): row for row in result}


def fill(county: County) -> None:
    county.add(
        "property",
        1,
        Subdivision="Canyon Lakes 'A' \"1\"\\",
        Lots=" 12 ",
        PlatDate="1999-12-31 23:59:59.1234567",
        Gated=1,
    )
    county.add("property", 2, Subdivision="", Lots="0", Gated=0)
    county.add("property", 3)
    county.pacs(
        "UPDATE [dbo].[Property] SET TaxDistrict = 1234567890123456789012345678.0123456789 WHERE "
        f"PropertyID = '{key('property', 1)}'"
    )


def digests_of(county: County) -> dict[str, bytes]:
    """What the quarantine keeps of each row's values."""
    kept = county.sql(
        "SELECT source_key, payload_digest FROM pacs_ops.quarantine WHERE county_id = %s AND state = 'open'",
        county.fips,
    )
    return {row["source_key"]: row["payload_digest"] for row in kept}


def test_a_run_promotes_nothing_by_itself(platform: Platform, make: Maker) -> None:
    """Neither a run nor the sync's login adds the column; the run says who does, and claims nothing."""
    county = make(promote={"never_added": "text"}, extra={"never_added": "Subdivision"})
    with pytest.raises(ConfigError, match=r"promote\.never_added.*pacs migrate") as caught:
        county.sync()
    assert caught.value.code == "PACS-003"
    assert county.sql("SELECT FROM pacs_ops.county WHERE county_id = %s", county.fips) == []
    assert promoted_lacking(county.config, county.target.promoted()) == (
        "tables.property.promote.never_added",
    )
    with pytest.raises(ConfigError, match="this login may not migrate"):
        county.target.promote({"property": [promoted_column("never_added", "text")]})
    assert "never_added" not in {column.name for column in county.target.promoted().get("property", ())}


def test_values_arrive_typed_and_exact(platform: Platform, make: Maker) -> None:
    """Every digit, '' beside NULL, nanoseconds cut and never rounded up; nothing of it is in the JSON as well."""
    county = make(promote=PROMOTE)
    migrate(platform, county)
    fill(county)
    published, certificate = county.sync()
    assert (of(published, "property").inserted, certificate.state, certificate.covered) == (
        3,
        "clean",
        "all_rows",
    )
    shown = {cell.column: cell.mapped for cell in preview(county.config, county.source, "property")[0].cells}
    assert (shown["lots"] or "").strip() in ("12", "0", "")
    assert "extra.lots" not in shown
    first, second, third = (rows(platform, county)[key("property", number)] for number in (1, 2, 3))
    assert {name: first[name] for name in PROMOTE} == {
        "subdivision": "Canyon Lakes 'A' \"1\"\\",
        "lots": 12,
        "platted_at": datetime(1999, 12, 31, 23, 59, 59, 123456),
        "tax_district": Decimal("1234567890123456789012345678.0123456789"),
        "gated": True,
    }
    assert (second["subdivision"], second["lots"], second["gated"]) == ("", 0, False)
    assert all(third[name] is None for name in PROMOTE)
    assert [row["extra"] for row in (first, second, third)] == [None, None, None]


def test_the_step_is_recorded_once(platform: Platform, make: Maker) -> None:
    county = make(
        promote={"recorded": "text", "recorded_too": "numeric"},
        extra={"recorded": "Subdivision", "recorded_too": "TaxDistrict"},
    )
    assert migrate(platform, county) == ["promoted_property_recorded", "promoted_property_recorded_too"]
    assert migrate(platform, county) == []
    with platform.as_superuser() as connection:
        result = connection.execute(
            "SELECT (SELECT count(*) FROM pacs_ops.schema_migration WHERE name LIKE 'promoted_property_recorded%%'), "
            "(SELECT count(*) FROM pacs_ops.audit WHERE action = 'migrate' AND object LIKE 'promoted_property_recorded%%'), "
            "(SELECT col_description('pacs.property'::regclass, attnum) FROM pg_attribute WHERE attrelid = "
            "'pacs.property'::regclass AND attname = 'recorded')"
        ).fetchone()
    assert result == (2, 2, "PII: personal")
    with platform.target(user_of(platform)) as target:
        assert target.migrate() == []
        assert target.readiness().altered == ()
    assert county.target.readiness().missing_privileges == ()


def test_a_value_that_does_not_fit_sets_its_row_aside(platform: Platform, make: Maker) -> None:
    """Case 44 with a type: never cut, never a default; the row comes when the value is corrected."""
    county = make(promote=PROMOTE)
    migrate(platform, county)
    county.add("property", *range(1, 40), Lots="3")
    county.add("property", 40, Lots="three", Subdivision="x")
    _, certificate = county.sync()
    assert (certificate.state, of(certificate, "property").quarantined) == ("clean", 1)
    assert county.quarantine("property") == {key("property", 40): ["MAP.lots"]}
    assert key("property", 40) not in rows(platform, county)
    county.clock.step(hours=3)
    county.change("property", 40, Lots="4")
    _, certificate = county.sync()
    assert (certificate.state, certificate.covered) == ("clean", "window")
    assert rows(platform, county)[key("property", 40)]["lots"] == 4
    assert county.quarantine("property") == {}


def test_changes_travel_by_the_cursor_and_a_comparison_sees_damage(platform: Platform, make: Maker) -> None:
    county = make(promote=PROMOTE)
    migrate(platform, county)
    fill(county)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 2, Subdivision="Panoramic")
    county.clock.step(minutes=5)
    published, certificate = county.sync()
    assert (of(published, "property").mode, of(published, "property").updated) == ("window", 1)
    assert (certificate.state, rows(platform, county)[key("property", 2)]["subdivision"]) == (
        "clean",
        "Panoramic",
    )
    with platform.as_superuser() as connection:
        connection.execute(
            f"UPDATE {county.partition('property')} SET lots = 13 WHERE property_id = %s".encode(),
            (key("property", 1),),
        )
    published, certificate = county.reconciled()
    assert (of(published, "property").updated, certificate.state) == (1, "clean")
    assert rows(platform, county)[key("property", 1)]["lots"] == 12


def test_a_county_that_does_not_promote_is_unaffected(platform: Platform, make: Maker) -> None:
    """Its own value of the same name stays in the JSON, its column is NULL, its next run reads a window, and its
    quarantined rows stay explained, though the table got columns meanwhile.
    """
    other = make(extra={"late_name": "Subdivision", "late_lots": "Lots"})
    fill(other)
    other.add("property", *range(10, 40))
    other.add("property", 41, YearBuilt=99999)
    other.sync()
    waiting, digests = other.quarantine("property"), digests_of(other)
    assert len(waiting) == 1
    before = rows(platform, other)
    promoting = make(
        extra={"late_name": "Subdivision", "late_lots": "Lots"},
        promote={"late_name": "text", "late_lots": "integer"},
    )
    assert len(migrate(platform, promoting)) == 2
    other.clock.step(hours=3)
    other.change("property", 2, Subdivision="Panoramic")
    other.clock.step(minutes=5)
    published, certificate = other.sync()
    assert (of(published, "property").mode, certificate.state) == ("window", "clean")
    assert (of(published, "property").updated, other.quarantine("property")) == (1, waiting)
    assert digests_of(other) == digests
    after = rows(platform, other)
    assert all(row["late_name"] is None and row["late_lots"] is None for row in after.values())
    assert after[key("property", 2)]["extra"] == {"late_name": "Panoramic", "late_lots": "0"}
    unchanged = {number for number in before if number != key("property", 2)}
    assert all(before[same]["_run_id"] == after[same]["_run_id"] for same in unchanged)
    assert other.reconcile().state == "clean"


def test_a_column_that_is_promoted_no_longer_is_emptied(platform: Platform, make: Maker) -> None:
    """No stale value stays: the table is read whole, the values are in the JSON again, the column is NULL."""
    county = make(promote={"subdivision": "text"}, extra={"subdivision": "Subdivision"})
    migrate(platform, county)
    county.add("property", 1, Subdivision="Canyon Lakes")
    county.sync()
    assert rows(platform, county)[key("property", 1)]["subdivision"] == "Canyon Lakes"
    county.configure(tables={"property": {"extra": {"subdivision": "Subdivision"}}})
    published, certificate = county.sync()
    assert (of(published, "property").mode, certificate.state) == ("full", "clean")
    row = rows(platform, county)[key("property", 1)]
    assert (row["subdivision"], row["extra"]) == (None, {"subdivision": "Canyon Lakes"})


def test_a_first_load_survives_a_promotion_by_another_county(platform: Platform, make: Maker) -> None:
    """A column that came after the plan: the new partition gets it, empty, and is attached."""
    county, other = make(), make(extra={"meanwhile": "Subdivision"}, promote={"meanwhile": "text"})
    fill(county)
    run_id = county.stage("full")
    assert migrate(platform, other) == ["promoted_property_meanwhile"]
    county.publish(run_id)
    assert county.certify(run_id).state == "clean"
    assert {row["meanwhile"] for row in rows(platform, county).values()} == {None}


def test_one_name_has_one_type(platform: Platform, make: Maker) -> None:
    county = make(promote={"typed": "integer"}, extra={"typed": "Lots"})
    migrate(platform, county)
    other = make(promote={"typed": "text"}, extra={"typed": "Lots"})
    with pytest.raises(ConfigError, match=r"promote\.typed: is text here, but the column is integer already"):
        migrate(platform, other)
    with pytest.raises(ConfigError, match=r"promote\.typed: the target has no such column of that type"):
        other.sync()


@pytest.mark.parametrize("name", ["_run_id", "county_id", "acreage"])
def test_a_column_of_the_tables_own_is_never_taken_over(platform: Platform, name: str) -> None:
    with (
        platform.target(user_of(platform)) as target,
        pytest.raises(ConfigError, match="has a column of that name"),
    ):
        target.promote({"property": [promoted_column(name, "text")]})


def test_a_declared_type_that_never_fits_is_refused(platform: Platform, make: Maker) -> None:
    """PACS-003 by name, before a row is read: a bit is no timestamp."""
    county = make(promote={"gated_when": "timestamp"}, extra={"gated_when": "Gated"})
    migrate(platform, county)
    with pytest.raises(ConfigError, match="'Gated' is bit, but gated_when takes timestamp"):
        county.sync()


def test_a_tenant_reads_the_column_of_its_county_only(platform: Platform, make: Maker) -> None:
    county, other = make(promote={"subdivision": "text"}), make(promote={"subdivision": "text"})
    migrate(platform, county)
    county.add("property", 1, Subdivision="Canyon Lakes")
    county.sync()
    other.sync()
    clerk = platform.make_login(f"clerk{county.fips}", "pacs_read")
    with platform.as_superuser() as connection:
        connection.execute("INSERT INTO pacs_ops.county_grant VALUES (%s, %s)", (clerk, county.fips))
    with platform.as_login(clerk) as connection:
        seen = connection.execute("SELECT county_id, subdivision FROM pacs.property").fetchall()
    assert seen == [(county.fips, "Canyon Lakes")]


def test_the_command_adds_what_the_file_says(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pacs migrate`, as a member of the owner; `pacs check` and a run know it then."""
    (tmp_path / "king_wa.yaml").write_text(
        "tables: {property: {extra: {by_command: Subdivision}, promote: {by_command: text}}}\n", "utf-8"
    )
    (tmp_path / "url").write_text(platform.url, "utf-8")
    command = ["migrate", "king_wa", "--counties", str(tmp_path), "--target-url-file", str(tmp_path / "url")]
    assert main(command) == 0
    assert "applied promoted_property_by_command" in capsys.readouterr().out
    assert main(command) == 0
    assert "up to date" in capsys.readouterr().out


def test_a_plan_holds_the_columns_that_it_was_made_with(platform: Platform, make: Maker) -> None:
    """Later steps load it; none asks the target's catalog again."""
    county = make(promote={"subdivision": "text"})
    migrate(platform, county)
    run = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    stored = county.plan_of(run.run_id, "property").read_plan
    assert promoted_column("subdivision", "text") in stored.promoted
    assert stored.canonical.column_names[-1] == "extra"
    assert dict(stored.table.map.promoted) == {"subdivision": "text"}
    assert stored.promoted == run.entities[0].promoted


def test_the_history_shows_no_value_of_a_promoted_column(
    platform: Platform, make: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has declared what it says about a person: `pacs history --values` tells that it changed."""
    county = make(promote={"grantee": "text"}, extra={"grantee": "Subdivision"})
    promoting = {"extra": {"grantee": "Subdivision"}, "promote": {"grantee": "text"}}
    county.configure(tables={"property": promoting}, history={"enabled": True})
    migrate(platform, county)
    county.add("property", 1, Subdivision="Ada Lovelace")
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, Subdivision="Bo Ray", Acreage=2.5)
    county.clock.step(minutes=5)
    county.sync()
    name = county.config.county
    (tmp_path / f"{name}.yaml").write_text(
        f'county: {name}\nfips: "{county.fips}"\ntimezone: America/Los_Angeles\nsync: {{entities: [property]}}\n'
    )
    ends = ["--counties", str(tmp_path), "--target-url", platform.url]
    for form in ((), ("--json",)):
        assert main(["history", name, key("property", 1), "--values", *form, *ends]) == 0
        shown = capsys.readouterr().out
        assert "grantee" in shown
        assert "2.5" in shown
        assert "Ada Lovelace" not in shown
        assert "Bo Ray" not in shown
