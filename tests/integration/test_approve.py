"""Held deletes: shown, looked at again, applied once or let go (correctness.md A3 and C7; cases 40, 41)."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConflictError, RetryableError
from airflow_provider_pacs.sync.steps import approve
from tests.support.county import County, key


@pytest.fixture
def held_county(county: County) -> County:
    """Thirty of forty properties are gone at the source: more than a run may delete."""
    county.add("property", *range(40))
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "held"
    return county


def held_of(county: County) -> tuple[int, str]:
    (found,) = approve.held_sets(county.config, county.target)
    assert found["row_count"] == 30
    return found["held_id"], found["digest"]


def test_an_approved_set_is_applied_once(held_county: County) -> None:
    """Case 40: the decision is bound to the digest, and counts once."""
    held = held_of(held_county)
    (decision,) = approve.approve(
        held_county.config, held_county.source, held_county.target, held=[held], actor="ann", trigger="test"
    )
    assert (decision.state, decision.deleted, decision.kept) == ("applied", 30, 0)
    assert len(held_county.rows("property")) == 10
    assert len(held_county.rows("property", deleted=True)) == 30
    with pytest.raises(ConflictError, match="already applied"):
        approve.approve(
            held_county.config,
            held_county.source,
            held_county.target,
            held=[held],
            actor="ann",
            trigger="test",
        )
    assert held_county.reconcile().clean
    told = held_county.sql(
        "SELECT details FROM pacs_ops.audit WHERE county_id = %s AND action = 'held.applied'",
        held_county.fips,
    )
    assert [row["details"]["by"] for row in told] == ["ann"]


def test_a_row_that_came_back_is_kept(held_county: County) -> None:
    """Case 37: every key is looked up at the source once more before anything is deleted."""
    held = held_of(held_county)
    held_county.add("property", 3, City="Back Again")
    (decision,) = approve.approve(
        held_county.config, held_county.source, held_county.target, held=[held], actor="ann", trigger="test"
    )
    assert (decision.deleted, decision.kept) == (29, 1)
    assert held_county.row("property", 3)["city"] == "Back Again"


def test_a_decision_on_other_keys_is_refused(held_county: County) -> None:
    """Case 40: a digest that is not the set's."""
    held_id, _ = held_of(held_county)
    with pytest.raises(ConflictError, match="other keys"):
        approve.approve(
            held_county.config,
            held_county.source,
            held_county.target,
            held=[(held_id, "00" * 32)],
            actor="ann",
            trigger="test",
        )
    assert len(held_county.rows("property")) == 40


def test_a_newer_set_replaces_an_undecided_one(held_county: County) -> None:
    """Case 40: what is decided on is what was found last."""
    held = held_of(held_county)
    assert held_county.reconcile().state == "held"
    with pytest.raises(ConflictError, match="replaced"):
        approve.reject(held_county.config, held_county.target, held=[held], actor="ann")


def test_a_rejected_set_stays_and_is_held_again(held_county: County) -> None:
    (decision,) = approve.reject(
        held_county.config, held_county.target, held=[held_of(held_county)], actor="ann"
    )
    assert decision.state == "rejected"
    assert len(held_county.rows("property")) == 40
    assert not approve.held_sets(held_county.config, held_county.target)
    assert held_county.reconcile().state == "held"
    assert key("property", 0) in held_county.rows("property")


def test_a_reconcile_waits_for_a_sync_at_work(county: County) -> None:
    """Case 107: a reconcile that is due meanwhile does not take the county away; the next sync takes over
    from a run that was killed.
    """
    county.add("property", 1)
    county.sync()
    run_id = county.stage()
    with pytest.raises(RetryableError, match="at work") as refused:
        county.reconcile()
    assert refused.value.code == "PACS-008"
    county.publish(run_id)
    county.certify(run_id)
    assert county.reconcile().clean
    county.stage()
    county.sync()
    assert county.reconcile().clean
