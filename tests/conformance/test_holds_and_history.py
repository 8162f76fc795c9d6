"""Holds and History: nothing is published into a county on hold; what publish changed can be told and proposed back."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.records import RollbackScope
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.conformance.county import PROPERTY, WIDE, StagedCounty, key, row


def publish(county: StagedCounty, numbers: dict[int, str], mode: str = "window") -> str:
    """A run with a history; returns its id."""
    plan = county.plan(mode=mode)
    county.stage(plan, [row(number, city) for number, city in numbers.items()])
    county.target.publisher.publish(plan.run_id, WIDE, {}, history=True)
    county.issue(plan)
    return plan.run_id


def test_a_county_on_hold_takes_no_publish_until_it_is_lifted(county: StagedCounty) -> None:
    plan = county.plan()
    county.stage(plan, [row(1)])
    placed = county.target.holds.place(county.fips, "a reason", "ann")
    assert county.target.holds.current(county.fips) == placed
    assert county.target.holds.place(county.fips, "another", "bob").reason == "a reason"
    with pytest.raises(ConflictError, match="a reason"):
        county.publish(plan)
    assert county.target.holds.lift(county.fips, "bob").resumed_by == "bob"
    assert county.target.holds.current(county.fips) is None
    with pytest.raises(ConflictError):
        county.target.holds.lift(county.fips, "bob")
    assert county.publish(plan).state == "published"


def test_changes_of_a_row_are_listed_newest_first_without_values(county: StagedCounty) -> None:
    publish(county, {1: "Prosser", 2: "Prosser"}, "full")
    second = publish(county, {1: "Finley", 2: "Prosser"})
    changes = county.target.history.changes(county.fips, key(1), 10)
    assert [(each.op, each.changed) for each in changes] == [("U", ["city"]), ("I", [])]
    assert str(changes[0].run_id) == second
    ((before, after), _) = county.target.history.images(county.fips, key(1), 10)
    assert before is not None
    assert after is not None
    assert (before["city"], after["city"]) == ("Prosser", "Finley")
    assert county.target.history.changes(county.fips, key(99), 10) == []
    assert county.target.history.prunable(county.fips, "property", 1) == 0


def test_a_rollback_is_proposed_and_its_images_are_staged(county: StagedCounty) -> None:
    publish(county, {1: "Prosser"}, "full")
    wrong = publish(county, {1: "Finley", 2: "Pasco"})
    scope = RollbackScope(wrong)
    proposal = county.target.history.propose(county.fips, scope, WIDE)
    (each,) = proposal.entities
    assert (each.restored, each.removed, each.leaving, each.live) == (1, 1, 1, 2)
    assert (proposal.conflict_count, proposal.needs_digest) == (0, False)
    assert county.target.history.rolled_back_by(wrong) is None
    assert county.target.history.stage(PROPERTY, county.fips, "images_of_a_test", scope) == 2
    assert county.target.history.compare(PROPERTY, county.fips, "images_of_a_test") == (0, 1, 0, 1)
    with pytest.raises(ConflictError):
        county.target.history.propose("99999", scope, WIDE)
