"""Who may write, and when: fences, verdicts, approvals, waiting; each fails where one guard is switched off."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import PendingDeletes
from airflow_provider_pacs.sync.runtime.errors import ConflictError, DataError, RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key, of

PRECONDITIONS = import_module("airflow_provider_pacs.sync.steps.preconditions")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync waits for others a moment only."""
    monkeypatch.setattr(PRECONDITIONS, "WAIT_SECONDS", 0.3)


def waiting(county: County) -> PendingDeletes:
    """Thirty of forty properties are gone at the source, and wait for a person."""
    county.add("property", *range(40))
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    (pending,) = steps.pending_deletes(county.config, county.target)
    return pending


def approval(county: County, pending: PendingDeletes) -> str:
    """A run over an approved set, up to publish."""
    request = steps.RunRequest("approval", "test", approved=(pending,))
    plan = steps.plan(county.config, county.source, county.target, request)
    for entity in plan.entities:
        county.extract(plan.run_id, entity.entity)
        county.validate(plan.run_id, entity.entity)
    return plan.run_id


def take_over(county: County) -> None:
    """Another run takes the county."""
    config = county.config
    county.target.runs.claim(county_id=config.fips, county=config.county, name=config.name, identity={})


def test_an_overtaken_approval_deletes_nothing(county: County) -> None:
    """Section M: an approval is fenced like every other run, and its set waits on."""
    pending = waiting(county)
    run_id = approval(county, pending)
    take_over(county)
    with pytest.raises(ConflictError, match="epoch"):
        county.publish(run_id)
    assert len(county.rows("property")) == 40
    assert [each.pending_id for each in county.target.approvals.pending(county.fips)] == [pending.pending_id]


def test_a_set_that_was_rejected_meanwhile_is_not_applied(county: County) -> None:
    """Section M: between the decision and its publish somebody rejects the set: the later word is heard."""
    pending = waiting(county)
    run_id = approval(county, pending)
    county.target.approvals.reject(county.fips, pending.pending_id, pending.digest, "bob")
    with pytest.raises(ConflictError, match="already rejected"):
        county.publish(run_id)
    assert len(county.rows("property")) == 40


def test_a_set_of_another_county_is_refused(make_county: CountyMaker) -> None:
    """Case 40: a number and a digest of one county decide nothing in another."""
    county, other = make_county(), make_county()
    pending = waiting(county)
    with pytest.raises(ConflictError, match="has no pending set"):
        other.target.approvals.reject(other.fips, pending.pending_id, pending.digest, "bob")
    assert county.pending("property")


def test_an_approval_touches_the_entity_of_its_sets_alone(make_county: CountyMaker) -> None:
    """Case C20: what nobody decided on is not read for it."""
    county = make_county(("property", "owner"))
    pending = waiting(county)
    request = steps.RunRequest("approval", "test", approved=(pending,))
    plan = steps.plan(county.config, county.source, county.target, request)
    assert [(each.entity, each.mode, len(each.keys)) for each in plan.entities] == [("property", "keys", 30)]


def test_a_verdict_on_another_table_publishes_nothing(county: County) -> None:
    """Case C15: a table with as many rows as the one that was validated is still another table."""
    county.add("property", 1)
    run_id = county.stage()
    table = str(county.plan_of(run_id, "property").stage_table)
    county.sql(f"CREATE TABLE pacs_stage.{table}x AS SELECT * FROM pacs_stage.{table}")
    county.sql(
        "UPDATE pacs_ops.run_entity SET stage_table = stage_table || 'x' WHERE run_id = %s::uuid", run_id
    )
    outcome = of(county.publish(run_id), "property")
    assert (outcome.state, county.rows("property")) == ("failed", {})
    assert "not the ones that were validated" in outcome.message
    county.sql(f"DROP TABLE pacs_stage.{table}x")


def test_staged_rows_that_were_lost_are_not_validated(county: County) -> None:
    """Case 104: an empty table after a crash of the target passes every rule, and must not."""
    county.add("property", 1)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property")
    county.sql(f"TRUNCATE pacs_stage.{county.plan_of(plan.run_id, 'property').stage_table}")
    with pytest.raises(DataError, match="lost its staged rows"):
        steps.validate(county.config, county.target, run_id=plan.run_id, entity="property")


def blocked_run(county: County) -> str:
    """A run whose only entity a rule has blocked."""
    county.add("property", *range(40))
    county.add("property", *range(40, 100), YearBuilt=99)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property")
    assert not county.validate(plan.run_id, "property")
    return plan.run_id


def test_a_blocked_verdict_allows_no_table(county: County) -> None:
    """Case C15: what a verdict names may be published; one that blocks names nothing."""
    row = county.plan_of(blocked_run(county), "property")
    assert (row.state, row.verdict_table, row.verdict_rows) == ("blocked", None, None)


def test_a_blocked_entity_is_not_even_tried(county: County) -> None:
    """Case 72: it keeps its state and its reason."""
    run_id = blocked_run(county)
    outcome = of(county.publish(run_id), "property")
    assert outcome.state == "blocked"
    assert "F4.36" in outcome.message
    assert county.rows("property") == {}


