"""Approvals: a pending set with its digest; one decision, bound to the keys that were shown."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.records import DeleteBounds, PendingDeletes
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.conformance.county import OWNER, PROPERTY, StagedCounty, key, row


@pytest.fixture
def pending(county: StagedCounty) -> PendingDeletes:
    """Two of four rows are gone, and the guard allows none."""
    county.load(1, 2, 3, 4)
    county.bounds = DeleteBounds(0, 0.0, 0)
    return set_aside(county, 2, 3)


def set_aside(county: StagedCounty, *numbers: int) -> PendingDeletes:
    plan = county.plan(mode="window")
    county.stage(plan, [], gone=[key(number) for number in numbers])
    county.publish(plan)
    (made,) = county.target.approvals.pending(county.fips)
    return made


def apply(county: StagedCounty, pending: PendingDeletes, **staged: list[str]) -> int:
    """The run of an approval: the keys are looked at again, and what is still gone is published."""
    keys = county.target.approvals.keys(pending.pending_id)
    plan = county.plan(kind="approval", mode="keys", keys=tuple(keys), pending_ids=(pending.pending_id,))
    gone = staged.get("gone", keys)
    county.stage(plan, [row(number) for number in (2, 3) if key(number) not in gone], gone=gone)
    return county.publish(plan, actor="an assessor").entities[0].deleted


def test_a_set_has_its_keys_counts_and_digest(county: StagedCounty, pending: PendingDeletes) -> None:
    assert (pending.entity, pending.row_count, pending.live_count, pending.state) == (
        "property",
        2,
        4,
        "pending",
    )
    assert sorted(county.target.approvals.keys(pending.pending_id)) == sorted([key(2), key(3)])
    shown = county.target.approvals.pending_set(county.fips, pending.pending_id, pending.digest)
    assert shown == pending


def test_an_approved_set_is_applied_once(county: StagedCounty, pending: PendingDeletes) -> None:
    assert apply(county, pending) == 2
    assert county.target.certifier.live_rows(PROPERTY, county.fips) == 2
    assert county.target.approvals.pending(county.fips) == []
    with pytest.raises(ConflictError):
        county.target.approvals.pending_set(county.fips, pending.pending_id, pending.digest)


def test_a_row_that_came_back_stays(county: StagedCounty, pending: PendingDeletes) -> None:
    assert apply(county, pending, gone=[key(2)]) == 1
    assert county.target.certifier.live_rows(PROPERTY, county.fips) == 3


def test_another_digest_is_refused(county: StagedCounty, pending: PendingDeletes) -> None:
    with pytest.raises(ConflictError):
        county.target.approvals.pending_set(county.fips, pending.pending_id, "00" * 32)
    with pytest.raises(ConflictError):
        county.target.approvals.reject(county.fips, pending.pending_id, "00" * 32, "an assessor")
    assert county.target.approvals.pending(county.fips) == [pending]


def test_another_countys_set_is_refused(county: StagedCounty, pending: PendingDeletes) -> None:
    with pytest.raises(ConflictError):
        county.target.approvals.pending_set("00000", pending.pending_id, pending.digest)


def test_a_rejected_set_leaves_its_rows(county: StagedCounty, pending: PendingDeletes) -> None:
    approvals = county.target.approvals
    assert approvals.reject(county.fips, pending.pending_id, pending.digest, "an assessor") == "property"
    assert approvals.pending(county.fips) == []
    assert county.target.certifier.live_rows(PROPERTY, county.fips) == 4
    with pytest.raises(ConflictError):
        approvals.reject(county.fips, pending.pending_id, pending.digest, "an assessor")
    assert set_aside(county, 2, 3).pending_id != pending.pending_id, "the next run sets them aside again"


def test_a_set_that_was_replaced_can_not_be_applied(county: StagedCounty, pending: PendingDeletes) -> None:
    replacing = set_aside(county, 2, 3, 4)
    assert (replacing.row_count, replacing.digest == pending.digest) == (3, False)
    with pytest.raises(ConflictError):
        apply(county, pending)
    assert county.target.certifier.live_rows(PROPERTY, county.fips) == 4


def test_a_decision_is_in_the_audit_with_who_decided(county: StagedCounty, pending: PendingDeletes) -> None:
    county.target.approvals.reject(county.fips, pending.pending_id, pending.digest, "Ann Lee")
    (newest,) = county.target.runs.audit_rows(county.fips, 1)
    assert newest.action == "deletes.rejected"
    assert newest.details["by"] == "Ann Lee"


def test_children_of_a_deleted_parent_are_listed(county: StagedCounty) -> None:
    plan = county.plan("property", "owner")
    county.stage(plan, [row(1), row(2)])
    county.stage(plan, [(key(1001), key(1), "Ann", "1"), (key(1002), key(2), "Bo", "1")], entity="owner")
    county.publish(plan)
    assert county.target.approvals.orphans(county.fips) == []
    plan = county.plan(mode="window")
    county.stage(plan, [], gone=[key(2)])
    county.publish(plan)
    (left,) = county.target.approvals.orphans(county.fips)
    assert (left.entity, left.source_key, left.parent, left.parent_key) == (
        "owner",
        key(1002),
        "property",
        key(2),
    )
    assert county.target.certifier.live_rows(OWNER, county.fips) == 2
