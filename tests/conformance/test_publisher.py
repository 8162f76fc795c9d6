"""Publisher: one transaction for rows, tombstones, quarantine, cursors and pending deletes; fenced, and never twice."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.records import DeleteBounds
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.conformance.county import OWNER, PROPERTY, StagedCounty, key, row

NO_CITY = [("F9.9", "s.city IS NULL")]


def live(county: StagedCounty) -> int:
    return county.target.certifier.live_rows(PROPERTY, county.fips)


def test_a_first_load_inserts_every_row(county: StagedCounty) -> None:
    outcome = county.load(1, 2, 3)
    (done,) = outcome.entities
    assert (outcome.state, done.state, done.inserted, done.changed) == ("published", "published", 3, 3)
    assert live(county) == 3


def test_only_what_differs_is_written(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    plan = county.plan(mode="window")
    county.stage(plan, [row(1), row(2, "Finley"), row(4)])
    (done,) = county.publish(plan).entities
    assert (done.inserted, done.updated, done.deleted) == (1, 1, 0)
    assert county.compare([row(1), row(2, "Finley"), row(3), row(4)]).differences == ()


def test_publishing_again_does_nothing(county: StagedCounty) -> None:
    plan = county.plan()
    county.stage(plan, [row(1)])
    first, again = county.publish(plan), county.publish(plan)
    assert (first.already_published, again.already_published) == (False, True)
    assert first.entities == again.entities


def test_a_later_run_that_took_the_county_fences_an_earlier_one(county: StagedCounty) -> None:
    county.load(1)
    earlier = county.plan()
    county.stage(earlier, [row(1, "stale")])
    county.plan()
    with pytest.raises(ConflictError):
        county.publish(earlier)
    assert county.compare([row(1)]).equal == 1


def test_rows_without_a_verdict_are_not_published(county: StagedCounty) -> None:
    """The verdict is bound to the table and its rows: another table, or another number of rows, is not it."""
    county.load(1)
    plan = county.plan()
    table = county.stage(plan, [row(1, "Finley")])
    county.fill(table, [row(2), row(3)], append=True)
    (done,) = county.publish(plan).entities
    assert (done.state, done.changed) == ("failed", 0)
    assert county.compare([row(1)]).equal == 1


def test_a_blocked_entity_keeps_its_last_good_data(county: StagedCounty) -> None:
    county.load(1)
    plan = county.plan()
    table = county.stage(plan, [row(1, "Finley")])
    county.pass_(plan, table, blocked="F1.1 broken")
    outcome = county.publish(plan)
    assert [(each.entity, each.state) for each in outcome.blocked] == [("property", "blocked")]
    assert county.compare([row(1)]).equal == 1


def test_a_row_that_is_gone_becomes_a_tombstone_and_may_come_back(county: StagedCounty) -> None:
    county.load(1, 2)
    plan = county.plan(mode="window")
    county.stage(plan, [], gone=[key(2)])
    assert county.publish(plan).entities[0].deleted == 1
    assert live(county) == 1
    plan = county.plan(mode="window")
    county.stage(plan, [row(2)])
    assert county.publish(plan).entities[0].updated == 1, "the same row lives again"
    assert live(county) == 2


def test_a_bad_row_goes_to_quarantine_and_its_last_good_version_stays(county: StagedCounty) -> None:
    county.load(1, 2)
    plan = county.plan()
    county.stage(plan, [row(1), row(2, None)], rejects=NO_CITY)
    assert county.publish(plan).entities[0].quarantined == 1
    (open_,) = county.target.approvals.quarantine(county.fips)
    assert (open_.source_key, open_.rules, open_.entity) == (key(2), ["F9.9"], "property")
    assert live(county) == 2
    assert county.target.staging.quarantined_keys(PROPERTY, county.fips) == [key(2)]

    plan = county.plan()
    county.stage(plan, [row(1), row(2, "Finley")])
    (done,) = county.publish(plan).entities
    assert (done.updated, done.released) == (1, 1)
    assert county.target.approvals.quarantine(county.fips) == []


def test_a_child_waits_for_its_parent_and_attaches_when_it_is_there(county: StagedCounty) -> None:
    owners = [(key(1001), key(1), "Ann", "1"), (key(1002), key(2), "Bo", "1")]
    plan = county.plan("property", "owner")
    county.stage(plan, [row(1)])
    county.stage(plan, owners, entity="owner")
    done = {each.entity: each for each in county.publish(plan).entities}
    assert (done["owner"].inserted, done["owner"].quarantined) == (1, 1)
    assert county.target.certifier.live_rows(OWNER, county.fips) == 1

    plan = county.plan("property", "owner")
    county.stage(plan, [row(1), row(2)])
    county.stage(plan, owners, entity="owner")
    done = {each.entity: each for each in county.publish(plan).entities}
    assert (done["owner"].inserted, done["owner"].released) == (1, 1)


def test_more_deletes_than_the_guard_allows_wait_for_a_person(county: StagedCounty) -> None:
    county.load(1, 2, 3, 4)
    county.bounds = DeleteBounds(1, 0.0, 0)
    plan = county.plan(mode="window")
    county.stage(plan, [row(1, "Finley")], gone=[key(2), key(3)])
    (done,) = county.publish(plan).entities
    assert (done.updated, done.deleted, done.pending_deletes) == (1, 0, 2)
    assert live(county) == 4


def test_the_guard_counts_the_deletes_of_its_days(county: StagedCounty) -> None:
    county.load(*range(1, 11))
    county.bounds = DeleteBounds(2, 0.0, 7)
    for gone, deleted in ((1, 1), (2, 1), (3, 0)):
        plan = county.plan(mode="window")
        county.stage(plan, [], gone=[key(gone)])
        assert county.publish(plan).entities[0].deleted == deleted
    assert live(county) == 8


def test_an_empty_source_deletes_nothing(county: StagedCounty) -> None:
    county.load(1, 2)
    plan = county.plan()
    county.stage(plan, [], gone=[key(1), key(2)])
    (done,) = county.publish(plan).entities
    assert (done.deleted, done.pending_deletes) == (0, 2)


def test_an_unfinished_entity_is_left_out_and_said_so(county: StagedCounty) -> None:
    plan = county.plan("property", "owner")
    county.stage(plan, [row(1)])
    done = {each.entity: each for each in county.publish(plan).entities}
    assert done["property"].state == "published"
    assert (done["owner"].state, bool(done["owner"].message)) == ("failed", True)
    assert "owner" not in county.target.runs.cursors(county.fips)


def test_counties_do_not_touch_each_other(county: StagedCounty) -> None:
    other = StagedCounty(county.target)
    county.load(1, 2)
    other.load(1, 2, 3)
    plan = county.plan(mode="window")
    county.stage(plan, [], gone=[key(1)])
    county.publish(plan)
    assert (live(county), live(other)) == (1, 3)
