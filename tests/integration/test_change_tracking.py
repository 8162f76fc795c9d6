"""Change Tracking as the feed of a county: every kind of change is in the target after the next run, and a
feed that no longer shows all of them means that every row is compared, never "nothing new".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.support import tracking
from tests.support.county import County, certificate_of, key, of

if TYPE_CHECKING:
    from tests.integration.conftest import CountyMaker


@pytest.fixture
def county(make_county: CountyMaker) -> Iterator[County]:
    """`property` alone, tracked."""
    county = make_county()
    with tracking.tracked(county):
        yield county


@pytest.fixture
def loaded(county: County) -> County:
    """Five properties, in the target, read by Change Tracking."""
    county.add("property", 1, 2, 3, 4, 5)
    outcome, certificate = county.sync()
    assert (of(outcome, "property").mode, certificate.clean) == ("full", True)
    assert county.state("property").strategy == "change_tracking"
    return county


def synced(county: County, mode: str = "window") -> tuple[int, int, int]:
    """(inserted, updated, deleted) by the next run, whose certificate is clean and whose target is the source."""
    outcome, certificate = county.sync()
    done = of(outcome, "property")
    assert done.mode == mode, county.plan_of(outcome.run_id, "property").reason
    assert certificate.clean, certificate
    assert_equal(county)
    return done.inserted, done.updated, done.deleted


def assert_equal(county: County) -> None:
    """The target holds what the source holds."""
    rows = county.source.query("SELECT PropertyID, City, IsActive FROM [dbo].[Property]")
    truth = {str(row["PropertyID"]).lower(): (row["City"], bool(row["IsActive"])) for row in rows}
    rows_here = county.rows("property").items()
    assert {guid: (row["city"], row["is_active"]) for guid, row in rows_here} == truth


def reason(county: County) -> str:
    """Why the last run read the table as it did."""
    (row,) = county.sql(
        "SELECT e.reason FROM pacs_ops.run_entity AS e JOIN pacs_ops.sync_run AS r USING (run_id) "
        "WHERE r.county_id = %s AND e.entity = 'property' ORDER BY r.started_at DESC LIMIT 1",
        county.fips,
    )
    return str(row["reason"])


def test_every_kind_of_change_is_in_the_target_after_the_next_run(loaded: County) -> None:
    """Cases 32, 34, 93: insert, update without a stamp, hard delete, insert and delete in between: the row decides,
    not the operation.
    """
    loaded.add("property", 6)
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.remove("property", 2)
    loaded.add("property", 7)
    loaded.remove("property", 7)
    assert synced(loaded) == (1, 1, 1)
    assert set(loaded.rows("property", deleted=True)) == {key("property", 2)}
    assert synced(loaded) == (0, 0, 0)


def test_a_row_that_was_deleted_and_came_again_is_one_live_row(loaded: County) -> None:
    """Cases 33, 93: a delete and an insert of the same key, within a run's window and over two runs."""
    loaded.remove("property", 1)
    loaded.add("property", 1, City="Mabton")
    assert synced(loaded) == (0, 1, 0)
    loaded.remove("property", 1)
    assert synced(loaded) == (0, 0, 1)
    loaded.add("property", 1, City="Outlook")
    synced(loaded)
    assert loaded.row("property", 1)["city"] == "Outlook"
    assert not loaded.rows("property", deleted=True)


def test_a_changed_key_is_a_row_gone_and_a_row_new(loaded: County) -> None:
    """Case 35: exactly one live row in the end."""
    loaded.pacs(
        f"UPDATE [dbo].[Property] SET [PropertyID] = '{key('property', 9)}' "
        f"WHERE [PropertyID] = '{key('property', 1)}'"
    )
    assert synced(loaded) == (1, 0, 1)


def test_a_truncated_table_is_compared_and_its_deletes_are_guarded(loaded: County) -> None:
    """Cases 39, 42, 85: the smallest valid version jumps; an emptied source holds the deletes."""
    loaded.pacs("TRUNCATE TABLE [dbo].[Property]")
    outcome, certificate = loaded.sync()
    assert of(outcome, "property").mode == "full"
    assert "truncated" in reason(loaded)
    assert (of(outcome, "property").pending_deletes, certificate.state) == (5, "pending")
    loaded.add("property", 1, 2, 3, 4, 5, City="Zillah")
    loaded.sync()
    assert_equal(loaded)


def test_a_table_that_was_truncated_and_filled_again(loaded: County) -> None:
    """Case 42: rows that came back are not gone."""
    loaded.pacs("TRUNCATE TABLE [dbo].[Property]")
    loaded.add("property", 1, 2, 3, 4, City="Zillah")
    assert synced(loaded, "full") == (0, 4, 1)


