"""Tables that are read by Change Data Capture: what changed, what is gone, and everything that must end in a
comparison or a refusal and never in "nothing new".
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, Pacs, StandingClock, certificate_of, key, new_engine, of
from tests.support.feeds import INSTANCE, capture, drop_capture, start_capturing
from tests.support.server import only_the_sandbox

NEXT_RUN = import_module("airflow_provider_pacs.sync.steps.next_run")
PINNED = {"tables": {"property": {"mode": "last_modified"}}}


@pytest.fixture(scope="module")
def engine() -> Iterator[Pacs]:
    only_the_sandbox("sp_cdc_enable_db needs sysadmin")
    made = new_engine()
    yield made
    made.close()


@pytest.fixture
def captured(make_county: CountyMaker, engine: Pacs) -> County:
    """A county with five published properties, whose table has a capture instance."""
    county = make_county(engine=engine, keep_engine=True)
    start_capturing(county)
    county.add("property", 1, 2, 3, 4, 5)
    county.sync()
    return county


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that waits for the capture process lets the standing clock go on."""
    monkeypatch.setattr(NEXT_RUN.time, "sleep", lambda seconds: _clocks[-1].step(seconds=30))


_clocks: list[StandingClock] = []


def _wait_by_the_clock(county: County) -> None:
    _clocks.append(county.clock)


def test_every_kind_of_change_is_there_after_the_next_run(captured: County) -> None:
    """Cases 26, 32, 33, 34, 99: insert, update without a stamp, delete, delete and insert of one key, insert and
    delete between two runs, several changes of one row in one transaction.
    """
    captured.add("property", 6)
    captured.change("property", 1, at=None, City="Silent")
    captured.remove("property", 2)
    captured.remove("property", 3)
    captured.add("property", 3, City="Reborn")
    captured.add("property", 7)
    captured.remove("property", 7)
    writer = captured.writer()
    writer.begin()
    for city in ("One", "Two", "Last"):
        writer.execute(captured.change_statement("property", 4, at=None, City=city))
    writer.commit()
    published, certificate = captured.sync()
    outcome = of(published, "property")
    assert (outcome.mode, outcome.inserted, outcome.updated, outcome.deleted) == ("window", 1, 3, 1)
    assert captured.plan_of(published.run_id, "property").strategy == "cdc"
    assert certificate.clean
    assert set(captured.rows("property")) == {key("property", number) for number in (1, 3, 4, 5, 6)}
    assert [captured.row("property", number)["city"] for number in (1, 3, 4)] == ["Silent", "Reborn", "Last"]
    assert not captured.rows("property", deleted=True).keys() & {key("property", 3), key("property", 7)}
    again, certificate = captured.sync()
    assert (of(again, "property").read, of(again, "property").changed) == (0, 0)
    assert certificate.clean
    assert captured.reconcile().clean


@pytest.mark.slow
def test_another_key_is_a_row_gone_and_a_row_come(captured: County) -> None:
    """Case 35."""
    captured.pacs(
        f"UPDATE [dbo].[Property] SET [PropertyID] = '{key('property', 9)}' WHERE [PropertyID] = "
        f"'{key('property', 2)}'"
    )
    published, certificate = captured.sync()
    outcome = of(published, "property")
    assert (outcome.inserted, outcome.deleted) == (1, 1)
    assert {key("property", 2)} == set(captured.rows("property", deleted=True))
    assert certificate.clean


@pytest.mark.slow
def test_a_large_value_that_did_not_change_stays(captured: County) -> None:
    """Cases 76, 77: the change table has nothing in the place of it; the row is read from its own table."""
    captured.change("property", 1, at=None, City="Elsewhere")
    captured.sync()
    row = captured.row("property", 1)
    assert (row["city"], row["legal_description"]) == ("Elsewhere", "LOT 1")


