"""What a fresh reader broke, kept."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery
from airflow_provider_pacs.sync.records import Backfill, Comparison
from tests.integration.conftest import CountyMaker
from tests.support import tracking
from tests.support.county import County, Pacs, certificate_of, key, new_engine, retype

CERTIFY = import_module("airflow_provider_pacs.sync.steps.certify")
SEQUENTIAL = "{:08x}-1111-4222-8333-444455556666"
"""NEWSEQUENTIALID counts the first four bytes up; the last are the machine's."""


def test_an_emptied_table_waits_for_a_person_in_a_window_too(make_county: CountyMaker) -> None:
    """Case G9: three rows are fewer than the delete guard's number, and all of them."""
    county = make_county()
    county.add("property", *range(3))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(3))
    certificate = county.sync()[1]
    assert certificate.state == "pending"
    assert len(county.rows("property")) == 3


def test_sequential_guids_are_told_apart(make_county: CountyMaker) -> None:
    """Case C16: one row leaves and another comes with an old stamp; neither is in the window."""
    county = make_county()
    county.add("property", *range(3))
    for n in range(10):
        county.add("property", 100 + n, PropertyID=SEQUENTIAL.format(n))
    county.sync()
    county.clock.step(hours=20)
    county.pacs(f"DELETE FROM [dbo].[Property] WHERE [PropertyID] = '{SEQUENTIAL.format(0)}'")
    county.add("property", 777, PropertyID=SEQUENTIAL.format(55), at=county.stamp(hours=100))
    assert county.sync()[1].state == "clean"
    live = county.rows("property")
    assert SEQUENTIAL.format(0) not in live
    assert SEQUENTIAL.format(55) in live


def test_sums_of_keys_do_not_cancel(make_county: CountyMaker) -> None:
    """Case C16: two rows leave, and two come whose numbers have the same sum."""
    county = make_county()
    county.add("property", *range(60))
    for n in (1, 4):
        county.add("property", 100 + n, PropertyID=SEQUENTIAL.format(n))
    county.sync()
    county.clock.step(hours=20)
    for n in (1, 4):
        county.pacs(f"DELETE FROM [dbo].[Property] WHERE [PropertyID] = '{SEQUENTIAL.format(n)}'")
    for n in (2, 3):
        county.add("property", 100 + n, PropertyID=SEQUENTIAL.format(n), at=county.stamp(hours=100))
    assert county.sync()[1].state == "clean"
    assert set(county.rows("property")) == {
        *(key("property", n) for n in range(60)),
        *(SEQUENTIAL.format(n) for n in (2, 3)),
    }


def sync_ten(county: County) -> None:
    """Ten rows that were synced and that no later window reads again."""
    for n in range(10):
        county.add("property", n, PropertyID=key("property", n), at=county.stamp(hours=9))
    county.add("property", 1000, at=county.stamp(minutes=3))
    county.sync()


def text_keys(*, unique: bool = True) -> Pacs:
    """A county that keeps its GUIDs as text."""
    table = retype("Property", PropertyID=SqlType("varchar", 40))
    return new_engine(table if unique else replace(table, primary_key=()))


@pytest.mark.parametrize("spelled", ["{}", "{{{}}}"])
def test_keys_kept_as_text_are_told_apart(make_county: CountyMaker, spelled: str) -> None:
    """Case C16: as with sequential GUIDs; counting alone would say that nothing happened."""
    county = make_county(engine=text_keys())
    for n in range(10):
        county.add("property", n, PropertyID=spelled.format(key("property", n).upper()))
    county.sync()
    county.clock.step(hours=20)
    county.pacs(f"DELETE FROM [dbo].[Property] WHERE [PropertyID] LIKE '%{key('property', 0).upper()}%'")
    county.add("property", 10, at=county.stamp(hours=100), PropertyID=spelled.format(key("property", 10)))
    assert county.sync()[1].state == "clean"
    assert set(county.rows("property")) == {key("property", n) for n in range(1, 11)}


