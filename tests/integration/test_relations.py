"""Parents, children and neighbouring counties (correctness.md A9)."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.runtime.errors import PacsError
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, key, of


@pytest.fixture
def related(make_county: CountyMaker) -> County:
    """A county with properties and owners."""
    return make_county(["property", "owner"])


def test_a_child_before_its_parent(related: County) -> None:
    """Case 113: an owner without a property waits, and attaches in the run in which the property arrives;
    nobody touches the owner for it.
    """
    related.add("property", 1)
    related.add("owner", 1, of=1)
    related.add("owner", 2, of=2)
    published, certificate = related.sync()
    assert of(published, "owner").quarantined == 1
    assert related.quarantine("owner") == {key("owner", 2): ["F2.15"]}
    assert certificate.clean
    assert of(certificate, "owner").missing == 0
    related.clock.step(hours=5)
    related.add("property", 2, at=related.stamp())
    related.clock.step(minutes=2)
    published, certificate = related.sync()
    assert of(published, "owner").released == 1
    assert not related.quarantine("owner")
    assert str(related.row("owner", 2)["property_id"]) == key("property", 2)
    assert certificate.clean


def test_a_window_does_not_miss_what_waits(related: County) -> None:
    """Cases 113, 122: a row that waits in quarantine is no difference of the window that it came in, and
    nothing is read again for it.
    """
    related.add("property", 1)
    related.add("owner", 1)
    related.sync()
    related.clock.step(hours=5)
    related.add("owner", 2, of=2, at=related.stamp())
    related.clock.step(minutes=2)
    published, certificate = related.sync()
    part = of(certificate, "owner")
    assert of(published, "owner").mode == "window"
    assert (part.covered, part.missing, part.differing, part.waiting, part.quarantined) == (
        "window",
        0,
        0,
        1,
        0,
    )
    assert certificate.clean


def test_a_waiting_child_that_is_deleted(related: County) -> None:
    """Case 113: a child that goes while it waits, leaves the queue."""
    related.add("property", 1)
    related.add("owner", 2, of=2)
    related.sync()
    related.remove("owner", 2)
    related.clock.step(hours=5)
    _, certificate = related.sync()
    assert not related.quarantine("owner")
    assert certificate.clean


def test_the_parent_deleted_while_the_child_lives(related: County) -> None:
    """Case 114: a parent's tombstone is never cascaded: the child stays as it was, and is flagged when it is
    read again.
    """
    related.add("property", 1, 2)
    related.add("owner", 1, 2)
    related.sync()
    related.remove("property", 2)
    related.reconcile()
    assert set(related.rows("property")) == {key("property", 1)}
    assert set(related.rows("owner")) == {key("owner", 1), key("owner", 2)}
    related.sync(mode="full")
    assert related.quarantine("owner") == {key("owner", 2): ["F2.15"]}
    assert key("owner", 2) in related.rows("owner")


def test_a_child_that_a_reconcile_brings_waits_too(related: County) -> None:
    """Case 113: what a comparison brings goes the same way: a child whose parent is not there is not slipped
    into the target.
    """
    related.add("property", 1)
    related.add("owner", 1)
    related.sync()
    related.add("owner", 2, of=2, at="2026-01-15 03:00:00.000")
    related.sql(
        "UPDATE pacs_ops.sync_state SET watermark = '2026-01-15 05:58:00.000' WHERE county_id = %s",
        related.fips,
    )
    related.clock.step(hours=5)
    published, certificate = related.reconciled()
    assert of(published, "owner").sample_keys == (f"missing:{key('owner', 2)}",)
    assert (of(published, "owner").inserted, of(certificate, "owner").waiting) == (0, 1)
    assert set(related.rows("owner")) == {key("owner", 1)}
    assert related.quarantine("owner") == {key("owner", 2): ["F2.15"]}
    assert certificate.clean


def test_an_owner_moves(related: County) -> None:
    """Case 115: an owner assigned to another property has one link, the new one."""
    related.add("property", 1, 2)
    related.add("owner", 1, of=1)
    related.sync()
    related.clock.step(hours=3)
    related.change("owner", 1, PropertyID=key("property", 2))
    related.clock.step(minutes=2)
    _, certificate = related.sync()
    links = [str(row["property_id"]) for row in related.rows("owner").values()]
    assert links == [key("property", 2)]
    assert certificate.clean


@pytest.mark.parametrize("full", [False, True], ids=["by its cursor", "in full"])
def test_an_owner_moves_to_a_property_that_is_not_there_yet(related: County, full: bool) -> None:
    """Case 115: the owner waits, and its old link is closed meanwhile, not kept; it has one link again when
    the property arrives.
    """
    related.add("property", 1)
    related.add("owner", 1, 3, of=1)
    related.sync()
    related.clock.step(hours=3)
    related.change("owner", 1, PropertyID=key("property", 2))
    related.clock.step(minutes=2)
    published, certificate = related.sync("full" if full else "auto")
    assert (of(published, "owner").quarantined, of(published, "owner").deleted, certificate.clean) == (
        1,
        1,
        True,
    )
    assert related.quarantine("owner") == {key("owner", 1): ["F2.15"]}
    assert set(related.rows("owner")) == {key("owner", 3)}
    assert not related.pending("owner")
    published, certificate = (
        related.sync()
    )  # nothing happened meanwhile: it still waits, and nothing is written
    assert (of(published, "owner").changed, certificate.clean) == (0, True)
    related.add("property", 2, at=related.stamp())
    related.clock.step(minutes=2)
    published, certificate = related.sync()
    assert (of(published, "owner").released, certificate.clean) == (1, True)
    assert [str(related.row("owner", 1)[name]) for name in ("property_id", "_deleted_at")] == [
        key("property", 2),
        "None",
    ]
    assert related.reconcile().clean


def test_a_reconcile_closes_the_old_link_too(related: County) -> None:
    """Case 115: a move that only a full comparison finds (its stamp did not move) is no different."""
    related.add("property", 1)
    related.add("owner", 1, 3, of=1)
    related.sync()
    related.change("owner", 1, at=None, PropertyID=key("property", 2))
    assert related.reconcile().clean
    assert set(related.rows("owner")) == {key("owner", 3)}
    assert related.quarantine("owner") == {key("owner", 1): ["F2.15"]}


def left_behind(related: County) -> dict[str, str]:
    """Child -> parent, as the view tells it."""
    orphans = related.target.approvals.orphans(related.fips)
    assert all((row.entity, row.parent) == ("owner", "property") and row.parent_deleted_at for row in orphans)
    return {row.source_key: row.parent_key for row in orphans}


def warned(related: County, run_id: str) -> tuple[bool, int, int]:
    """(success, owners evaluated, owners left behind) of the run's warning."""
    (row,) = related.sql(
        "SELECT * FROM pacs_ops.quality_result WHERE run_id = %s AND rule_id = 'F2.15-deleted'", run_id
    )
    assert (row["entity"], row["severity"], row["blocks"]) == ("owner", "warn", False)
    return row["success"], row["evaluated"], row["unexpected"]


