"""Publish: one transaction, fenced, repeatable; bad rows aside, blocked entities keep their last good data
(correctness.md A8, A9).
"""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib import import_module
from typing import Any

import psycopg
import pytest

from airflow_provider_pacs.sync import quality, steps
from airflow_provider_pacs.sync.runtime.errors import ConflictError, DataError, PacsError, RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, apply, publisher
from tests.integration.conftest import VALIDATION, CountyMaker
from tests.support.county import ENTITIES, County, connect, key, new_engine, of, retype


def test_publish_again(county: County) -> None:
    """Case 104: publishing a recorded run again does nothing and says so."""
    county.add("property", 1)
    run_id = county.stage()
    first, second = county.publish(run_id), county.publish(run_id)
    assert (first.already_published, second.already_published) == (False, True)
    assert of(second, "property").inserted == 1
    assert (
        len(county.sql("SELECT FROM pacs_ops.audit WHERE run_id = %s AND action = 'run.publish'", run_id))
        == 1
    )


def test_another_try_has_its_own_staging(county: County) -> None:
    """Case 104: a second try of extract starts with nothing of the first, and publish takes the last."""
    county.add("property", 1, 2)
    run_id = county.stage()
    first = county.plan_of(run_id, "property").stage_table
    county.remove("property", 2)
    steps.extract(county.config, county.source, county.target, run_id=run_id, entity="property", attempt=2)
    assert county.plan_of(run_id, "property").stage_table != first
    published = county.publish(run_id)
    assert (of(published, "property").state, of(published, "property").message) == (
        "failed",
        "validate did not finish",
    )
    assert county.certify(run_id).blocked == ("property",)
    assert not county.rows("property")


def test_the_same_try_again(county: County) -> None:
    """Case 104: a try that is repeated under its own number finds an empty table."""
    county.add("property", 1, 2)
    run_id = county.stage()
    county.remove("property", 2)
    steps.extract(county.config, county.source, county.target, run_id=run_id, entity="property", attempt=1)
    steps.validate(county.config, county.target, run_id=run_id, entity="property")
    county.publish(run_id)
    assert set(county.rows("property")) == {key("property", 1)}


def test_two_tries_side_by_side(county: County) -> None:
    """Case 104: a first try that still writes (its worker lost touch) can't touch the second's table."""
    county.add("property", 1, 2)
    run_id = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test")).run_id

    def overtake(sql: str) -> None:
        county.source.after_stream = None
        steps.extract(
            county.config, county.source, county.target, run_id=run_id, entity="property", attempt=2
        )

    county.source.after_stream = overtake
    with pytest.raises(ConflictError, match="another try of property"):
        county.extract(run_id, "property", attempt=1)
    prefix = f"stage_{run_id.replace('-', '')}_property_"
    counts = [
        county.sql(f"SELECT count(*) AS n FROM pacs_stage.{prefix}{attempt}")[0]["n"] for attempt in (1, 2)
    ]
    assert counts == [2, 2]


def test_a_stale_run_cannot_publish(county: County) -> None:
    """Case 107: a run that was overtaken is fenced: it writes nothing, neither rows nor cursor, and says who
    has the county.
    """
    county.add("property", 1)
    stale = county.stage()
    county.change("property", 1, City="Finley")
    fresh = county.stage()
    with pytest.raises(ConflictError):
        county.publish(stale)
    assert not county.rows("property")
    assert "property" not in county.target.runs.cursors(county.fips)
    county.publish(fresh)
    assert county.row("property", 1)["city"] == "Finley"
    assert county.target.runs.run(stale).state == "superseded"


def test_a_stale_run_cannot_certify(county: County) -> None:
    """Case 107: neither can an overtaken run certify anything, also where it is overtaken between its reads and its
    transaction.
    """
    county.add("property", 1)
    stale = county.stage()
    county.publish(stale)
    county.sql(f"UPDATE {county.partition('property')} SET city = 'X'")
    county.stage()
    with pytest.raises(ConflictError, match="later run"):
        county.certify(stale)
    with pytest.raises(ConflictError, match="epoch"):
        county.target.certifier.issue(stale, [], {})
    assert county.target.certifier.of_run(stale) is None
    assert county.row("property", 1)["city"] == "X"