def test_a_key_that_is_no_guid_and_has_an_old_stamp(make_county: CountyMaker) -> None:
    """Case D12: found by the count; it blocks as in a full run, by name, until the source is mended."""
    county = make_county(engine=text_keys())
    sync_ten(county)
    county.clock.step(hours=20)
    county.add("property", 61, PropertyID="not-a-guid", at=county.stamp(hours=100))
    county.change("property", 3, City="Finley")
    county.clock.step(minutes=5)
    part = certificate_of(county.sync()[1], "property")
    assert part.state == "blocked"
    assert "unreadable:not-a-guid" in part.sample_keys
    county.pacs("DELETE FROM [dbo].[Property] WHERE [PropertyID] = 'not-a-guid'")
    assert county.sync()[1].state == "clean"
    assert county.row("property", 3)["city"] == "Finley"


@pytest.mark.parametrize("hours", [0, 100])
@pytest.mark.parametrize("text", [False, True])
def test_a_repeated_key_half_in_the_window_blocks(make_county: CountyMaker, text: bool, hours: int) -> None:
    """Case C18: a table without a primary key has the key twice; the window brings one of the two, or none."""
    engine = text_keys(unique=False) if text else new_engine(replace(retype("Property"), primary_key=()))
    county = make_county(engine=engine)
    sync_ten(county)
    county.clock.step(hours=20)
    county.add("property", 5, PropertyID=key("property", 5), at=county.stamp(hours=hours), City="Two")
    county.clock.step(minutes=5)
    certificate = county.sync()[1]
    assert certificate.state == "blocked"
    assert county.row("property", 5)["city"] != "Two"


def test_a_repeated_key_that_comes_after_the_extract(make_county: CountyMaker) -> None:
    """Case C18: the second row of a key comes with an old stamp between publish and certificate."""
    county = make_county(engine=text_keys(unique=False))
    sync_ten(county)
    county.clock.step(hours=20)
    run_id = county.stage()
    county.publish(run_id)
    county.add("property", 5, PropertyID=key("property", 5), at=county.stamp(hours=100), City="Two")
    part = certificate_of(county.certify(run_id), "property")
    assert part.state == "drift"
    assert f"differing:{key('property', 5)}" in part.sample_keys