def test_children_of_a_deleted_parent_are_flagged(related: County) -> None:
    """Case 114: never cascaded: the children stay to the byte, a warning of the run counts them and a view
    names them, until somebody acts.
    """
    related.add("property", 1, 2)
    related.add("owner", 1, 2)
    related.add("owner", 3, of=2)
    _, certificate = related.sync()
    assert warned(related, certificate.run_id) == (True, 3, 0)
    assert left_behind(related) == {}
    before = related.rows("owner")
    related.remove("property", 2)
    reconciled = related.reconcile()
    assert warned(related, reconciled.run_id) == (False, 3, 2)
    assert left_behind(related) == {key("owner", 2): key("property", 2), key("owner", 3): key("property", 2)}
    assert related.rows("owner") == before
    assert related.quarantine("owner") == {key("owner", 2): ["F2.15"], key("owner", 3): ["F2.15"]}
    part = of(reconciled, "owner")
    assert (reconciled.clean, part.equal, part.waiting, part.kept) == (True, 1, 2, 2)
    related.clock.step(hours=3)
    related.change("owner", 2, PropertyID=key("property", 1))
    related.remove("owner", 3)
    related.clock.step(minutes=2)
    _, certificate = related.sync()
    assert warned(related, certificate.run_id) == (True, 2, 0)
    assert left_behind(related) == {}