def test_the_database_goes_away_in_publish(whole_county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 109: the server ends the session in the middle of publish: nothing of the run is there, the cursor
    is the old one, a new try succeeds.
    """
    county = whole_county
    for entity in ENTITIES:
        county.add(entity, 1)
    county.sync()
    before, cursor = county.content(), county.state("property").watermark
    county.clock.step(hours=2)
    for entity in ENTITIES:
        county.change(
            entity,
            1,
            **{"YearBuilt": 2005}
            if entity in {"property", "structure"}
            else {"LastModified": county.stamp()},
        )
    county.clock.step(minutes=2)
    run_id = county.stage()
    applied: list[str] = []

    def then_die(*args: Any, **kwargs: Any) -> Any:
        result = apply_stage(*args, **kwargs)
        applied.append(args[1].entity.name)
        if len(applied) == 3:
            with connect(county.url) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (county.target.connection.info.backend_pid,))
        return result

    apply_stage = apply.apply_stage
    monkeypatch.setattr(apply, "apply_stage", then_die)
    with pytest.raises(RetryableError):
        county.publish(run_id)
    monkeypatch.setattr(apply, "apply_stage", apply_stage)
    county.target = PostgresTarget.from_url(county.url)
    assert applied == ["property", "owner", "structure"] or len(applied) == 3
    assert county.content() == before
    assert county.state("property").watermark == cursor
    county.publish(run_id)
    assert county.row("structure", 1)["year_built"] == 2005
    assert county.certify(run_id).clean
    county.target.close()


def test_a_target_that_only_reads(county: County) -> None:
    """Case 109: after a failover to a read-only server publish fails, and the cursor stays."""
    county.add("property", 1)
    county.sync()
    before = county.state("property").watermark
    county.clock.step(hours=2)
    run_id = county.stage()
    county.target.connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(PacsError):
        county.publish(run_id)
    county.target.connection.execute("SET default_transaction_read_only = off")
    assert county.state("property").watermark == before


def test_bad_rows_are_set_aside(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 110: rows that break a rule go to quarantine with their rules, the rest is published; validated by
    Great Expectations.
    """
    monkeypatch.setattr(VALIDATION, "validate_stage", quality.validate_stage)
    county.add("property", *range(100))
    county.change("property", 7, Acreage=-1.0, YearBuilt=1650)
    county.change("property", 8, ParcelNumber="...")
    published, certificate = county.sync()
    assert (of(published, "property").inserted, of(published, "property").quarantined) == (98, 2)
    assert county.quarantine("property") == {
        key("property", 7): ["F1.5", "F4.36"],
        key("property", 8): ["F1.2"],
    }
    assert certificate.clean
    assert of(certificate, "property").quarantined == 2


def test_a_bad_row_keeps_its_last_good_version(county: County) -> None:
    """Case 110: a published row that turns bad stays as it was; the certificate leaves it out on both sides."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, Acreage=-5.0)
    county.clock.step(minutes=2)
    _, delta = county.sync()
    assert county.row("property", 1)["acreage"] == pytest.approx(0.25, abs=0)
    assert delta.clean
    full = county.reconcile()
    assert full.clean
    part = of(full, "property")
    assert (part.quarantined, part.source_rows, part.equal, part.kept, part.target_rows) == (1, 2, 1, 1, 2)


def test_validate_again(county: County) -> None:
    """Case 110: a second judgement of the same rows starts anew: no rule is named twice, none of the first
    stays.
    """
    county.add("property", 1, 2)
    county.change("property", 1, Acreage=-5.0)
    run_id = county.stage()
    table = county.plan_of(run_id, "property").stage_table
    county.sql(
        f"UPDATE pacs_stage.{table} SET _reject = '{{F9.99}}' WHERE property_id = %s", key("property", 2)
    )
    steps.validate(county.config, county.target, run_id=run_id, entity="property")
    county.publish(run_id)
    assert county.quarantine("property") == {key("property", 1): ["F1.5"]}


def test_too_many_bad_rows(county: County) -> None:
    """Case 110: so many bad rows that the mapping must be wrong block the entity as a whole."""
    county.add("property", *range(60), Acreage=-1.0)
    with pytest.raises(DataError, match=r"F1\.5"):
        steps.sync(county.config, county.source, county.target, trigger="test")
    (last,) = county.sql("SELECT * FROM pacs_ops.sync_run WHERE county_id = %s", county.fips)
    assert last["state"] == "blocked"
    assert not county.rows("property")


def test_a_corrected_row_is_released(county: County) -> None:
    """Case 111: a row corrected at the source leaves quarantine in the run that reads it."""
    county.add("property", 1, 2)
    county.change("property", 1, Acreage=-5.0)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, Acreage=5.0)
    county.clock.step(minutes=2)
    published, certificate = county.sync()
    assert of(published, "property").released == 1
    assert not county.quarantine("property")
    assert key("property", 1) in county.quarantine("property", "released")
    assert key("property", 1) in county.rows("property")
    assert certificate.clean


def test_a_quarantined_row_that_is_deleted(county: County) -> None:
    """Case 111: a row that leaves the source while it waits, leaves quarantine with the next run,
    and no certificate counts it on.
    """
    county.add("property", 1, 2, 3)
    county.change("property", 1, 2, Acreage=-5.0)
    county.sync()
    county.remove("property", 1)
    _, certificate = county.sync()
    assert (certificate.clean, of(certificate, "property").quarantined) == (True, 1)
    assert set(county.quarantine("property")) == {key("property", 2)}
    assert county.sync()[1].clean
    county.remove("property", 2)
    _, certificate = county.sync(mode="full")
    assert certificate.clean
    assert not county.quarantine("property")


def twice(make_county: CountyMaker) -> County:
    """A key that a window yields twice, which a table without a primary key lets happen."""
    county = make_county(engine=new_engine(replace(retype("Property"), primary_key=())))
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=3)
    county.add("property", 5, at=county.stamp(minutes=5), City="Finley")
    county.add("property", 5, at=county.stamp(minutes=4), City="Paterson")
    return county


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_key_that_one_read_brings_twice(make_county: CountyMaker, mode: str) -> None:
    """Case 112: as a scan may that meets a moving row: the key is read once more, and is one row, as it was read
    last.
    """
    county = twice(make_county)

    def moved(sql: str) -> None:
        county.source.after_stream = None
        county.pacs("DELETE FROM [dbo].[Property] WHERE City = 'Finley'")

    county.source.after_stream = moved
    published, certificate = county.sync(mode=mode)
    assert of(published, "property").inserted == 1
    assert county.row("property", 5)["city"] == "Paterson"
    assert certificate.clean


def test_a_key_that_the_source_has_twice(make_county: CountyMaker) -> None:
    """Case 112: two rows with one key are no row: which of them is right is nobody's guess, so the entity keeps its
    last good data and the certificate says why.
    """
    county = twice(make_county)
    before = county.content()
    published, certificate = county.sync()
    assert of(published, "property").state == "blocked"
    assert (certificate.state, certificate.blocked) == ("blocked", ("property",))
    assert "F1.1-unique" in of(certificate, "property").message
    assert county.content() == before


def test_a_blocked_entity_goes_on_in_its_own_run(make_county: CountyMaker) -> None:
    """Cases 104, 110: the blocked entity's tasks are cleared after its rows were corrected: publish brings what is left,
    and the run's new certificate covers both entities.
    """
    county = make_county(["owner", "value"])
    county.add("owner", 1)
    county.add("value", *range(60), LandValue=-1.0)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    for entity in ("owner", "value"):
        county.extract(plan.run_id, entity)
        county.validate(plan.run_id, entity)
    county.publish(plan.run_id)
    assert county.certify(plan.run_id).blocked == ("value",)
    county.change("value", *range(60), at=None, LandValue=40.0)
    county.extract(plan.run_id, "value", attempt=2)
    assert county.validate(plan.run_id, "value")
    assert not county.publish(plan.run_id).already_published
    certificate = county.certify(plan.run_id)
    assert certificate.clean
    assert [part.equal for part in certificate.entities] == [1, 60]
    assert county.target.runs.run(plan.run_id).state == "succeeded"


def test_a_blocked_entity_keeps_its_last_good_data(make_county: CountyMaker) -> None:
    """Case 110: a blocked entity stays as it was while the others are published; the run ends blocked and
    names it.
    """
    county = make_county(["owner", "value"])
    county.add("owner", 1)
    county.add("value", *range(60))
    county.sync()
    cursor = county.state("value").watermark
    county.clock.step(hours=3)
    county.change("owner", 1, OwnerName="Zoë Peña")
    county.change("value", *range(60), LandValue=-1.0)
    county.clock.step(minutes=2)
    with pytest.raises(DataError, match=r"value \("):
        steps.sync(county.config, county.source, county.target, trigger="test")
    assert county.row("owner", 1)["owner_name"] == "Zoë Peña"
    assert {row["land_value"] for row in county.rows("value").values()} == {40}
    assert county.state("value").watermark == cursor
    assert county.state("owner").watermark > cursor
    (last,) = county.sql(
        "SELECT * FROM pacs_ops.sync_run WHERE county_id = %s ORDER BY started_at DESC LIMIT 1", county.fips
    )
    assert (last["state"], last["message"]) == ("blocked", "value: blocked")


def test_nothing_changed_nothing_written(whole_county: County) -> None:
    """Case 120: reading the same again, by window or in full, writes no row in schema pacs."""
    county = whole_county
    for entity in ENTITIES:
        county.add(entity, 1, 2, 3)
    county.sync()

    def places() -> list[Any]:
        return [
            county.sql(f"SELECT ctid::text, xmin::text FROM {county.partition(entity)} ORDER BY 1")
            for entity in ENTITIES
        ]

    before = places()
    again, _ = county.sync()
    whole, _ = county.sync(mode="full")
    assert sum(part.changed for outcome in (again, whole) for part in outcome.entities) == 0
    assert places() == before


def test_readers_see_all_or_nothing(whole_county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who polls through a publish sees the old county or the new one, never a part."""
    county = whole_county
    for entity in ENTITIES:
        county.add(entity, *range(20))
    county.sync()
    county.clock.step(hours=3)
    for entity in ENTITIES:
        county.add(entity, *range(100, 110), at=county.stamp())
    county.clock.step(minutes=2)
    run_id = county.stage()
    seen: set[tuple[int, ...]] = set()
    stop, polled = threading.Event(), threading.Semaphore(0)
    counts = ", ".join(
        f"(SELECT count(*) FROM pacs.{table} WHERE county_id = %(c)s)"
        for table in ("property", "owner", "value_history", "structure")
    )

    def poll() -> None:
        with psycopg.connect(county.url, autocommit=True) as other:
            while not stop.is_set():
                seen.add(other.execute(f"SELECT {counts}".encode(), {"c": county.fips}).fetchone())  # type: ignore[arg-type]
                polled.release()

    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = apply_stage(*args, **kwargs)
        for _ in range(3):
            polled.acquire()
        return result

    apply_stage = apply.apply_stage
    monkeypatch.setattr(apply, "apply_stage", recorded)
    reader = threading.Thread(target=poll)
    reader.start()
    try:
        county.publish(run_id)
        while polled.acquire(blocking=False):
            pass  # polls from before the end of the publish
        for _ in range(3):
            polled.acquire()
    finally:
        stop.set()
        reader.join()
    assert seen == {(20, 20, 20, 20), (30, 30, 30, 30)}


def test_old_dates_do_not_move_the_cursor(county: County) -> None:
    """Case 121: a manual run with an old logical date reads on from the stored cursor, and so does a retry."""
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=5)
    cursor = county.state("property").watermark
    run_id = county.stage(trigger="manual__2020-01-01T00:00:00+00:00")
    row = county.plan_of(run_id, "property")
    assert row.mode == "window"
    assert row.lower_bound < cursor < row.upper_bound
    county.publish(run_id)
    assert cursor <= county.state("property").watermark <= row.upper_bound


