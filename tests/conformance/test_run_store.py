"""RunStore: epochs, plans, tries, verdicts and cursors live with the data, and a later run wins."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.records import Turn
from airflow_provider_pacs.sync.runtime.errors import ConflictError, RetryableError
from tests.conformance.conftest import Opener
from tests.conformance.county import IDENTITY, StagedCounty, row


def test_a_new_county_has_no_cursor_and_no_run(county: StagedCounty) -> None:
    runs = county.target.runs
    assert runs.cursors(county.fips) == {}
    assert runs.last_source_utc(county.fips) == {}
    assert runs.source_identity(county.fips) is None
    assert runs.active_run(county.fips, minutes=60) is None
    assert county.target.certifier.latest(county.fips) is None


def test_migrating_again_changes_nothing(county: StagedCounty) -> None:
    assert county.target.migrate() == []
    readiness = county.target.readiness()
    assert (readiness.pending, readiness.altered, readiness.has_journal) == ((), (), True)


def test_a_plan_is_read_back_as_it_was_made_by_another_process(
    county: StagedCounty, open_target: Opener
) -> None:
    plan = county.plan("property", "owner")
    other = open_target().runs
    assert [entity.read_plan for entity in other.entities(plan.run_id)] == list(plan.entities)
    record = other.run(plan.run_id)
    assert (record.kind, record.state, record.epoch) == ("sync", "running", plan.epoch)
    assert record.source_year == 2026
    assert other.source_identity(county.fips) == IDENTITY


def test_an_unknown_run_is_a_conflict(county: StagedCounty) -> None:
    with pytest.raises(ConflictError):
        county.target.runs.run("00000000-0000-0000-0000-000000000000")


def test_a_later_claim_supersedes_an_earlier_run(county: StagedCounty) -> None:
    earlier = county.plan()
    later = county.plan()
    assert later.epoch > earlier.epoch
    runs = county.target.runs
    assert (runs.run(earlier.run_id).state, runs.run(later.run_id).state) == ("superseded", "running")
    active = runs.active_run(county.fips, minutes=60)
    assert active is not None
    assert str(active.run_id) == later.run_id


def test_a_run_at_rest_is_in_nobodys_way_until_a_step_works_on_it(county: StagedCounty) -> None:
    plan = county.plan(kind="reconcile")
    runs = county.target.runs
    assert runs.active_run(county.fips, minutes=60) is not None
    runs.rest(plan.run_id)
    assert runs.active_run(county.fips, minutes=60) is None
    runs.work(plan.run_id)
    assert runs.active_run(county.fips, minutes=60) is not None
    runs.end(plan.run_id, "stopped")
    assert runs.active_run(county.fips, minutes=60) is None
    assert (runs.run(plan.run_id).state, runs.run(plan.run_id).message) == ("failed", "stopped")


TURNS = {kind: Turn(kind, 60, 10) for kind in ("sync", "realtime", "reconcile", "approval")}  # type: ignore[arg-type]


@pytest.mark.parametrize("begun", sorted(TURNS))
@pytest.mark.parametrize("asks", sorted(TURNS))
def test_a_run_lets_every_other_finish_but_a_sync_takes_over_from_a_sync(
    county: StagedCounty, begun: str, asks: str
) -> None:
    """Case 107: of two runs of a county one is at work."""
    plan = county.plan(kind=begun)
    other = county.target.runs.in_the_way(county.fips, TURNS[asks])
    if begun == asks == "sync":
        assert other is None
        return
    assert other is not None
    assert str(other.run_id) == plan.run_id
    with pytest.raises(RetryableError) as refused:
        county.claim(TURNS[asks])
    assert refused.value.code == "PACS-008"
    assert county.target.runs.run(plan.run_id).state == "running"
    county.target.runs.end(plan.run_id, "done")
    assert county.claim(TURNS[asks]) > plan.epoch


def test_of_two_that_claim_at_once_one_is_refused(county: StagedCounty, open_target: Opener) -> None:
    """Case 107: both looked, nobody was at work, both claim: the run that is not recorded yet gives way."""
    first = county.claim(TURNS["sync"])
    second = county.claim(TURNS["realtime"])
    with pytest.raises(RetryableError) as refused:
        county.open(first, "sync")
    assert refused.value.code == "PACS-008"
    plan = county.open(second, "realtime")
    assert county.target.runs.run(plan.run_id).state == "running"


def test_an_earlier_try_changes_nothing_once_a_later_one_has_begun(county: StagedCounty) -> None:
    plan = county.plan()
    table = county.stage(plan, [row(1)])
    county.target.runs.begin_extract(plan.run_id, "property", 2)
    for late in (
        lambda: county.target.runs.begin_extract(plan.run_id, "property", 1),
        lambda: county.pass_(plan, table, attempt=1),
        lambda: county.target.runs.end_extract(
            plan.run_id,
            "property",
            attempt=1,
            table=table,
            mode="full",
            read=1,
            staged=1,
            seconds=0.1,
            expected=None,
        ),
    ):
        with pytest.raises(ConflictError):
            late()
    (entity,) = county.target.runs.entities(plan.run_id)
    assert (entity.state, entity.attempt, entity.stage_table) == ("extracting", 2, None)


def test_a_cursor_is_stored_by_publish_and_set_back_on_request(county: StagedCounty) -> None:
    plan = county.plan()
    county.stage(plan, [row(1)])
    assert county.target.runs.cursors(county.fips) == {}
    county.publish(plan)
    cursor = county.target.runs.cursors(county.fips)["property"]
    assert (cursor.watermark, cursor.watermark_type) == ("2026-01-15 05:00:00.000", "datetime")
    assert (cursor.strategy, cursor.fingerprint, cursor.schema_fingerprint) == ("last_modified", "f1", "s1")
    assert str(cursor.run_id) == plan.run_id
    county.target.runs.accept_source(county.fips)
    assert county.target.runs.cursors(county.fips)["property"].watermark is None
    assert county.target.runs.source_identity(county.fips) is None


def test_a_feed_that_was_lost_is_lost_whatever_the_run_comes_to(county: StagedCounty) -> None:
    """The cursor stays where it is, and belongs to no feed any more; other entities keep theirs."""
    county.load(1)
    before = county.target.runs.cursors(county.fips)["property"]
    county.target.runs.distrust_feed(county.fips, "owner")
    assert county.target.runs.cursors(county.fips)["property"].feed == before.feed
    county.target.runs.distrust_feed(county.fips, "property")
    after = county.target.runs.cursors(county.fips)["property"]
    assert (after.feed, after.watermark) == ("", before.watermark)


@pytest.mark.parametrize(("mode", "strategy"), [("keys", "last_modified"), ("window", "backfill")])
def test_a_run_that_keeps_no_cursor_moves_none(county: StagedCounty, mode: str, strategy: str) -> None:
    county.load(1)
    before = county.target.runs.cursors(county.fips)
    plan = county.plan(mode=mode, strategy=strategy, cursor="2027-01-01", upper="2027-01-01")
    county.stage(plan, [row(1, "Finley")])
    assert county.publish(plan).entities[0].updated == 1
    assert county.target.runs.cursors(county.fips) == before


def test_events_and_failures_are_kept_newest_first(county: StagedCounty) -> None:
    plan = county.plan()
    county.target.runs.event(county.fips, plan.run_id, "schema.drift", "property", {"added": ["Zone"]})
    county.target.runs.failure(county.fips, "extract_property", RetryableError("lost"), plan.run_id)
    failed, event = county.target.runs.audit_rows(county.fips, 2)
    assert (event.action, event.object, event.details) == ("schema.drift", "property", {"added": ["Zone"]})
    assert failed.run_id is not None
    assert str(failed.run_id) == plan.run_id
    assert failed.seq > event.seq


def test_what_realtime_keeps_is_read_by_another_process(county: StagedCounty, open_target: Opener) -> None:
    realtime = county.target.realtime
    assert realtime.read(county.fips, "followed") is None
    realtime.write(county.fips, "followed", {"position": "1"})
    realtime.write(county.fips, "followed", {"position": "2"})
    other = open_target().realtime
    assert other.read(county.fips, "followed") == {"position": "2"}
    assert other.read(county.fips, "polled") is None
