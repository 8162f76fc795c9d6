"""Deletes: soft ones travel, hard ones become tombstones, too many wait for a person (correctness.md A3)."""

from __future__ import annotations

import hashlib

import pytest

from tests.integration.conftest import CountyMaker
from tests.support.county import County, key, of


def test_a_soft_delete(county: County) -> None:
    """Case 29: an inactive row is a row: it arrives with is_active false."""
    county.add("property", 1, 2)
    county.add("property", 3, IsActive=0)
    county.sync()
    assert county.row("property", 3)["is_active"] is False
    county.clock.step(hours=3)
    county.change("property", 1, IsActive=0)
    county.clock.step(minutes=2)
    _, certificate = county.sync()
    assert county.row("property", 1)["is_active"] is False
    assert certificate.clean


def test_an_undelete(county: County) -> None:
    """Case 30: a row that becomes active again is the same row, with its history."""
    county.add("property", 1, IsActive=0)
    county.sync()
    before = county.row("property", 1)
    county.clock.step(hours=3)
    county.change("property", 1, IsActive=1)
    county.clock.step(minutes=2)
    county.sync()
    after = county.row("property", 1)
    assert after["is_active"] is True
    assert after["_first_seen_at"] == before["_first_seen_at"]


@pytest.mark.parametrize("by", ["its cursor", "a reconcile"])
def test_a_hard_delete(county: County, by: str) -> None:
    """Case 31: no stamp shows a row that is gone, the count of the source does: the run itself leaves a
    tombstone, whichever way it reads.
    """
    county.add("property", 1, 2, 3)
    county.sync()
    county.remove("property", 2)
    county.clock.step(hours=3)
    if by == "its cursor":
        published, certificate = county.sync()
    else:
        published, certificate = county.reconciled()
        assert of(published, "property").sample_keys == (f"extra_in_target:{key('property', 2)}",)
    outcome = of(published, "property")
    assert (outcome.mode, outcome.deleted) == ("window" if by == "its cursor" else "full", 1)
    assert certificate.clean
    assert set(county.rows("property")) == {key("property", 1), key("property", 3)}
    assert county.rows("property", deleted=True)[key("property", 2)]["parcel_number"] == "1-00002"
    assert county.reconcile().clean


def test_a_full_run_finds_hard_deletes_itself(make_county: CountyMaker) -> None:
    """Case 31: where every run reads the table whole, the run itself leaves the tombstone."""
    county = make_county(enable_cdc=False)
    county.add("property", 1, 2, 3)
    county.sync()
    county.remove("property", 2)
    published, certificate = county.sync()
    assert of(published, "property").deleted == 1
    assert certificate.clean
    assert set(county.rows("property", deleted=True)) == {key("property", 2)}


@pytest.mark.parametrize("seen", [False, True], ids=["between-runs", "after-the-tombstone"])
def test_delete_and_insert_again(county: County, seen: bool) -> None:
    """Case 33: the same key deleted and inserted again is one live row with the new values and no tombstone."""
    county.add("property", 1, 2)
    county.sync()
    county.remove("property", 1)
    if seen:
        county.reconcile()
        assert key("property", 1) in county.rows("property", deleted=True)
    county.clock.step(hours=3)
    county.add("property", 1, at=county.stamp(), City="Finley")
    county.clock.step(minutes=2)
    _, certificate = county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    assert not county.rows("property", deleted=True)
    assert certificate.clean


def test_the_same_row_inserted_again(county: County) -> None:
    """Case 33: a row that comes back as it was is live again: equal values are no reason to leave the
    tombstone.
    """
    county.add("property", 1, 2, at="2026-01-15 04:00:00.000")
    county.sync()
    county.remove("property", 1)
    county.reconcile()
    county.add("property", 1, at="2026-01-15 04:00:00.000")
    county.sync(mode="full")
    assert key("property", 1) in county.rows("property")
    assert not county.rows("property", deleted=True)


def test_insert_and_delete_between_runs(county: County) -> None:
    """Case 34: a row that came and went is no row and no error."""
    county.add("property", 1)
    county.sync()
    county.add("property", 2, at=county.stamp())
    county.remove("property", 2)
    county.clock.step(minutes=10)
    _, certificate = county.sync()
    assert set(county.rows("property")) == {key("property", 1)}
    assert certificate.clean