def test_another_mapping(make_county: CountyMaker) -> None:
    """Case 124: the county file names another column: the old cursor is not trusted, every row is read again."""
    county = make_county()
    county.add("property", 1, City="Prosser", Address="9 Elm St")
    county.sync()
    county.configure(tables={"property": {"columns": {"city": "Address"}}})
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "9 Elm St"
    assert certificate.clean


def test_another_suite(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 124: a changed rule validates every row anew, not only those that change next."""
    plan = import_module("airflow_provider_pacs.sync.steps.plan")
    county.add("property", 1)
    county.sync()
    known = plan.load_suite
    monkeypatch.setattr(plan, "load_suite", lambda entity: known(entity)[:-1])
    published, _ = county.sync()
    assert of(published, "property").mode == "full"


@pytest.mark.parametrize("loss", ["lost", "restored"])
def test_a_state_that_is_lost_or_old(county: County, loss: str) -> None:
    """Case 125: without its state row, or with one from an old backup, a run reads more, never less, and ends
    equal.
    """
    county.add("property", 1, 2)
    county.sync()
    old = county.state("property").watermark
    county.clock.step(hours=4)
    county.change("property", 1, City="Finley")
    county.clock.step(hours=4)
    county.sync()
    if loss == "lost":
        county.sql("DELETE FROM pacs_ops.sync_state WHERE county_id = %s", county.fips)
    else:
        county.sql("UPDATE pacs_ops.sync_state SET watermark = %s WHERE county_id = %s", old, county.fips)
    published, certificate = county.sync()
    assert of(published, "property").read >= 1
    assert of(published, "property").changed == 0
    assert certificate.clean
    assert county.state("property").watermark > old


def test_the_cursor_is_stored_with_its_rows(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 104: rows and cursor are one transaction: whoever sees the new cursor sees the rows, and a failure
    leaves neither.
    """
    county.add("property", 1)
    county.sync()
    before = county.state("property").watermark
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    run_id = county.stage()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise psycopg.OperationalError("the power is gone")

    monkeypatch.setattr(publisher.audit, "append", fail)  # the last statement of the transaction
    with pytest.raises(PacsError):
        county.publish(run_id)
    monkeypatch.undo()
    assert county.row("property", 1)["city"] == "Prosser"
    assert county.state("property").watermark == before


def test_staging_is_gone_after_publish(county: County) -> None:
    """Case 104: neither tables nor views of staging stay behind a run that ended."""
    county.add("property", 1)
    county.sync()
    county.reconcile()
    runs = county.sql(
        "SELECT replace(run_id::text, '-', '') AS run FROM pacs_ops.sync_run WHERE county_id = %s",
        county.fips,
    )
    left = [row["relname"] for row in county.sql("SELECT relname FROM pg_class WHERE relname LIKE 'stage%%'")]
    assert not [name for name in left for row in runs if row["run"] in name]


def test_staging_that_a_crash_emptied(county: County) -> None:
    """Case 104: PostgreSQL empties unlogged tables when it recovers; an empty stage is not a source without
    changes, and no cursor moves.
    """
    county.add("property", 1)
    run_id = county.stage()
    county.sql(f"TRUNCATE pacs_stage.{county.plan_of(run_id, 'property').stage_table}")
    outcome = county.publish(run_id)
    assert of(outcome, "property").state == "failed"
    assert "property" not in county.target.runs.cursors(county.fips)
    county.sync()
    assert len(county.rows("property")) == 1