def test_an_expired_cursor_compares_this_table_alone(make_county: CountyMaker) -> None:
    """Case 85: what changed before the smallest valid version is found by comparison; the other table goes on."""
    county = make_county(["property", "owner"])
    with tracking.tracked(county, ["property"]):
        county.add("property", 1, 2, 3)
        county.add("owner", 1)
        county.sync()
        county.change("property", 1, at=None, City="Kiona")
        county.remove("property", 2)
        tracking.clean_up(county, days=3)
        tracking.track(county, "owner")
        outcome, certificate = county.sync()
        done = of(outcome, "property")
        assert (done.mode, done.updated, done.deleted) == ("full", 1, 1)
        assert "expired" in county.plan_of(outcome.run_id, "property").reason
        assert county.plan_of(outcome.run_id, "owner").reason.startswith("the mapping, an option")
        assert certificate.clean
        county.change("property", 3, City="Benton City")
        assert of(county.sync()[0], "property").mode == "window"


def test_a_cleanup_between_the_plan_and_the_read_is_noticed(loaded: County) -> None:
    """Case 86: the cursor was valid when the run was planned."""
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.clock.step(days=3)
    loaded.change("property", 2, at=None, City="Mabton")
    asked: list[str] = []

    def clean(statement: str) -> None:
        if "CHANGETABLE" in statement and not asked:
            asked.append(statement)
            loaded.pacs("EXEC sandbox.change_tracking_cleanup")

    loaded.source.before_stream = clean
    outcome, certificate = loaded.sync()
    loaded.source.before_stream = None
    assert asked
    assert (of(outcome, "property").mode, certificate.clean) == ("full", True)
    assert_equal(loaded)


def test_tracking_that_is_switched_off_under_a_planned_run(loaded: County) -> None:
    """Case 86: the run fails (error 22105), and the next one reads every row by what is there."""
    loaded.change("property", 1, at=None, City="Kiona")
    run_id = loaded.stage()
    tracking.untrack(loaded, "property")
    with pytest.raises(ConfigError, match="not enabled"):
        loaded.extract(run_id, "property", 2)
    assert synced(loaded, "full") == (0, 1, 0)
    assert loaded.state("property").strategy == "last_modified"


def test_a_restored_database_whose_fork_is_not_shown(loaded: County) -> None:
    """Case 87: a version behind the cursor means restored, never "nothing new"."""
    loaded.source.denied = ("database_recovery_status",)
    loaded.sync()
    loaded.pacs("EXEC sandbox.backup @name = 'monday'")
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.add("property", 6)
    assert synced(loaded) == (1, 1, 0)
    loaded.pacs("EXEC sandbox.restore @name = 'monday'")
    assert synced(loaded, "full") == (0, 1, 1)
    assert "restored" in reason(loaded)


def test_a_restored_database_that_caught_up(loaded: County) -> None:
    """Case 88: the recovery fork tells, though the version is past the cursor."""
    loaded.pacs("EXEC sandbox.backup @name = 'tuesday'")
    loaded.change("property", 1, at=None, City="Kiona")
    synced(loaded)
    loaded.pacs("EXEC sandbox.restore @name = 'tuesday'")
    for _ in range(4):
        loaded.change("property", 2, at=None, City="Mabton")
    assert synced(loaded, "full") == (0, 2, 0)


def test_tracking_switched_off_and_on_at_one_version(loaded: County) -> None:
    """Case 87: nothing is committed in between but what was not tracked: the version says nothing, the feed does."""
    tracking.untrack(loaded, "property")
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.remove("property", 2)
    tracking.track(loaded, "property")
    assert str(tracking.version(loaded)) == loaded.state("property").watermark
    assert synced(loaded, "full") == (0, 1, 1)
    assert "switched off and on" in reason(loaded)


def test_tracking_that_began_at_the_cursor_proves_nothing(loaded: County) -> None:
    """Case 87: where the login does not see the internal table, both trackings look the same."""

    def begin_again() -> None:
        tracking.untrack(loaded, "property")
        loaded.change("property", 1, at=None, City="Kiona")
        tracking.track(loaded, "property")
        loaded.engine.catalog.databases["pacs"].tracking.inner.clear()  # type: ignore[attr-defined]

    begin_again()
    assert synced(loaded, "full") == (0, 1, 0)
    feed = loaded.state("property").feed
    loaded.pacs(f"ALTER TABLE {tracking.place('property')} DISABLE CHANGE_TRACKING")
    loaded.change("property", 3, at=None, City="Outlook")
    tracking.track(loaded, "property")
    loaded.engine.catalog.databases["pacs"].tracking.inner.clear()  # type: ignore[attr-defined]
    assert synced(loaded, "full") == (0, 1, 0)
    assert loaded.state("property").feed == feed
    loaded.change("property", 4, at=None, City="Kiona")
    synced(loaded, "full")
    assert synced(loaded) == (0, 0, 0)