def test_a_range_ends_at_the_end_of_a_transaction(captured: County) -> None:
    """Cases 100, 101: nothing of an open transaction is seen, all of a committed one; a read that broke off is
    read again as a whole.
    """
    writer = captured.writer()
    writer.begin()
    writer.execute(captured.change_statement("property", 1, at=None, City="Both"))
    captured.change("property", 3, at=None, City="Other")
    captured.sync()
    assert [captured.row("property", number)["city"] for number in (1, 2, 3)] == [
        "Prosser",
        "Prosser",
        "Other",
    ]
    writer.execute(captured.change_statement("property", 2, at=None, City="Both"))
    writer.commit()
    captured.source.after_stream = lambda sql: (_ for _ in ()).throw(RetryableError("the worker is gone"))
    with pytest.raises(RetryableError):
        captured.sync()
    captured.source.after_stream = None
    captured.sync()
    assert [captured.row("property", number)["city"] for number in (1, 2)] == ["Both", "Both"]
    assert captured.reconcile().clean


def test_what_happens_during_a_full_load_is_in_the_feed_behind_it(
    make_county: CountyMaker, engine: Pacs
) -> None:
    """Case 102: the feed begins before the first row is read, and capture may lag behind both."""
    county = make_county(engine=engine, keep_engine=True)
    start_capturing(county)
    county.pacs("EXEC sandbox.cdc_lag @seconds = 30")
    county.clock.step(minutes=1)
    county.add("property", 1, 2, 3)

    def work(sql: str) -> None:
        county.source.after_stream = None
        county.change("property", 1, at=None, City="Meanwhile")
        county.remove("property", 2)
        county.add("property", 4)

    county.source.after_stream = work
    _wait_by_the_clock(county)
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert certificate.clean
    county.clock.step(minutes=1)
    published, certificate = county.sync()
    assert of(published, "property").mode == "window"
    assert county.row("property", 1)["city"] == "Meanwhile"
    assert set(county.rows("property")) == {key("property", number) for number in (1, 3, 4)}
    assert certificate.clean


def test_a_certificate_waits_for_what_is_not_captured_yet(captured: County) -> None:
    """Case 102: rows that came and went and that the feed does not show yet are the next run's, and nothing is
    excused that it never shows.
    """
    captured.pacs("EXEC sandbox.cdc_lag @seconds = 60")
    captured.clock.step(minutes=2)
    captured.add("property", 8)
    captured.remove("property", 5)
    _wait_by_the_clock(captured)
    published, certificate = captured.sync()
    assert of(published, "property").changed == 0
    mine = certificate_of(certificate, "property")
    assert (certificate.state, mine.newer, mine.kept) == ("clean", 1, 1)
    captured.clock.step(minutes=2)
    published, certificate = captured.sync()
    assert (of(published, "property").inserted, of(published, "property").deleted) == (1, 1)
    assert certificate.clean
    captured.sql(f"DELETE FROM {captured.partition('property')} WHERE property_id = %s", key("property", 1))
    assert captured.sync()[1].state == "drift"


