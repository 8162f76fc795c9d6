"""Case D7: stamps that another clock than the server's writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_pacs.sync.incremental.last_modified import window_query
from airflow_provider_pacs.sync.incremental.statements import Window
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.schema.stamping import check_stamping_clock, next_cursor_query
from tests.integration.conftest import CountyMaker
from tests.support.county import County, InProcessReader, key

HOURS = 8


class Written(InProcessReader):
    """A reader whose server says when it was last written to."""

    written: dict[str, str | None]

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        if "dm_db_index_usage_stats" in sql:
            table = str(params[0]).split(".")[1].strip("[]")
            return [{"written": self.written.get(table)}]
        return super().query(sql, params)


def with_writes(county: County, **minutes: float | None) -> None:
    """The server's record of its last write to each table: so many minutes ago."""
    reader = Written(county.engine)  # type: ignore[arg-type]
    reader.written = {
        table: None if ago is None else county.stamp(minutes=ago) for table, ago in minutes.items()
    }
    county.source = reader


@pytest.fixture
def behind(make_county: CountyMaker) -> County:
    """A county whose stamps are eight hours behind the server's clock, in both tables."""
    county = make_county(("property", "owner"))
    for entity in ("property", "owner"):
        county.add(entity, 1, at=county.stamp(hours=HOURS, minutes=5))
    return county


@pytest.mark.parametrize("hours", [HOURS, 1, 0.5, -7, 14])
def test_a_cursor_that_follows_the_stamps_loses_nothing(make_county: CountyMaker, hours: float) -> None:
    """Case D7: a change three hours after each run is in the next window, however far the stamping clock is
    off; a cursor that follows the server's clock loses it every night.
    """
    county = make_county()
    county.add("property", 1, 2, at=county.stamp(hours=hours + 2))
    lost = 0
    for night in range(3):
        table = resolve_tables(county.config, county.source)["property"].table
        hi = county.stamp()
        query = next_cursor_query(table, hi)
        cursor = county.source.query(query.sql, query.params)[0]["cursor"]
        county.clock.step(hours=3)
        stamp = (county.clock.local() - timedelta(hours=hours)).isoformat(" ", "milliseconds")
        county.change("property", 1, at=stamp, City=f"City {night}")
        county.clock.step(hours=21 + max(0, -hours))
        now = county.stamp()
        assert cities(county, table, cursor, now)[key("property", 1)] == f"City {night}"
        lost += key("property", 1) not in cities(county, table, hi, now)
    assert lost == (3 if hours > 3 else 0)


def cities(county: County, table: Any, lo: str, hi: str) -> dict[str, str]:
    query = window_query(table, Window(lo, hi))
    rows = [row for batch in county.source.stream(query.sql, query.params) for row in batch.to_pylist()]
    return {str(row["property_id"]).lower(): row["city"] for row in rows}


def test_a_table_in_which_nothing_happens_is_not_read_again_for_ever(county: County) -> None:
    """Case D7: the cursor falls back by a day at most, so the stamps of a conversion are read once."""
    county.add("property", 1, 2, at=county.stamp(hours=30))
    table = resolve_tables(county.config, county.source)["property"].table
    hi = county.stamp()
    query = next_cursor_query(table, hi)
    cursor = county.source.query(query.sql, query.params)[0]["cursor"]
    assert county.stamp(hours=30) < cursor < county.stamp(hours=23)


def clock_of(county: County) -> Any:
    tables = [choice.dated for choice in resolve_tables(county.config, county.source).values()]
    return check_stamping_clock(county.source, tables)


def test_two_tables_that_agree_refuse_the_run(behind: County) -> None:
    """Case D7: the newest stamps of both tables lie eight hours before the server's own last writes."""
    with_writes(behind, Property=5, PropertyOwner=5)
    refusal = clock_of(behind).refusal("county_x")
    assert refusal is not None
    assert "set sync.clock_offset_minutes: -480" in refusal.remedy
    report = examine(behind.config, behind.source, behind.target)
    assert [finding.state for finding in report.findings if finding.id == "clock.stamps"] == ["fail"]
    behind.configure(sync={"clock_offset_minutes": -480})
    report = examine(behind.config, behind.source, behind.target)
    assert [finding.state for finding in report.findings if finding.id == "clock.stamps"] == ["ok"]


@pytest.mark.parametrize(
    "writes",
    [
        {"Property": 5, "PropertyOwner": HOURS * 60 + 5},  # one of the tables agrees with the server
        {"Property": 5, "PropertyOwner": 65},  # they disagree
        {"Property": 18, "PropertyOwner": 18},  # seven hours and 47 minutes lie between no two time zones
        {"Property": None, "PropertyOwner": 5},  # one alone may have been written to without a stamp
        {"Property": None, "PropertyOwner": None},  # nobody says
    ],
)
def test_what_is_not_proved_refuses_nothing(behind: County, writes: dict[str, float | None]) -> None:
    """Case D7: a statement that leaves the stamps alone looks the same in one table; it stops no run."""
    with_writes(behind, **writes)
    assert clock_of(behind).refusal("county_x") is None


def test_nothing_is_read_where_the_server_does_not_say(behind: County) -> None:
    """Case D7: without the server's record of its writes the tables are not scanned for it."""
    behind.source.denied = ("dm_db_index_usage_stats",)
    behind.source.asked.clear()
    assert clock_of(behind).stamps[0].newest is None
    assert not [sql for sql in behind.source.asked if "FROM [dbo]" in sql]


def test_stamps_ahead_of_the_clock_are_told(county: County) -> None:
    """Case D7: UTC stamps under `clock: local` are hours ahead in America: a thorough check says so."""
    county.add("property", 1, at=county.stamp(hours=-8))
    ids = {
        finding.id: finding
        for finding in examine(county.config, county.source, county.target, thorough=True).findings
    }
    assert ids["data.property.clock"].state == "warn"
    assert "480 minutes ahead" in ids["data.property.clock"].text
    county.configure(sync={"clock_offset_minutes": 480})
    ids = {
        finding.id: finding
        for finding in examine(county.config, county.source, county.target, thorough=True).findings
    }
    assert "data.property.clock" not in ids
