"""Pending deletes: shown, looked at again, applied once or let go (correctness.md A3 and C7; cases 40, 41)."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.runtime.errors import ConflictError, RetryableError
from tests.support.county import County, key


@pytest.fixture
def waiting_county(county: County) -> County:
    """Thirty of forty properties are gone at the source: more than a run may delete."""
    county.add("property", *range(40))
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    return county


def waiting(county: County) -> tuple[int, str]:
    (pending,) = steps.pending_deletes(county.config, county.target)
    assert pending.row_count == 30
    return pending.pending_id, pending.digest


def test_an_approved_set_is_applied_once(waiting_county: County) -> None:
    """Case 40: the decision is bound to the digest, and counts once."""
    pending = waiting(waiting_county)
    (decision,) = steps.approve(
        waiting_county.config,
        waiting_county.source,
        waiting_county.target,
        sets=[pending],
        actor="ann",
        trigger="test",
    )
    assert (decision.state, decision.deleted, decision.kept) == ("applied", 30, 0)
    assert len(waiting_county.rows("property")) == 10
    assert len(waiting_county.rows("property", deleted=True)) == 30
    with pytest.raises(ConflictError, match="already applied"):
        steps.approve(
            waiting_county.config,
            waiting_county.source,
            waiting_county.target,
            sets=[pending],
            actor="ann",
            trigger="test",
        )
    assert waiting_county.reconcile().clean
    audited = waiting_county.sql(
        "SELECT details FROM pacs_ops.audit WHERE county_id = %s AND action = 'deletes.applied'",
        waiting_county.fips,
    )
    assert [row["details"]["by"] for row in audited] == ["ann"]


def test_a_row_that_came_back_is_kept(waiting_county: County) -> None:
    """Case 37: every key is looked up at the source once more before anything is deleted."""
    pending = waiting(waiting_county)
    waiting_county.add("property", 3, City="Back Again")
    (decision,) = steps.approve(
        waiting_county.config,
        waiting_county.source,
        waiting_county.target,
        sets=[pending],
        actor="ann",
        trigger="test",
    )
    assert (decision.deleted, decision.kept) == (29, 1)
    assert waiting_county.row("property", 3)["city"] == "Back Again"


def test_a_decision_on_other_keys_is_refused(waiting_county: County) -> None:
    """Case 40: a digest that is not the set's."""
    pending_id, _ = waiting(waiting_county)
    with pytest.raises(ConflictError, match="other keys"):
        steps.approve(
            waiting_county.config,
            waiting_county.source,
            waiting_county.target,
            sets=[(pending_id, "00" * 32)],
            actor="ann",
            trigger="test",
        )
    assert len(waiting_county.rows("property")) == 40


def test_a_newer_set_replaces_an_undecided_one(waiting_county: County) -> None:
    """Case 40: what is decided on is what was found last."""
    pending = waiting(waiting_county)
    assert waiting_county.reconcile().state == "pending"
    with pytest.raises(ConflictError, match="replaced"):
        steps.reject(waiting_county.config, waiting_county.target, sets=[pending], actor="ann")


def test_a_rejected_set_stays_and_waits_again(waiting_county: County) -> None:
    (decision,) = steps.reject(
        waiting_county.config, waiting_county.target, sets=[waiting(waiting_county)], actor="ann"
    )
    assert decision.state == "rejected"
    assert len(waiting_county.rows("property")) == 40
    assert not steps.pending_deletes(waiting_county.config, waiting_county.target)
    assert waiting_county.reconcile().state == "pending"
    assert key("property", 0) in waiting_county.rows("property")


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