def test_a_capture_process_that_stands_still_is_a_failure(captured: County) -> None:
    """Case 98: not a green run with 0 rows; and when it works again, nothing is lost."""
    captured.pacs("EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
    captured.change("property", 1, at=None, City="Unseen")
    captured.clock.step(minutes=14)
    captured.sync()
    captured.clock.step(minutes=2)
    with pytest.raises(RetryableError, match="capture process stands still") as refused:
        captured.sync()
    assert (refused.value.code, "sp_cdc_start_job" in refused.value.remedy) == ("PACS-009", True)
    captured.pacs("EXEC sys.sp_cdc_start_job @job_type = N'capture'")
    published, certificate = captured.sync()
    assert of(published, "property").mode == "window"
    assert captured.row("property", 1)["city"] == "Unseen"
    assert certificate.clean


@pytest.mark.slow
def test_a_capture_process_that_fails_says_with_what(captured: County) -> None:
    """Case 53: a column became wider than in the change table."""
    captured.pacs("EXEC sandbox.cdc_error @number = 2628, @message = N'truncated'")
    captured.clock.step(minutes=20)
    with pytest.raises(RetryableError, match="error 2628"):
        captured.sync()
    captured.pacs("EXEC sandbox.cdc_error @number = 0")
    assert captured.sync()[1].clean


def test_a_capture_instance_that_vanished_is_a_failure(captured: County) -> None:
    """Case 52: switched off, it is a refusal, whatever else could read the table; each way on compares every row."""
    captured.change("property", 1, at=None, City="Before")
    drop_capture(captured)
    captured.change("property", 2, at=None, City="Between")
    for run in (captured.sync, captured.reconcile):
        with pytest.raises(ConfigError, match="was read by Change Data Capture") as refused:
            run()
        assert refused.value.code == "PACS-003"
    capture(captured)
    published, certificate = captured.sync()
    assert of(published, "property").mode == "full"
    assert "made again" in captured.plan_of(published.run_id, "property").reason
    assert {captured.row("property", number)["city"] for number in (1, 2)} == {"Before", "Between"}
    assert certificate.clean


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["pinned", "full"])
def test_a_county_goes_on_without_the_feed_when_somebody_says_so(captured: County, cause: str) -> None:
    """Case 52."""
    captured.change("property", 1, at=None, City="Unseen")
    drop_capture(captured)
    if cause == "pinned":
        captured.configure(**PINNED)
    published, certificate = captured.sync("full" if cause == "full" else "auto")
    assert of(published, "property").mode == "full"
    assert captured.row("property", 1)["city"] == "Unseen"
    assert captured.state("property").strategy == "last_modified"
    assert certificate.clean
    assert of(captured.sync()[0], "property").mode == "window"


@pytest.mark.slow
def test_changes_that_were_cleaned_up_mean_a_comparison(captured: County) -> None:
    """Case 95: the cursor is below what the instance holds."""
    captured.change("property", 1, at=None, City="Cleaned up")
    captured.clock.step(days=4)
    captured.pacs("EXEC sandbox.cdc_cleanup @minutes = 10")
    published, certificate = captured.sync()
    assert of(published, "property").mode == "full"
    assert "cleaned up" in captured.plan_of(published.run_id, "property").reason
    assert captured.row("property", 1)["city"] == "Cleaned up"
    assert certificate.clean
    assert of(captured.sync()[0], "property").mode == "window"


@pytest.mark.slow
def test_a_cursor_moves_while_nothing_happens(captured: County) -> None:
    """Case 97: a quiet table's cursor never grows older than what is kept."""
    marks = set()
    for _ in range(3):
        captured.clock.step(hours=30)
        captured.pacs("EXEC sandbox.cdc_cleanup @minutes = 2880")
        published, _ = captured.sync()
        assert of(published, "property").mode == "window"
        marks.add(captured.state("property").watermark)
    assert len(marks) == 3


@pytest.mark.parametrize(
    ("when", "moment"),
    [
        ("before_stream", "fn_cdc_get_all_changes"),
        pytest.param("after_stream", "fn_cdc_get_all_changes", marks=pytest.mark.slow),
        ("after_stream", "NOT EXISTS (SELECT 1 FROM [dbo].[Property]"),
    ],
    ids=["before the rows", "before the keys that are gone", "after both"],
)
def test_a_cleanup_during_the_read_is_noticed(captured: County, when: str, moment: str) -> None:
    """Case 96: between the check and a read the server refuses the range (error 313); after the last the check
    is repeated.
    """
    captured.change("property", 1, at=None, City="First")
    captured.clock.step(minutes=10)
    captured.change("property", 2, at=None, City="Second")

    def clean(sql: str) -> None:
        if moment in sql:
            setattr(captured.source, when, None)
            captured.pacs(
                "DECLARE @mark binary(10) = sys.fn_cdc_get_max_lsn(); EXEC sys.sp_cdc_cleanup_change_table "
                f"@capture_instance = N'{INSTANCE}', @low_water_mark = @mark"
            )

    setattr(captured.source, when, clean)
    published, certificate = captured.sync()
    assert of(published, "property").mode == "full"
    assert {captured.row("property", number)["city"] for number in (1, 2)} == {"First", "Second"}
    assert certificate.clean