def test_a_verdict_of_an_older_try_is_refused(county: County) -> None:
    """Case C15: a verdict is bound to its try, its table and its rows: none of them may be another."""
    county.add("property", 1)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property", attempt=2)
    row = county.plan_of(plan.run_id, "property")
    true: dict[str, Any] = {"table": str(row.stage_table), "attempt": 2, "rows": row.rows_staged}
    for other in ({"attempt": 1}, {"table": "stage_other"}, {"rows": 7}):
        with pytest.raises(ConflictError, match="another try"):
            county.target.runs.record_validation(plan.run_id, "property", results=[], **true | other)
        assert county.plan_of(plan.run_id, "property").state == "staged"
    county.target.runs.record_validation(plan.run_id, "property", results=[], **true)
    assert county.plan_of(plan.run_id, "property").state == "passed"


def test_a_new_try_starts_without_a_verdict(county: County) -> None:
    """Case C15: what an earlier try staged was validated; what this one stages was not."""
    county.add("property", 1)
    run_id = county.stage()
    assert county.plan_of(run_id, "property").verdict_table is not None
    county.target.runs.begin_extract(run_id, "property", 2)
    row = county.plan_of(run_id, "property")
    assert (row.stage_table, row.verdict_table, row.verdict_rows) == (None, None, None)


def test_the_sources_clock_is_stored_with_each_cursor(county: County) -> None:
    """Case C11: a clock that steps back is noticed by the clock of the last run, not of the first."""
    county.add("property", 1)
    county.sync()
    first = county.target.runs.last_source_utc(county.fips)["property"]
    county.clock.step(hours=3)
    county.sync()
    last = county.target.runs.last_source_utc(county.fips)["property"]
    assert first is not None
    assert last is not None
    assert last > first


def test_an_overtaken_run_goes_on_with_no_step(county: County) -> None:
    """Section M: a step of a run that was overtaken reads nothing and changes nothing."""
    county.add("property", 1)
    stale = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test")).run_id
    take_over(county)
    county.source.asked.clear()
    with pytest.raises(ConflictError, match="a later run has taken over"):
        county.extract(stale, "property")
    assert county.source.asked == []
    assert county.plan_of(stale, "property").state == "planned"


def test_a_step_that_is_overtaken_while_it_works_says_so(county: County) -> None:
    """Case 107: whatever it stumbles over then is no news."""
    county.add("property", 1)
    stale = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test")).run_id

    def overtake(sql: str) -> None:
        take_over(county)
        raise RetryableError("the connection is gone")

    county.source.before_stream = overtake
    with pytest.raises(ConflictError, match="a later run has taken over"):
        county.extract(stale, "property")


def broken(sql: str) -> None:
    raise RetryableError("the connection is gone")


def test_a_run_that_fails_in_one_process_is_closed(county: County) -> None:
    """Case F11: nobody tries its step again, so the run ends as failed and says why."""
    county.add("property", 1)
    county.source.before_stream = broken
    with pytest.raises(RetryableError):
        steps.sync(county.config, county.source, county.target)
    (run,) = county.sql("SELECT * FROM pacs_ops.sync_run WHERE county_id = %s", county.fips)
    assert (run["state"], run["finished_at"] is not None) == ("failed", True)
    assert "the connection is gone" in run["message"]


def reconcile_at_work(county: County) -> str:
    """A reconcile whose steps are tasks: it has no process of its own."""
    county.add("property", 1)
    county.sync()
    request = steps.RunRequest("reconcile", "test", "full")
    return steps.plan(county.config, county.source, county.target, request).run_id


def test_a_run_that_gave_no_sign_of_life_holds_nobody(county: County, impatient: None) -> None:
    """Case C20: a run whose worker died is over, whatever its record says."""
    run_id = reconcile_at_work(county)
    with pytest.raises(RetryableError, match="is at work"):
        county.sync()
    for table, column in (("sync_run", "heartbeat_at"), ("run_entity", "updated_at")):
        county.sql(
            f"UPDATE pacs_ops.{table} SET {column} = now() - interval '3 hours' WHERE run_id = %s::uuid",
            run_id,
        )
    assert county.sync()[1].clean


def test_a_step_that_failed_holds_nobody(county: County, impatient: None) -> None:
    """Case C20: between a failed step and its next try the county is free."""
    run_id = reconcile_at_work(county)
    county.source.before_stream = broken
    with pytest.raises(RetryableError):
        county.extract(run_id, "property")
    county.source.before_stream = None
    assert county.sync()[1].clean


def test_another_countys_run_holds_nobody(make_county: CountyMaker, impatient: None) -> None:
    """Case 119: counties do not wait for each other."""
    busy, county = make_county(), make_county()
    reconcile_at_work(busy)
    with PostgresTarget.from_url(county.url):
        assert county.sync()[1].clean
    assert key("property", 1) in county.rows("property")