def test_a_second_read_of_every_row_that_is_cut_short(
    make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case C1: a row that the source has and the target lost is missing, also where the certificate's own read
    of all rows did not bring it.
    """
    county = make_county()
    county.add("property", *range(10))
    run_id = county.stage("full")
    county.publish(run_id)
    county.sql(f"DELETE FROM {county.partition('property')} WHERE property_id = %s", key("property", 3))
    flagged = CERTIFY.flagged_query

    def short(*arguments: Any) -> ChangeQuery:
        query = flagged(*arguments)
        return replace(query, sql=f"{query.sql} WHERE s.[PropertyID] <> '{key('property', 3)}'")

    monkeypatch.setattr(CERTIFY, "flagged_query", short)
    part = certificate_of(county.certify(run_id), "property")
    assert (part.state, part.missing) == ("drift", 1)


def late_and_published(county: County) -> str:
    """A full run, published and not yet certified, with a row stamped ten hours ahead."""
    county.add("property", *range(5))
    county.add("property", 9, at=county.stamp(hours=-10))
    run_id = county.stage("full")
    county.publish(run_id)
    return run_id


@pytest.mark.parametrize("damage", ["UPDATE {} SET city = 'X'", "DELETE FROM {}"])
@pytest.mark.parametrize("how", ["full", "reconcile"])
def test_a_stamp_ahead_excuses_no_damage(make_county: CountyMaker, damage: str, how: str) -> None:
    """Case C2: what was read and published must be there, whatever its stamp says."""
    county = make_county()
    run_id = late_and_published(county)
    if how == "reconcile":
        county.certify(run_id)
        request = steps.RunRequest("reconcile", "test", "full")
        run_id = steps.plan(county.config, county.source, county.target, request).run_id
        for entity in county.config.sync.entities:
            county.extract(run_id, entity)
            county.validate(run_id, entity)
        county.publish(run_id)
    statement = damage.format(county.partition("property")) + " WHERE property_id = %s"
    county.sql(statement, key("property", 9))
    assert county.certify(run_id).state == "drift"


def test_a_stamp_ahead_is_no_drift(make_county: CountyMaker) -> None:
    """The same row, left alone, and one that came after the read."""
    county = make_county()
    run_id = late_and_published(county)
    county.clock.step(minutes=5)
    county.add("property", 10, at=county.stamp(hours=-1))
    certificate = county.certify(run_id)
    assert certificate.state == "clean"
    assert certificate_of(certificate, "property").newer == 1


def test_an_approved_row_that_is_live_again_is_drift(make_county: CountyMaker) -> None:
    """Case C9: a tombstone is undone between publish and certify of the approval."""
    county = make_county()
    county.add("property", *range(200), at=county.stamp(hours=9))
    county.add("property", 1000, at=county.stamp(minutes=3))
    county.sync()
    county.clock.step(hours=20)
    county.remove("property", *range(100))
    county.sync()
    approved = tuple(county.target.approvals.pending(county.fips))
    request = steps.RunRequest("approval", "test", approved=approved)
    run_id = steps.plan(county.config, county.source, county.target, request).run_id
    county.extract(run_id, "property")
    county.validate(run_id, "property")
    county.publish(run_id)
    statement = f"UPDATE {county.partition('property')} SET _deleted_at = NULL WHERE property_id = %s"
    county.sql(statement, key("property", 5))
    made = certificate_of(county.certify(run_id), "property")
    assert (made.state, made.extra_in_target) == ("drift", 1)
    assert key("property", 5) in str(made.sample_keys)


def test_two_tries_of_certify_share_no_table(
    make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is still at work when a second one begins, fills its table and dies."""
    county = make_county()
    county.add("property", *range(5))
    run_id = county.stage("full")
    county.publish(run_id)
    certifier = type(county.target.certifier)
    compare, tables = certifier.compare, []

    def noted(self: Any, entity: Any, county_id: str, fresh: str, *rest: Any, **more: Any) -> Comparison:
        tables.append(fresh)
        if len(tables) == 1:
            with pytest.raises(MemoryError):
                county.certify(run_id)
        elif len(tables) == 2:
            raise MemoryError
        return compare(self, entity, county_id, fresh, *rest, **more)

    monkeypatch.setattr(certifier, "compare", noted)
    assert county.certify(run_id).state == "clean"
    assert tables[0] != tables[1]


def test_a_backfill_excuses_no_change_that_no_run_reads(make_county: CountyMaker) -> None:
    """Case C5: the row changes after the backfill read it, and keeps its old stamp."""
    county = make_county()
    county.add("property", *range(5), at=county.stamp(hours=50))
    county.add("property", 10, at=county.stamp(hours=40.5))
    county.add("property", 20, at=county.stamp(hours=2))
    county.sync()
    county.clock.step(hours=3)
    window = Backfill("property", county.stamp(hours=60), county.stamp(hours=43))
    request = steps.RunRequest("backfill", "test", window=window)
    run_id = steps.plan(county.config, county.source, county.target, request).run_id
    county.extract(run_id, "property")
    county.validate(run_id, "property")
    county.publish(run_id)
    county.change("property", 10, at=None, City="Finley")
    assert county.certify(run_id).state == "drift"


def test_an_offset_moves_no_bound(make_county: CountyMaker) -> None:
    """Case W7: a datetimeoffset on a server that is not on UTC; five hours back is beyond the overlap."""
    stamps = SqlType("datetimeoffset", scale=3)
    county = make_county(engine=new_engine(retype("Property", LastModified=stamps)))
    hours = county.clock.instant().offset_minutes // 60
    assert hours < -5, "the server is that far from UTC"
    zone = f" {hours:+03d}:00"
    county.add("property", *range(10), at=county.stamp(minutes=10) + zone)
    run_id = county.stage("full")
    county.publish(run_id)
    county.change("property", 3, at=county.stamp(hours=5) + zone, City="Finley")
    assert county.certify(run_id).state == "drift"


def test_a_guid_kept_as_text_without_dashes_is_found_again(make_county: CountyMaker) -> None:
    """Case K4: a change in the overlap is the next run's, however the key is spelt."""
    county = make_county(engine=new_engine(retype("Property", PropertyID=SqlType("varchar", 40))))
    keys = [key("property", number).replace("-", "") for number in range(5)]
    for number, text in enumerate(keys):
        county.add("property", number, PropertyID=text, at=county.stamp(minutes=5))
    run_id = county.stage("full")
    county.publish(run_id)
    county.pacs(
        f"UPDATE [dbo].[Property] SET [City] = 'Finley', [LastModified] = '{county.stamp(minutes=2)}' "
        f"WHERE [PropertyID] = '{keys[3]}'"
    )
    certificate = county.certify(run_id)
    assert certificate.state == "clean"
    assert certificate_of(certificate, "property").newer == 1


@pytest.mark.parametrize("hours", [0, 50])
def test_pending_rows_that_come_back_leave_their_set(make_county: CountyMaker, hours: int) -> None:
    """Case G11: one of a set that nobody decided on is at the source again, in the window or stamped before it."""
    county = make_county()
    county.add("property", *range(200))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(100))
    county.reconcile()
    county.clock.step(hours=3)
    county.add("property", 5, at=county.stamp(hours=hours), City="Back")
    county.clock.step(minutes=5)
    assert county.sync()[1].state == "pending"
    (pending,) = county.pending("property")
    assert pending["row_count"] == 99
    assert county.rows("property")[key("property", 5)]["city"] == "Back"
    county.clock.step(hours=20)
    assert county.sync()[1].state == "pending", "once the row has left the window"


