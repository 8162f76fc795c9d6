"""Certifier: both sides in one arithmetic; a certificate is stored as it was issued, and writes no row."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.records import DeleteBounds
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.conformance.conftest import Opener
from tests.conformance.county import PROPERTY, StagedCounty, key, row


def test_equal_sides_have_no_difference(county: StagedCounty) -> None:
    county.load(1, 2)
    compared = county.compare([row(1), row(2)])
    assert (compared.compared, compared.equal, compared.differences) == (2, 2, ())
    assert (compared.kept, compared.pending_deletes, compared.live_outside) == (0, 0, 0)


def test_each_kind_of_difference_is_named(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    compared = county.compare([row(1), row(2, "Finley"), row(4)])
    kinds = {(each.key, each.kind) for each in compared.differences}
    assert kinds == {(key(2), "differing"), (key(3), "extra_in_target"), (key(4), "missing")}
    assert compared.equal == 1


def test_a_row_outside_a_window_is_no_difference(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    compared = county.compare([row(1)], complete=False)
    assert compared.differences == ()
    assert (compared.equal, compared.live_outside) == (1, 2)


def test_a_quarantined_image_is_excused_and_another_image_is_not(county: StagedCounty) -> None:
    county.load(1, 2)
    plan = county.plan()
    table = county.stage(plan, [row(1), row(2, None)], rejects=[("F9.9", "s.city IS NULL")])
    county.publish(plan)
    same = county.compare([row(1), row(2, None)], table)
    assert (same.quarantined, same.kept, same.differences) == (1, 1, ())
    (other,) = county.compare([row(1), row(2, "Kiona")], table).differences
    assert (other.key, other.kind) == (key(2), "differing")


def test_a_row_that_moved_on_since_it_was_read_is_marked_so(county: StagedCounty) -> None:
    plan = county.plan()
    table = county.stage(plan, [row(1), row(2)])
    county.publish(plan)
    (moved,) = county.compare([row(1), row(2, "Finley", "2")], table).differences
    assert moved.changed_since_read


def test_pending_deletes_are_a_term_of_their_own(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    county.bounds = DeleteBounds(0, 0.0, 0)
    plan = county.plan()
    table = county.stage(plan, [row(1), row(2)], gone=[key(3)])
    county.publish(plan)
    compared = county.compare([row(1), row(2)], table)
    assert (compared.equal, compared.pending_deletes, compared.differences) == (2, 1, ())


def test_control_totals_are_of_the_live_rows(county: StagedCounty) -> None:
    county.load(1, 2)
    totals = county.target.certifier.control(PROPERTY, county.fips, ())
    assert {group: values["rows"] for group, values in totals.items()} == {"": "2"}


def test_a_certificate_is_stored_as_it_was_issued(county: StagedCounty, open_target: Opener) -> None:
    county.load(1)
    plan = county.plan()
    county.stage(plan, [row(1)])
    county.publish(plan)
    issued = county.issue(
        plan, equal=1, source_rows=1, target_rows=1, compared=1, method="by a test", sample_keys=("a:b",)
    )
    assert issued.audit_head
    stored = open_target().certifier.of_run(plan.run_id)
    assert stored is not None
    assert stored.entities == issued.entities
    assert (stored.state, stored.kind, stored.covered, stored.audit_head) == (
        "clean",
        "sync",
        "all_rows",
        issued.audit_head,
    )
    assert stored.issued_at is not None
    assert county.target.certifier.latest(county.fips) == stored
    assert county.target.certifier.latest(county.fips, kind="reconcile") is None
    assert county.target.runs.run(plan.run_id).state == "succeeded"


@pytest.mark.parametrize(
    ("state", "ends"),
    [("clean", "succeeded"), ("pending", "pending"), ("blocked", "blocked"), ("drift", "drift")],
)
def test_a_run_ends_as_its_certificate_says(county: StagedCounty, state: str, ends: str) -> None:
    plan = county.plan()
    county.stage(plan, [row(1)])
    county.publish(plan)
    county.issue(plan, state=state)
    record = county.target.runs.run(plan.run_id)
    assert record.state == ends
    assert record.finished_at is not None


def test_a_later_run_that_took_the_county_gets_no_certificate_of_an_earlier_one(county: StagedCounty) -> None:
    earlier = county.plan()
    county.stage(earlier, [row(1)])
    county.publish(earlier)
    county.plan()
    with pytest.raises(ConflictError):
        county.issue(earlier)
    assert county.target.certifier.of_run(earlier.run_id) is None


def test_comparing_and_certifying_write_no_row(county: StagedCounty) -> None:
    county.load(1, 2)
    plan = county.plan()
    county.stage(plan, [row(1), row(2, "Finley")])
    before = county.compare([row(1), row(2)])
    county.issue(plan, state="drift")
    assert county.compare([row(1), row(2)]) == before