@pytest.mark.parametrize("commits", [pytest.param(0, marks=pytest.mark.slow), 12])
def test_a_restored_database_is_another_log(captured: County, commits: int) -> None:
    """Cases 87, 88: behind the cursor, or past it again; by the log alone, where the login may not see the
    database's recovery fork.
    """
    captured.source.denied = ("database_recovery_status",)
    captured.sync()
    captured.pacs("EXEC sandbox.backup @name = N'night'")
    for number in range(6):
        captured.clock.step(seconds=10)
        captured.change("property", 1, at=None, City=f"Lost {number}")
    captured.sync()
    captured.clock.step(minutes=1)
    captured.pacs("EXEC sandbox.restore @name = N'night'")
    for number in range(commits):
        captured.clock.step(seconds=7)
        captured.change("property", 2, at=None, City=f"Other {number}")
    published, certificate = captured.sync()
    assert of(published, "property").mode == "full"
    assert "restored" in captured.plan_of(published.run_id, "property").reason
    assert captured.row("property", 1)["city"] == "Prosser"
    assert certificate.clean


def test_an_instance_that_passes_a_column_over_is_not_read(captured: County) -> None:
    """Case 51: an update of that column alone would leave no trace; a pinned county is told."""
    drop_capture(captured)
    capture(captured, "PropertyID", "City", "LastModified")
    captured.configure(tables={"property": {"mode": "last_modified"}})
    captured.sync()
    captured.configure(tables={"property": {"mode": "cdc"}})
    with pytest.raises(ConfigError, match="no instance of it captures parcelnumber, address"):
        captured.sync()
    capture(captured, instance="whole")
    published, _ = captured.sync()
    assert (of(published, "property").mode, captured.state("property").strategy) == ("full", "cdc")
    captured.change("property", 1, at=None, Address="2 Main St")
    captured.sync()
    assert captured.row("property", 1)["address"] == "2 Main St"


@pytest.mark.slow
def test_without_the_right_to_read_it_the_next_best_is_taken(make_county: CountyMaker, engine: Pacs) -> None:
    """A feed that others use, and that the sync's login may not read, stops nothing."""
    county = make_county(engine=engine, keep_engine=True)
    start_capturing(county)
    county.add("property", 1)
    county.source.denied = ("cdc.change_tables",)
    county.sync()
    published, _ = county.sync()
    plan = county.plan_of(published.run_id, "property")
    assert plan.strategy == "last_modified"
    assert "may not read schema cdc" in plan.reason


def test_two_instances_hand_over_without_a_gap(make_county: CountyMaker) -> None:
    """Case 51: the county adds a column, a second instance appears, the first is dropped: never a full read, and
    nothing is passed by. A third is refused by the server.
    """
    only_the_sandbox("sp_cdc_enable_db needs sysadmin")
    county = make_county(engine=new_engine())
    start_capturing(county)
    county.add("property", 1, 2, 3)
    county.sync()
    county.pacs("ALTER TABLE [dbo].[Property] ADD [ZoneCode] varchar(10) NULL")
    county.change("property", 1, at=None, City="Before")
    capture(county, instance="second")
    county.change("property", 2, at=None, City="Both")
    published, _ = county.sync()
    assert "instance dbo_Property" in county.plan_of(published.run_id, "property").reason
    drop_capture(county)
    county.change("property", 3, at=None, City="After")
    later, certificate = county.sync()
    assert "instance second" in county.plan_of(later.run_id, "property").reason
    assert [of(run, "property").mode for run in (published, later)] == ["window", "window"]
    assert [county.row("property", number)["city"] for number in (1, 2, 3)] == ["Before", "Both", "After"]
    assert certificate.clean


@pytest.mark.slow
def test_an_instance_dropped_before_its_successor_was_read_means_a_comparison(
    make_county: CountyMaker,
) -> None:
    """Case 51: between the cursor and the begin of the second instance nobody captured."""
    only_the_sandbox("sp_cdc_enable_db needs sysadmin")
    county = make_county(engine=new_engine())
    start_capturing(county)
    county.add("property", 1, 2)
    county.sync()
    county.change("property", 1, at=None, City="Unseen")
    capture(county, instance="second")
    drop_capture(county)
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "Unseen"
    assert certificate.clean