def test_a_first_load_that_misses_a_row_is_counted(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 38: a feed shows what changed, not what a read of every row missed."""
    county.add("property", 1, 2, 3)
    whole, missed = county.source.stream, list[str]()

    def miss(sql: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for batch in whole(sql, *args, **kwargs):
            first = (
                sql.startswith("SELECT ") and "WHERE" not in sql and "CHANGETABLE" not in sql and not missed
            )
            missed.extend([sql] if first else [])
            yield batch.slice(1) if first else batch

    monkeypatch.setattr(county.source, "stream", miss)
    _, certificate = county.sync()
    assert missed
    assert certificate.clean
    assert_equal(county)


def test_a_row_that_changes_again_while_it_is_read(loaded: County) -> None:
    """Cases 3, 89: its newest image may come early; the next run reads it again and writes nothing."""
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.source.before_stream = _once(
        "CHANGETABLE", lambda: loaded.change("property", 1, at=None, City="Mabton")
    )
    _, certificate = loaded.sync()
    loaded.source.before_stream = None
    assert (certificate.clean, loaded.row("property", 1)["city"]) == (True, "Mabton")
    assert int(str(loaded.state("property").watermark)) < tracking.version(loaded)
    again = of(loaded.sync()[0], "property")
    assert (again.read, again.changed) == (1, 0)


def _once(word: str, act: Callable[[], None], *, at: int = 1) -> Callable[[str], None]:
    """Lets something happen at the first statement with a word in it, or at a later one."""
    seen: list[str] = []

    def hook(statement: str) -> None:
        if word in statement:
            seen.append(statement)
            if len(seen) == at:
                act()

    return hook


def test_a_row_that_goes_while_it_is_read(loaded: County) -> None:
    """Case 90: no row of NULLs; gone in this run or in the next, and the certificate excuses what it can name."""
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.source.after_stream = _once("CHANGETABLE", lambda: loaded.remove("property", 1, 2))
    _, certificate = loaded.sync()
    loaded.source.after_stream = None
    assert certificate.clean
    synced(loaded)
    assert set(loaded.rows("property")) == {key("property", number) for number in (3, 4, 5)}


def test_rows_that_come_and_go_before_the_certificate(loaded: County) -> None:
    """Cases 37, 89: what the feed shows after the run's version is the next run's; what it does not show is drift."""
    run_id = loaded.stage()
    loaded.publish(run_id)
    loaded.remove("property", 1)
    loaded.add("property", 6)
    loaded.change("property", 2, at=None, City="Kiona")
    certificate = loaded.certify(run_id)
    assert certificate.clean
    (part,) = certificate.entities
    assert (part.newer, part.kept) == (2, 2)
    assert synced(loaded) == (1, 1, 1)


def test_a_row_too_many_in_the_target_is_drift(loaded: County) -> None:
    """Case 122: no feed excuses a row that the target has, and the source has not had since before the run."""
    loaded.remove("property", 1)
    assert synced(loaded) == (0, 0, 1)
    loaded.sql(
        f"UPDATE {loaded.partition('property')} SET _deleted_at = NULL WHERE property_id::text = %s",
        key("property", 1),
    )
    outcome, certificate = loaded.sync()
    assert of(outcome, "property").mode == "window"
    assert (certificate.state, certificate_of(certificate, "property").extra_in_target) == ("drift", 1)


def test_no_gap_between_the_first_load_and_the_feed(county: County) -> None:
    """Case 102's like: the version is taken before the read, so what changes meanwhile is in the next window."""
    county.add("property", 1, 2, 3)
    before = tracking.version(county)

    def act() -> None:
        county.add("property", 4)
        county.change("property", 1, at=None, City="Kiona")

    county.source.after_stream = _once("[dbo].[Property] AS s", act)
    outcome, certificate = county.sync()
    county.source.after_stream = None
    assert (of(outcome, "property").mode, certificate.clean) == ("full", True)
    assert county.state("property").watermark == str(before)
    synced(county)
    assert county.row("property", 1)["city"] == "Kiona"


def test_version_zero_is_a_version(county: County) -> None:
    """Case 17: nothing was ever committed under tracking."""
    county.sync()
    assert county.state("property").watermark == "0"
    county.add("property", 1)
    assert synced(county) == (1, 0, 0)


def test_all_entities_have_one_version_and_idle_ones_move_on(make_county: CountyMaker) -> None:
    """Cases 9, 27, 97's like: the cursor of a table without changes follows, so it never expires."""
    county = make_county(["property", "owner"])
    with tracking.tracked(county):
        county.add("property", 1)
        county.add("owner", 1)
        county.sync()
        county.source.before_query = _once(
            "FROM (VALUES (1))", lambda: county.change("property", 1, at=None, City="Kiona"), at=2
        )
        outcome, certificate = county.sync()
        county.source.before_query = None
        assert certificate.clean
        bounds = {
            entity: county.plan_of(outcome.run_id, entity).upper_bound for entity in ("property", "owner")
        }
        assert len(set(bounds.values())) == 1
        for day in range(4):
            county.change("property", 1, at=None, City=f"City {day}")
            tracking.clean_up(county, days=1)
            outcome, certificate = county.sync()
            assert (of(outcome, "owner").mode, of(outcome, "owner").read) == ("window", 0)
            assert certificate.clean
        assert county.state("owner").watermark == str(tracking.version(county))


def test_an_idle_database_is_not_compared_again_and_again(loaded: County) -> None:
    """Case 97's like: the server's cleanup reaches the last version itself."""
    tracking.clean_up(loaded, days=3)
    assert synced(loaded) == (0, 0, 0)


def test_the_window_is_read_in_one_snapshot_where_the_database_allows_it(loaded: County) -> None:
    """Case 86: the feed and its table show one moment; without the permission the order of the reads does."""
    loaded.pacs("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
    loaded.change("property", 1, at=None, City="Kiona")
    loaded.remove("property", 2)
    loaded.source.asked.clear()
    assert synced(loaded) == (0, 1, 1)
    reads = [sql for sql in loaded.source.asked if "CHANGES" in sql and "AS ct\nJOIN" in sql]
    assert reads
    assert reads[0].startswith("SET TRANSACTION ISOLATION LEVEL SNAPSHOT;")
    loaded.pacs("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF")
    loaded.change("property", 1, at=None, City="Mabton")
    assert synced(loaded) == (0, 1, 0)


def test_many_deletes_wait_for_a_person(loaded: County) -> None:
    """Case 40: the guard counts what the feed shows like any other."""
    loaded.configure(delete_guard={"max_rows": 1, "max_percent": 0.0})
    loaded.remove("property", 1, 2, 3)
    outcome, certificate = loaded.sync()
    assert (of(outcome, "property").mode, of(outcome, "property").pending_deletes) == ("window", 3)
    assert certificate.state == "pending"
    loaded.add("property", 1, 2, 3)
    loaded.sync()
    assert_equal(loaded)
    assert not loaded.pending("property")


def test_our_own_change_comes_back_and_changes_nothing(loaded: County) -> None:
    """Case 94: a change with our context is read and compared like any other, and an equal row is not written."""
    loaded.pacs(
        "WITH CHANGE_TRACKING_CONTEXT (0x5041) UPDATE [dbo].[Property] SET [City] = 'Prosser' "
        f"WHERE [PropertyID] = '{key('property', 1)}'"
    )
    done = of(loaded.sync()[0], "property")
    assert (done.read, done.changed) == (1, 0)


def test_a_quarantined_row_is_read_again_in_every_window(loaded: County) -> None:
    """Case 111: it is not in the feed any more, and not lost."""
    loaded.change("property", 1, at=None, ParcelNumber="")
    _, certificate = loaded.sync()
    assert (certificate.state, set(loaded.quarantine("property"))) == ("clean", {key("property", 1)})
    outcome, certificate = loaded.sync()
    assert (of(outcome, "property").read, certificate_of(certificate, "property").quarantined) == (1, 1)
    loaded.change("property", 1, at=None, ParcelNumber="1-00001")
    synced(loaded)
    assert not loaded.quarantine("property")


def test_the_county_s_file_pins_it_or_another(county: County) -> None:
    """The pin of `tables.<entity>.mode` holds, and fails where the table can't be read so."""
    county.add("property", 1)
    county.configure(tables={"property": {"mode": "last_modified"}})
    county.sync()
    assert county.state("property").strategy == "last_modified"
    county.configure(tables={"property": {"mode": "change_tracking"}})
    outcome, _ = county.sync()
    assert of(outcome, "property").mode == "full"
    tracking.untrack(county, "property")
    with pytest.raises(ConfigError, match=r"can't be read by change_tracking: Change Tracking is off"):
        county.sync()


def test_a_server_that_does_not_answer_changetable(county: County) -> None:
    """Case D16: the feature is tried; the next strategy is taken, with its reason."""
    county.add("property", 1)
    county.source.denied = ("CHANGETABLE",)
    county.sync()
    assert synced(county) == (0, 0, 0)
    assert county.state("property").strategy == "last_modified"
    assert "the server does not answer CHANGETABLE" in reason(county)