@pytest.mark.parametrize("how", ["auto", "full", "reconcile"])
def test_many_children_of_a_deleted_parent_block_nothing(related: County, how: str) -> None:
    """Case 114: children that stay under a parent that was deleted are no sign of parents that were not published,
    however many they are: they block no run.
    """
    related.add("property", 1, 2)
    related.add("owner", 0, of=1)
    related.add("owner", *range(1, 41), of=2)
    related.sync()
    related.remove("property", 2)
    for _ in range(2):
        published, certificate = related.reconciled() if how == "reconcile" else related.sync(mode=how)
        assert of(published, "owner").state == "published"
        assert certificate.clean
    assert len(related.rows("owner")) == 41


def test_a_reader_of_one_county_sees_no_other_in_the_view(make_county: CountyMaker) -> None:
    """Case 114: the view is read with the reader's own rights."""
    made = make_county(["property", "owner"])
    made.add("property", 1)
    made.sync()
    options = made.sql(
        "SELECT reloptions FROM pg_class WHERE oid = 'pacs_report.children_of_deleted'::regclass"
    )
    assert options == [{"reloptions": ["security_invoker=true"]}]


def test_parents_are_published_before_children(whole_county: County) -> None:
    """Case 113: one cut, parents first: a property and its children that come in one run need no second one."""
    for entity in ENTITIES:
        whole_county.add(entity, 1, 2)
    published, certificate = whole_county.sync()
    assert all(of(published, entity).inserted == 2 for entity in ENTITIES)
    assert certificate.clean
    whole_county.clock.step(hours=3)
    for entity in reversed(ENTITIES):
        whole_county.add(entity, 3, at=whole_county.stamp())
    whole_county.clock.step(minutes=2)
    published, _ = whole_county.sync()
    assert all(of(published, entity).inserted == 1 for entity in ENTITIES)


def test_two_counties_with_the_same_keys(make_county: CountyMaker) -> None:
    """Case 117: one GUID in two counties is two rows, and each county changes its own."""
    first, second = make_county(), make_county()
    first.add("property", 1)  # both read the same PACS here, so every key is the same
    first.sync()
    second.sync()
    links = first.sql(
        "SELECT county_id FROM pacs.property WHERE property_id = %s AND county_id IN (%s, %s)",
        key("property", 1),
        first.fips,
        second.fips,
    )
    assert len(links) == 2
    first.clock.step(hours=3)
    first.change("property", 1, City="Finley")
    first.clock.step(minutes=2)
    first.sync()
    assert (first.row("property", 1)["city"], second.row("property", 1)["city"]) == ("Finley", "Prosser")


def test_a_county_in_trouble_is_alone_with_it(make_county: CountyMaker) -> None:
    """Case 116: one county's open publish, failed preflight and quarantine neither stop nor change another's
    run.
    """
    first, second = make_county(), make_county()
    first.add("property", 1, 2)
    first.change("property", 2, Acreage=-1.0)
    run_id = first.stage()
    with first.target.connection.transaction():
        first.target.connection.execute(
            "SELECT FROM pacs_ops.county WHERE county_id = %s FOR UPDATE", (first.fips,)
        )
        _, certificate = second.sync()
    assert certificate.clean
    first.configure(tables={"property": {"table": "Parcels"}})
    with pytest.raises(PacsError, match=r"dbo\.Parcels"):
        first.sync()
    assert first.publish(run_id).state == "published"
    second.sync()
    assert (first.quarantine("property"), second.quarantine("property")) == (
        {key("property", 2): ["F1.5"]},
    ) * 2
    assert {
        row["epoch"]
        for row in second.sql("SELECT epoch FROM pacs_ops.county WHERE county_id = %s", second.fips)
    } == {2}