def test_pending_rows_that_all_come_back_leave_no_set(make_county: CountyMaker) -> None:
    county = make_county(sections={"delete_guard": {"max_rows": 5, "max_percent": 1.0}})
    county.add("property", *range(60), at=county.stamp(hours=9))
    county.add("property", 1000, at=county.stamp(minutes=3))
    county.sync()
    county.clock.step(hours=20)
    county.remove("property", *range(30))
    assert county.sync()[1].state == "pending"
    county.add("property", *range(30), at=county.stamp(), City="Back")
    county.clock.step(minutes=5)
    county.sync()
    county.clock.step(hours=5)
    county.change("property", 1000)
    county.clock.step(minutes=5)
    assert county.sync()[1].state == "clean"
    assert county.pending("property") == []
    assert county.rows("property")[key("property", 7)]["city"] == "Back"


def unstamped() -> Pacs:
    """A county whose software leaves some rows without a stamp."""
    table = retype("Property")
    columns = (replace(c, nullable=c.nullable or c.name == "LastModified") for c in table.columns)
    return new_engine(replace(table, columns=tuple(columns)))


def test_a_row_without_a_stamp_that_is_lost_in_the_target_is_not_newer(make_county: CountyMaker) -> None:
    """Case C16: a feed shows every change, with a stamp or without; what it does not show is drift."""
    county = make_county(engine=unstamped())
    with tracking.tracked(county):
        county.add("property", 1, 2, 3)
        county.add("property", 6, LastModified=None)
        assert county.sync()[1].state == "clean"
        county.sql(f"DELETE FROM {county.partition('property')} WHERE property_id = %s", key("property", 6))
        part = certificate_of(county.sync()[1], "property")
        assert (part.state, part.sample_keys) == ("drift", (f"missing:{key('property', 6)}",))


def test_a_rollback_keeps_that_the_feed_was_lost(make_county: CountyMaker) -> None:
    """Case 87: the cursor from before the undone run was stored when nobody knew of the loss."""
    county = make_county(sections={"history": {"enabled": True}})
    with tracking.tracked(county):
        county.add("property", 1, 2, 3)
        county.sync()
        county.change("property", 1, City="Finley")
        wrong = county.sync()[0].run_id
        county.target.runs.distrust_feed(county.fips, "property")
        steps.rollback(county.config, county.target, run_id=wrong, actor="ann", trigger="test")
        steps.resume(county.config, county.target, actor="ann")
        outcome, _ = county.sync()
        assert county.plan_of(outcome.run_id, "property").mode == "full"
        assert county.row("property", 1)["city"] == "Finley"
