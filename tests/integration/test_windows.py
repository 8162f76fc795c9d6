"""LastModified windows against a real PostgreSQL: nothing is lost at a bound, to a late commit or to a clock
(correctness.md A1, A2).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync.schema.features import TableFeatures, read_features
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, key, new_engine, of, retype


def test_ties_beyond_a_batch(county: County) -> None:
    """Cases 1, 10, 18: 251 rows share one stamp and a batch holds 100: all arrive, in the first load and in a
    window.
    """
    county.source.batch_rows = 100
    county.add("property", *range(251))
    assert of(county.sync()[0], "property").inserted == 251
    county.clock.step(hours=1)
    county.pacs(f"UPDATE [dbo].[Property] SET City = 'Finley', LastModified = '{county.stamp(minutes=30)}'")
    published, certificate = county.sync()
    assert of(published, "property").mode == "window"
    assert of(published, "property").updated == 251
    assert certificate.clean
    assert {row["city"] for row in county.rows("property").values()} == {"Finley"}


def test_a_tie_at_the_lower_bound(make_county: CountyMaker) -> None:
    """Case 2: a row stamped exactly like the cursor, committed after it was stored, is in the next window
    (`>=`).
    """
    county = make_county(overlap_minutes=0, lag_seconds=0)
    county.add("property", 1)
    county.sync()
    county.add("property", 2, at=county.stamp())
    county.clock.step(minutes=1)
    published, certificate = county.sync()
    assert of(published, "property").inserted == 1
    assert certificate.clean


def test_a_row_at_the_upper_bound(make_county: CountyMaker) -> None:
    """Case 2: a row stamped exactly like the upper bound belongs to the window (`<=`)."""
    county = make_county(lag_seconds=60)
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=3)
    county.add("property", 2, at=county.stamp(seconds=60))
    published, _ = county.sync()
    assert of(published, "property").inserted == 1


def test_a_row_that_moves_while_it_is_read(county: County) -> None:
    """Case 3: a row stamped past the upper bound before its window is read belongs to the next run, and ends
    right.
    """
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, at=county.stamp(minutes=10), City="Finley")

    def move(sql: str) -> None:
        county.source.before_stream = None
        county.change("property", 1, City="Paterson")

    county.source.before_stream = move
    published, certificate = county.sync()
    assert of(published, "property").updated == 0
    assert certificate.clean
    assert county.row("property", 1)["city"] == "Prosser"
    county.clock.step(minutes=5)
    county.sync()
    assert county.row("property", 1)["city"] == "Paterson"


def test_a_row_inserted_behind_the_bound_while_it_is_read(county: County) -> None:
    """Case 4: a row inserted after its window was read, stamped inside it by a clock that lags, is caught by
    the next run's overlap.
    """
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=3)
    run_id = county.stage()
    county.add("property", 2, at=county.stamp(minutes=20))
    county.publish(run_id)
    assert key("property", 2) not in county.rows("property")
    county.clock.step(minutes=10)
    county.sync()
    assert key("property", 2) in county.rows("property")


def test_rows_without_a_stamp(make_county: CountyMaker) -> None:
    """Case 6: rows whose LastModified is NULL are read by every run."""
    county = make_county(["owner"])
    county.add("owner", 1, 2)
    county.change("owner", 1, at=None, LastModified=None)
    county.sync()
    county.clock.step(days=3)
    county.change("owner", 1, at=None, OwnerName="Zoë Peña")
    published, certificate = county.sync()
    assert of(published, "owner").mode == "window"
    assert county.row("owner", 1)["owner_name"] == "Zoë Peña"
    assert certificate.clean


def test_a_row_stamped_in_the_far_future(county: County) -> None:
    """Case 7: a row stamped 2099 is read by every run and never becomes the cursor."""
    county.add("property", 1)
    county.add("property", 2, at="2099-12-31 23:59:59.997")
    county.sync()
    assert county.state("property").watermark < "2026-01-16"
    county.clock.step(days=2)
    county.change("property", 2, at=None, City="Finley")
    _, certificate = county.sync()
    assert county.row("property", 2)["city"] == "Finley"
    assert county.state("property").watermark < "2026-01-18"
    assert certificate.clean


def test_a_row_stamped_with_the_types_default(county: County) -> None:
    """Case 8: rows stamped 1753 or 1900 are in the first load, and no bound underflows."""
    county.add("property", 1, at="1900-01-01 00:00:00.000")
    county.add("property", 2, at="1753-01-01 00:00:00.000")
    _, certificate = county.sync()
    assert len(county.rows("property")) == 2
    assert certificate.clean


def test_an_empty_window(county: County) -> None:
    """Case 9: nothing changed: no row is written, the upper bound moves on, and the cursor never passes it."""
    county.add("property", 1)
    _, first = county.sync()
    before = county.state("property").watermark
    county.clock.step(hours=5)
    published, certificate = county.sync()
    assert of(published, "property").changed == 0
    assert of(certificate, "property").upper > of(first, "property").upper
    assert before <= county.state("property").watermark <= of(certificate, "property").upper
    assert certificate.clean


@pytest.mark.parametrize("digits", ["003", "007"])
def test_ticks_that_three_digits_do_not_hold(make_county: CountyMaker, digits: str) -> None:
    """Case 13: a stamp of .003 or .007 (1/300 s) at a bound goes out and comes back as the same value."""
    county = make_county(overlap_minutes=0, lag_seconds=0)
    county.clock.set_utc(datetime(2026, 1, 15, 15, 0, 0, int(digits) * 1000))
    county.add("property", 1, at=county.stamp())
    county.sync()
    assert county.state("property").watermark.endswith(f".{digits}")
    county.add("property", 2, at=county.stamp())
    county.clock.step(minutes=1)
    county.sync()
    assert county.row("property", 2)["_source_version"].endswith(f".{digits}")
    county.change("property", 1, City="Finley", at=county.stamp())
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"


@pytest.mark.parametrize(
    ("kind", "unit", "digits"),
    [
        (SqlType("smalldatetime"), timedelta(minutes=1), 16),
        (SqlType("date"), timedelta(days=1), 10),
        (SqlType("datetime2", scale=3), timedelta(0), 0),
        (SqlType("datetime2", scale=7), timedelta(0), 0),
    ],
    ids=["smalldatetime", "date", "datetime2_3", "datetime2_7"],
)
def test_change_columns_of_other_types(
    make_county: CountyMaker, kind: SqlType, unit: timedelta, digits: int
) -> None:
    """Case 15: whatever the stamp's unit, the bound leaves the running unit out, and a row stamped in it
    after a run is in the next one.
    """
    engine = new_engine(retype("Property", LastModified=kind))
    county = make_county(engine=engine, overlap_minutes=0, lag_seconds=0)
    county.add("property", 1, 2, at="2026-01-10 00:00:00")
    first, _ = county.sync()
    assert of(first, "property").inserted == 2
    county.clock.step(hours=1)
    county.pacs(
        f"UPDATE [dbo].[Property] SET City = 'Finley', LastModified = '{county.stamp()}' WHERE PropertyID = "
        f"'{key('property', 1)}'"
    )
    county.sync()
    assert digits == 0 or county.state("property").watermark < county.stamp()[:digits]
    county.pacs(
        f"UPDATE [dbo].[Property] SET City = 'Paterson', LastModified = '{county.stamp()}' WHERE PropertyID "
        f"= '{key('property', 1)}'"
    )
    county.clock.step(seconds=(2 * unit).total_seconds() + 1)
    published, _ = county.sync()
    assert of(published, "property").mode == "window"
    assert county.row("property", 1)["city"] == "Paterson"


def test_a_cursor_that_is_empty_means_a_full_read(county: County) -> None:
    """Case 17: without a cursor every row is read; NULL is never compared with."""
    county.add("property", 1, 2)
    county.sync()
    county.sql("UPDATE pacs_ops.sync_state SET watermark = NULL WHERE county_id = %s", county.fips)
    county.change("property", 1, at=None, City="Finley")
    published, _ = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "Finley"
    assert county.state("property").watermark is not None


def test_a_late_commit(make_county: CountyMaker) -> None:
    """Cases 19, 21: a row stamped before and committed after a run, which did not wait for it, arrives with
    the next one, by the overlap alone.
    """
    county = make_county()
    county.source.denied = ("dm_tran_database_transactions",)
    county.add("property", 1, 2)
    county.sync()
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, City="Finley"))
    county.clock.step(minutes=5)
    _, certificate = county.sync()
    assert county.row("property", 1)["city"] == "Prosser"
    assert certificate.clean
    county.clock.step(minutes=5)
    writer.commit()
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"


def test_the_lag_keeps_the_bound_behind_the_clock(make_county: CountyMaker) -> None:
    """Case 19: with a lag and no overlap a commit that is late by less than the lag is not lost."""
    county = make_county(overlap_minutes=0, lag_seconds=60)
    county.source.denied = ("dm_tran_database_transactions",)
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=1)
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, City="Finley"))
    county.clock.step(seconds=20)
    county.sync()
    writer.commit()
    county.clock.step(minutes=10)
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"


def test_a_transaction_open_for_longer_than_the_overlap(county: County) -> None:
    """Case 20: the oldest open writer holds the bound, so that a commit four hours late is still in a window."""
    county.add("property", 1, 2)
    county.sync()
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, City="Finley"))
    began = county.stamp()
    for _ in range(2):
        county.clock.step(hours=2)
        county.change("property", 2, City="Paterson")
        county.clock.step(seconds=61)
        county.sync()
        assert county.state("property").watermark <= began
    writer.commit()
    county.clock.step(minutes=2)
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    assert county.state("property").watermark > began


def test_a_transaction_that_nobody_tells_us_of(make_county: CountyMaker) -> None:
    """Case 20: without the right to see writers, a commit later than the overlap is found by the full
    comparison.
    """
    county = make_county()
    county.source.denied = ("dm_tran_database_transactions",)
    county.add("property", 1, 2)
    county.sync()
    county.change("property", 1, at=county.stamp(), City="Finley")
    county.sql(
        "UPDATE pacs_ops.sync_state SET watermark = %s WHERE county_id = %s",
        "2026-01-15 12:00:00.000",
        county.fips,
    )
    county.clock.step(hours=8)
    county.sync()
    assert county.row("property", 1)["city"] == "Prosser"
    published, certificate = county.reconciled()
    assert of(published, "property").sample_keys == (f"differing:{key('property', 1)}",)
    assert certificate.clean
    assert county.row("property", 1)["city"] == "Finley"


def test_the_source_clock_steps_back(county: County) -> None:
    """Case 22: after a step back of five minutes every row is read, the cursor is not past the clock, and rows stamped in
    the repeated minutes arrive.
    """
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=1)
    county.sync()
    county.clock.step(minutes=-5)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=1)
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "Finley"
    assert county.state("property").watermark <= county.stamp(seconds=60)
    assert certificate.clean
    county.change("property", 1, City="Paterson")
    county.clock.step(minutes=2)
    published, certificate = county.sync()
    assert (of(published, "property").mode, county.row("property", 1)["city"]) == ("window", "Paterson")
    assert certificate.clean


def test_the_hour_that_repeats(county: County) -> None:
    """Case 23: in the night when clocks go back, rows stamped in the second 01:xx arrive."""
    county.add("property", 1, 2)
    county.clock.set_utc(datetime(2026, 11, 1, 8, 59, 30))  # 01:59:30 PDT
    assert county.stamp().startswith("2026-11-01 01:59")
    county.sync()
    county.clock.set_utc(datetime(2026, 11, 1, 9, 0, 10))  # 01:00:10 PST
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=5)
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    county.change("property", 2, City="Paterson")
    county.clock.step(hours=1)
    county.sync()
    assert county.row("property", 2)["city"] == "Paterson"


def test_the_hour_that_is_missing(county: County) -> None:
    """Case 24: the night when clocks go forward has no 02:xx, and no run fails over it."""
    county.add("property", 1)
    county.clock.set_utc(datetime(2026, 3, 8, 9, 59, 30))  # 01:59:30 PST
    county.sync()
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    assert county.stamp().startswith("2026-03-08 03:01")
    _, certificate = county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    assert certificate.clean


@pytest.mark.parametrize("skew", [timedelta(minutes=-30), timedelta(minutes=30)], ids=["behind", "ahead"])
def test_stamps_by_an_application_with_a_wrong_clock(county: County, skew: timedelta) -> None:
    """Case 25: a stamp half an hour behind or ahead of the server's clock is in one of the next windows."""
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=2)
    county.sync()
    county.change("property", 1, at=county.stamp(seconds=-skew.total_seconds()), City="Finley")
    for _ in range(2):
        county.clock.step(minutes=25)
        county.sync()
    assert county.row("property", 1)["city"] == "Finley"