def test_a_key_that_changes(county: County) -> None:
    """Case 35: a row that gets another key is one live row in the end; the old key is a tombstone."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, PropertyID=key("property", 9))
    county.clock.step(minutes=2)
    county.sync()
    county.reconcile()
    assert set(county.rows("property")) == {key("property", 2), key("property", 9)}
    assert set(county.rows("property", deleted=True)) == {key("property", 1)}


def test_a_row_inserted_while_reconcile_reads(county: County) -> None:
    """Case 37: a row that appears after the first look is never taken for a row too many."""
    county.add("property", 1, 2)
    county.sync()
    county.remove("property", 2)

    def insert(sql: str) -> None:
        county.source.after_stream = None
        county.add("property", 3, at=county.stamp())

    county.source.after_stream = insert
    county.reconcile()
    county.clock.step(minutes=5)
    county.sync()
    assert set(county.rows("property")) == {key("property", 1), key("property", 3)}


def hidden_once(county: County, number: int) -> None:
    """One read passes the row by, as a scan may that meets a moving row; it is there again right after."""

    def hide(sql: str) -> None:
        county.source.before_stream = None
        county.remove("property", number)

    def show(sql: str) -> None:
        county.source.after_stream = None
        county.add("property", number, at="2026-01-15 04:00:00.000")

    county.source.before_stream, county.source.after_stream = hide, show


def test_a_read_that_misses_a_row(county: County) -> None:
    """Case 38: a key that one read passed by is looked up again before anything is deleted; in reconcile and
    in a full run.
    """
    county.add("property", 1, 2, at="2026-01-15 04:00:00.000")
    county.sync()
    hidden_once(county, 2)
    published, certificate = county.reconciled()
    assert of(published, "property").sample_keys == (f"extra_in_target:{key('property', 2)}",)
    assert of(published, "property").changed == 0
    assert certificate.clean
    hidden_once(county, 2)
    published, _ = county.sync(mode="full")
    assert of(published, "property").deleted == 0
    assert len(county.rows("property")) == 2


def test_an_empty_source_waits_for_a_person(county: County) -> None:
    """Case 39: a source without a single row deletes nothing, however few rows the target has; neither does
    its reconcile.
    """
    county.add("property", *range(5))
    county.sync()
    county.remove("property", *range(5))
    published, certificate = county.sync(mode="full")
    assert of(published, "property").pending_deletes == 5
    assert certificate.state == "pending"
    assert len(county.rows("property")) == 5
    assert county.reconcile().state == "pending"
    assert len(county.rows("property")) == 5


def test_too_many_deletes_wait_for_a_person(make_county: CountyMaker) -> None:
    """Case 40: more deletes than the guard allows are kept with their keys and digest; the upserts of the run
    are published all the same.
    """
    county = make_county()
    county.add("property", *range(60))
    county.sync()
    gone = range(30)
    county.remove("property", *gone)
    county.change("property", 40, City="Finley")
    published, certificate = county.sync(mode="full")
    assert of(published, "property").pending_deletes == 30
    assert of(published, "property").deleted == 0
    assert certificate.state == "pending"
    part = of(certificate, "property")
    assert (part.source_rows, part.target_rows, part.equal, part.pending_deletes) == (30, 60, 30, 30)
    assert county.row("property", 40)["city"] == "Finley"
    assert len(county.rows("property")) == 60
    (pending,) = county.pending("property")
    keys = sorted(key("property", number) for number in gone)
    assert (pending["row_count"], pending["live_count"]) == (30, 60)
    assert bytes(pending["digest"]) == hashlib.sha256(",".join(keys).encode()).digest()
    rows = county.sql(
        "SELECT source_key FROM pacs_ops.pending_delete_key WHERE pending_id = %s", pending["pending_id"]
    )
    assert sorted(row["source_key"] for row in rows) == keys


@pytest.mark.parametrize(
    ("rows", "percent", "gone", "waits"),
    [(2, 0.0, 2, False), (2, 0.0, 3, True), (0, 10.0, 6, False), (0, 10.0, 7, True)],
)
def test_the_guard_takes_the_larger_bound(
    make_county: CountyMaker, rows: int, percent: float, gone: int, waits: bool
) -> None:
    """Case 40: a run deletes up to the larger of both bounds, and not one more."""
    county = make_county(sections={"delete_guard": {"max_rows": rows, "max_percent": percent}})
    county.add("property", *range(60))
    county.sync()
    county.remove("property", *range(gone))
    published, _ = county.sync(mode="full")
    assert (of(published, "property").deleted, of(published, "property").pending_deletes) == (
        (0, gone) if waits else (gone, 0)
    )


def test_the_guard_counts_the_whole_run(county: County) -> None:
    """Case 41: many small batches are one run: 30 deletes of 60 rows wait, though each batch has fewer
    than the bound.
    """
    county.source.batch_rows = 10
    county.add("property", *range(60))
    county.sync()
    county.remove("property", *range(30))
    published, _ = county.sync(mode="full")
    assert of(published, "property").pending_deletes == 30


@pytest.mark.parametrize("how", ["sync", "full", "reconcile"])
@pytest.mark.parametrize("days", [7, 0], ids=["over-a-week", "per-run"])
def test_all_runs_share_one_guard(make_county: CountyMaker, how: str, days: int) -> None:
    """Case 41: what one run deleted counts when the next of whatever kind would delete more; with no window of
    days each run stands alone.
    """
    county = make_county(sections={"delete_guard": {"window_days": days}})
    county.add("property", *range(60))
    county.sync()
    county.remove("property", *range(20))
    first, _ = county.sync(mode="full")
    assert (of(first, "property").deleted, of(first, "property").pending_deletes) == (20, 0)
    county.remove("property", *range(20, 40))
    published, certificate = (
        county.reconciled() if how == "reconcile" else county.sync(mode="full" if how == "full" else "auto")
    )
    waits = days > 0
    outcome = of(published, "property")
    assert (outcome.deleted, outcome.pending_deletes) == ((0, 20) if waits else (20, 0))
    assert certificate.state == ("pending" if waits else "clean")
    assert len(county.rows("property")) == (40 if waits else 20)


def test_certify_deletes_nothing(county: County) -> None:
    """Cases 41, 123: rows that go after the run has read are the next run's: the certificate keeps and counts
    them, and writes nothing.
    """
    county.add("property", *range(60))
    county.sync()
    run_id = county.stage(mode="full")
    county.publish(run_id)
    county.remove("property", *range(20))
    certificate = county.certify(run_id)
    part = of(certificate, "property")
    assert (part.state, part.source_rows, part.equal, part.kept) == ("clean", 40, 40, 20)
    assert len(county.rows("property")) == 60
    published, certificate = county.sync()
    assert of(published, "property").deleted == 20
    assert certificate.clean


def test_a_pending_row_that_comes_back(county: County) -> None:
    """Cases 33, 40: a row that waits for a person and is at the source again is a row like any other: no
    certificate counts it as pending, in the run that reads it or in later ones.
    """
    county.add("property", *range(60))
    county.sync()
    county.remove("property", *range(30))
    assert county.sync()[1].state == "pending"
    county.clock.step(hours=3)
    county.add("property", 3, at=county.stamp(), City="Finley")
    county.clock.step(minutes=2)
    for how in ("auto", "auto", "full", "auto"):
        _, certificate = county.sync(mode=how)
        county.clock.step(hours=5)
        part = of(certificate, "property")
        assert (part.state, part.source_rows, part.equal, part.pending_deletes) == ("pending", 31, 31, 29)
    assert county.row("property", 3)["city"] == "Finley"


def test_a_truncated_table(county: County) -> None:
    """Case 42: a TRUNCATE shows in no window; the count of the source finds it, and nothing goes without a
    person.
    """
    county.add("property", *range(30))
    county.sync()
    county.remove("property", *range(30))
    county.clock.step(hours=3)
    for certificate in (county.sync()[1], county.reconcile(), county.sync()[1]):
        assert (certificate.state, of(certificate, "property").pending_deletes) == ("pending", 30)
    assert len(county.rows("property")) == 30


def test_rows_switched_out(county: County) -> None:
    """Case 43: rows that leave without a trace, as a switched partition does, are found by the comparison."""
    county.add("property", *range(30))
    county.sync()
    county.remove("property", 4, 5)
    published, certificate = county.reconciled()
    assert certificate.clean
    assert set(of(published, "property").sample_keys) == {
        f"extra_in_target:{key('property', 4)}",
        f"extra_in_target:{key('property', 5)}",
    }
    assert len(county.rows("property")) == 28
