"""Bounds, counts and fingerprints of what a run reads: each of these fails where one guard is switched off."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.incremental import last_modified, rowversion
from airflow_provider_pacs.sync.incremental.full import keys_query
from airflow_provider_pacs.sync.incremental.statements import Window, flagged_query
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.records import Backfill, ReadPlan
from airflow_provider_pacs.sync.steps.source_rows import SourceRows, chunks
from tests.integration.conftest import CountyMaker
from tests.support.county import (
    County,
    Pacs,
    certificate_of,
    key,
    of,
)

PLAN = import_module("airflow_provider_pacs.sync.steps.plan")


def plan_of(county: County, entity: str = "property") -> ReadPlan:
    """The plan of a run that is not carried on."""
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    return next(each for each in plan.entities if each.entity == entity)


def numbers(rows: list[dict[str, Any]], count: int = 9) -> set[int]:
    """Which properties these rows are."""
    named = {key("property", number): number for number in range(count)}
    return {named[str(row["property_id"]).lower()] for row in rows}


@pytest.fixture
def versioned(make_county: CountyMaker, versioned_engine: Pacs) -> County:
    """A county whose table is read by a rowversion column, with three published properties."""
    county = make_county(engine=versioned_engine, keep_engine=True)
    for number in (1, 2, 3):
        county.add("property", number)
    county.sync()
    return county


def test_a_window_behind_its_cursor_begins_before_its_end(county: County) -> None:
    """Case C11: where the source's clock is behind the cursor, the window still holds a moment."""
    now = county.stamp()
    request = BoundsRequest("datetime", now, county.stamp(hours=-30), None, 60, 75)
    query = last_modified.bounds_query(request)
    (row,) = county.source.query(query.sql, query.params)
    assert row["behind"] == 1
    assert row["lo"] < row["hi"] < now


def test_a_row_stamped_with_the_bound_is_read_and_is_not_newer(county: County) -> None:
    """Case 20: the bound is part of the window, so its row is this run's and never the next one's."""
    county.add("property", 1)
    plan = plan_of(county)
    county.add("property", 2, at=str(plan.upper))
    county.add("property", 3, at=county.stamp())
    query = flagged_query(plan.table, last_modified.late(plan.table), plan.upper)
    flagged = county.source.query(query.sql, query.params)
    assert numbers([row for row in flagged if row["_late"] == 1]) == {3}
    query = last_modified.window_query(plan.table, Window(county.stamp(days=1), str(plan.upper)))
    assert numbers(county.source.query(query.sql, query.params)) == {1, 2}


def test_the_row_that_a_rowversion_bound_names_is_newer(versioned: County) -> None:
    """Section M: the bound itself was an open version: its row is the next run's, and the next window has it."""
    versions = {number: versioned.row("property", number)["_source_version"] for number in (1, 2, 3)}
    table = plan_of(versioned).table
    query = rowversion.window_query(table, Window(versions[1], versions[2]))
    assert numbers(versioned.source.query(query.sql, query.params)) == {1}
    query = flagged_query(table, rowversion.late(table), versions[2])
    flagged = versioned.source.query(query.sql, query.params)
    assert numbers([row for row in flagged if row["_late"] == 1]) == {2, 3}


def test_row_versions_behind_the_cursor_mean_a_full_comparison(versioned: County) -> None:
    """Case D5: a counter below the cursor: the database was restored, and no window can be trusted."""
    versioned.sql(
        "UPDATE pacs_ops.sync_state SET watermark = '0x7FFFFFFFFFFFFFFF' WHERE county_id = %s", versioned.fips
    )
    versioned.change("property", 1, at=None, City="Finley")
    outcome, certificate = versioned.sync()
    assert of(outcome, "property").mode == "full"
    assert certificate.clean
    assert versioned.row("property", 1)["city"] == "Finley"
    assert versioned.state("property").watermark != "0x7FFFFFFFFFFFFFFF"


def test_more_keys_than_a_statement_takes(county: County) -> None:
    """Section M: SQL Server takes 2,100 parameters in a statement; more keys go in several."""
    table = plan_of(county).table
    keys = [key("property", number) for number in range(4_500)]
    parts = list(chunks(keys))
    assert [each for part in parts for each in part] == keys
    assert max(len(keys_query(table, part).params) for part in parts) <= 2_100


def test_rows_newer_than_the_bound_are_counted_and_mean_no_comparison(county: County) -> None:
    """Case 122: a row within the lag is the next run's: it is counted as such, and read by this one nowhere."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.add("property", 3, at=county.stamp())
    county.source.asked.clear()
    outcome, certificate = county.sync()
    part = certificate_of(certificate, "property")
    assert (of(outcome, "property").inserted, part.newer, part.source_rows) == (0, 1, 3)
    assert certificate.clean
    county.clock.step(minutes=5)
    assert of(county.sync()[0], "property").inserted == 1


def test_control_totals_leave_out_what_is_newer(county: County) -> None:
    """Certificate v2: sums of both sides speak of the same rows."""
    county.add("property", 1, Acreage=1)
    county.sync()
    county.clock.step(hours=3)
    county.add("property", 2, at=county.stamp(), Acreage=5)
    plan = plan_of(county)
    census = SourceRows(county.source, county.target, plan, county.fips).census(key_sum=True, sums=True)
    assert (census.rows, census.late) == (2, 1)
    assert (census.control[""]["rows"], census.control[""]["acreage"]) == ("1", "1")


def test_what_decides_a_row_is_in_the_fingerprint(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case C12: the version of the mapping, the strategy and the values of options count like the mapping."""
    table = plan_of(county).table
    prints = [PLAN.fingerprint(county.config, table, "compare")]
    prints.append(PLAN.fingerprint(county.config, table, "last_modified"))
    prints.append(PLAN.fingerprint(county.config, table, "compare", ("future_year=2027",)))
    monkeypatch.setattr(PLAN, "MAPPING_VERSION", PLAN.MAPPING_VERSION + 1)
    prints.append(PLAN.fingerprint(county.config, table, "compare"))
    assert len(set(prints)) == 4


def test_a_backfill_reads_nothing_but_its_window(county: County) -> None:
    """Stories of backfills: windows that meet share no row, so their order does not matter; quarantine waits
    for the next sync.
    """
    county.add("property", 1, at="2026-01-10 08:00:00")
    county.add("property", 2, at="2026-02-10 08:00:00", Acreage=-1)
    county.sync()
    window = Backfill("property", "2026-01-01", "2026-02-01")
    outcome, _ = steps.backfill(county.config, county.source, county.target, window=window)
    assert of(outcome, "property").read == 1
    assert county.quarantine("property") == {key("property", 2): ["F1.5"]}