def test_a_change_that_leaves_the_stamp_alone(county: County) -> None:
    """Case 26: a bulk update without a stamp is invisible to windows; the full comparison finds and mends
    it.
    """
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, Address="2 Main St")
    county.clock.step(minutes=2)
    county.sync()
    county.change("property", 2, at=None, City="Finley")
    county.sync()
    assert county.row("property", 2)["city"] == "Prosser"
    published, certificate = county.reconciled()
    assert of(published, "property").sample_keys == (f"differing:{key('property', 2)}",)
    assert certificate.clean
    assert county.row("property", 2)["city"] == "Finley"


def test_one_upper_bound_for_all_entities(make_county: CountyMaker) -> None:
    """Case 27: the source's clock is asked once per run, however long planning takes."""
    county = make_county(ENTITIES)
    for entity in ENTITIES:
        county.add(entity, 1)
    county.source.before_query = lambda sql: county.clock.step(seconds=7)
    run_id = county.stage()
    assert len({row.upper_bound for row in county.target.runs.entities(run_id)}) == 1


def test_the_workers_clock_does_not_matter(county: County) -> None:
    """Case 28: every bound is the source's: a source that lives in 2019 is read by its own clock."""
    county.clock.set_utc(datetime(2019, 6, 1, 12))
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=2)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    county.sync()
    assert county.state("property").watermark.startswith("2019-06-01 07:0")
    assert county.row("property", 1)["city"] == "Finley"


def test_the_runs_reason_names_a_better_feed(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice and what would be better are recorded with the run, on the county's own catalog."""
    county.add("property", 1)
    county.sync()
    plain = county.plan_of(county.stage(), "property")
    assert plain.reason == "LastModified is datetime"
    assert read_features(county.source).of("dbo", "Property") == TableFeatures(
        change_tracking=False, cdc=False
    )
    asked = county.source.query
    monkeypatch.setattr(
        county.source,
        "query",
        lambda sql, params=(): (
            [{"cleanup": True, "period": 2, "units": 3}]
            if "change_tracking_databases" in sql
            else [{"schema_name": "dbo", "table_name": "Property"}]
            if "change_tracking_tables" in sql
            else asked(sql, params)
        ),
    )
    noted = county.plan_of(county.stage(), "property")
    assert noted.reason == (
        "LastModified is datetime (not by a better feed: the server tells no version of Change Tracking for "
        "dbo.Property)"
    )
