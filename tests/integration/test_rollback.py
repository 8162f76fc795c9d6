"""Rolling runs back: rows, tombstones, quarantine and cursors as they were, the county on hold; what stands against it.

The mistakes that the guide rehearses are the last tests.
"""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import import_module
from typing import Any

import psycopg
import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.certificate_page import certificate_page
from airflow_provider_pacs.sync.entities import promoted_column
from airflow_provider_pacs.sync.records import Certificate, RollbackProposal, RunOutcome
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key

plan = import_module("airflow_provider_pacs.sync.steps.plan")


@pytest.fixture
def kept(county: County) -> County:
    """A county of properties that keeps its history."""
    county.configure(history={"enabled": True})
    return county


@pytest.fixture
def relatives(make_county: CountyMaker) -> County:
    """Properties and their owners, with history."""
    made = make_county(("property", "owner"))
    made.configure(history={"enabled": True})
    return made


def later(county: County) -> None:
    """Past the lag and the overlap of the next run."""
    county.clock.step(hours=3)


def sync(county: County) -> str:
    """A run's id."""
    later(county)
    return county.sync()[0].run_id


def undo(county: County, run_id: str, **asked: Any) -> tuple[RunOutcome, Certificate]:
    return steps.rollback(county.config, county.target, run_id=run_id, actor="ann", trigger="test", **asked)


def proposal(county: County, run_id: str, *, onto: bool = False) -> RollbackProposal:
    return steps.propose_rollback(county.config, county.target, run_id=run_id, onto=onto)


def latest(county: County) -> Certificate:
    """The newest certificate, as it was stored."""
    stored = county.target.certifier.latest(county.fips)
    assert stored is not None
    return stored


def resume(county: County) -> None:
    steps.resume(county.config, county.target, actor="ann")


def state(county: County) -> dict[str, list[dict[str, Any]]]:
    """Everything that a rollback puts back, to the byte: rows with provenance, cursors, quarantine, pending."""
    queries = {
        "cursors": "SELECT to_jsonb(s) AS x FROM pacs_ops.sync_state AS s WHERE county_id = %s",
        "probes": "SELECT to_jsonb(s) AS x FROM pacs_ops.probed_contents AS s WHERE county_id = %s",
        "quarantine": "SELECT to_jsonb(s) AS x FROM pacs_ops.quarantine AS s WHERE county_id = %s AND state = 'open'",
        "pending": "SELECT to_jsonb(s) AS x FROM pacs_ops.pending_delete AS s WHERE county_id = %s AND state = 'pending'",
        "source": "SELECT source_identity AS x FROM pacs_ops.county WHERE county_id = %s",
    }
    whole = {name: [row["x"] for row in county.sql(text, county.fips)] for name, text in queries.items()}
    for entity in county.config.sync.entities:
        if county.sql("SELECT to_regclass(%s) AS t", county.partition(entity))[0]["t"]:
            rows = county.sql(f"SELECT t::text AS x FROM {county.partition(entity)} AS t")
            whole[entity] = [row["x"] for row in rows]
    return {name: sorted(rows, key=lambda row: json.dumps(row, default=str)) for name, rows in whole.items()}


def test_a_rollback_puts_everything_back_to_the_byte(relatives: County) -> None:
    """Rows, tombstones, quarantine, the cursor and provenance are as they were before the run."""
    relatives.add("property", 1, 2, 3, 4)
    relatives.add("owner", 1, 2, 3)
    sync(relatives)
    relatives.change("property", 3, Acreage=-1)
    sync(relatives)
    before = state(relatives)
    relatives.change("property", 1, City="Finley")
    relatives.change("property", 3, Acreage=2)
    relatives.change("property", 4, Acreage=-1)
    relatives.remove("owner", 2)
    relatives.add("property", 5, at=relatives.stamp())
    relatives.add("owner", 5, at=relatives.stamp())
    wrong = sync(relatives)
    assert state(relatives) != before
    outcome, certificate = undo(relatives, wrong)
    assert state(relatives) == before
    assert certificate.state == "rolled_back"
    assert {each.entity: each.state for each in outcome.entities} == {
        "property": "published",
        "owner": "published",
    }
    runs = relatives.sql(
        "SELECT run_id::text, kind, state, rolled_back_by::text FROM pacs_ops.sync_run ORDER BY epoch DESC LIMIT 2"
    )
    assert [(row["kind"], row["state"]) for row in runs] == [
        ("rollback", "succeeded"),
        ("sync", "rolled_back"),
    ]
    assert runs[1]["rolled_back_by"] == outcome.run_id == runs[0]["run_id"]


def test_after_it_the_county_is_on_hold_until_somebody_resumes(kept: County) -> None:
    kept.add("property", 1)
    sync(kept)
    kept.change("property", 1, City="Finley")
    wrong = sync(kept)
    undo(kept, wrong)
    with pytest.raises(ConflictError, match=r"on hold since .* by ann: 1 run"):
        sync(kept)
    assert kept.row("property", 1)["city"] == "Prosser"
    with OpsReader(psycopg.conninfo.conninfo_to_dict(kept.url)) as reader:
        (standing,) = reader.overview([kept.fips])
    assert standing.facts.certificate_state == "rolled_back", "the page shows no certificate of an undone run"
    assert "by ann: 1 run(s) were rolled back" in str(standing.facts.hold)
    assert "Runs were undone" in certificate_page(latest(kept), "A county")
    resume(kept)
    sync(kept)
    assert kept.row("property", 1)["city"] == "Finley", "the source still says so"


def test_a_rollback_is_shown_before_it_is_done(kept: County) -> None:
    """The proposal changes nothing; the digest binds the decision to it."""
    kept.add("property", 1, 2)
    sync(kept)
    kept.change("property", 1, City="Finley")
    kept.add("property", 3, at=kept.stamp())
    wrong = sync(kept)
    before = state(kept)
    shown = proposal(kept, wrong)
    (each,) = shown.entities
    assert (each.restored, each.removed, each.leaving, each.live) == (1, 1, 1, 3)
    assert [str(run.run_id) for run in shown.runs] == [wrong]
    assert shown.conflict_count == 0
    assert state(kept) == before
    with pytest.raises(ConflictError, match="no longer the one that was shown"):
        undo(kept, wrong, digest="0" * 64)
    assert state(kept) == before
    undo(kept, wrong, digest=shown.digest)
    audited = kept.sql(
        "SELECT object, details FROM pacs_ops.audit WHERE county_id = %s AND action = 'run.rolled_back'",
        kept.fips,
    )
    assert [(row["object"], row["details"]["by"], row["details"]["runs"]) for row in audited] == [
        (wrong, "ann", [wrong])
    ]


def test_rows_that_a_later_run_touched_stand_against_it_and_are_listed(kept: County) -> None:
    kept.add("property", 1, 2, 3)
    sync(kept)
    kept.change("property", 1, City="Finley")
    kept.change("property", 2, City="Finley")
    wrong = sync(kept)
    kept.change("property", 2, City="Pasco")
    after = sync(kept)
    before = state(kept)
    shown = proposal(kept, wrong)
    assert [(each.source_key, str(each.run_id)) for each in shown.conflicts] == [(key("property", 2), after)]
    with pytest.raises(ConflictError, match=rf"1 row\(s\) stand against .* by run {after}"):
        undo(kept, wrong)
    assert state(kept) == before
    first = kept.sql(
        "SELECT run_id::text FROM pacs_ops.sync_run WHERE county_id = %s ORDER BY epoch LIMIT 1", kept.fips
    )
    undo(kept, first[0]["run_id"], onto=True)
    assert {row["city"] for row in kept.rows("property").values()} == {"Prosser"}
    states = kept.sql("SELECT state FROM pacs_ops.sync_run WHERE county_id = %s ORDER BY epoch", kept.fips)
    assert [row["state"] for row in states] == ["succeeded", "rolled_back", "rolled_back", "succeeded"]


def test_a_row_that_something_else_changed_is_not_overwritten(kept: County) -> None:
    """The digest of the image that the run left tells."""
    kept.add("property", 1)
    sync(kept)
    kept.change("property", 1, City="Finley")
    wrong = sync(kept)
    kept.sql(f"UPDATE {kept.partition('property')} SET city = 'by hand'")
    with pytest.raises(ConflictError, match="changed by something beside the sync"):
        undo(kept, wrong)
    assert kept.row("property", 1)["city"] == "by hand"


def test_a_parent_of_rows_that_stay_is_not_removed(relatives: County) -> None:
    relatives.add("property", 1)
    relatives.add("owner", 1)
    sync(relatives)
    relatives.add("property", 2, at=relatives.stamp())
    wrong = sync(relatives)
    relatives.add("owner", 2, at=relatives.stamp())
    sync(relatives)
    with pytest.raises(ConflictError, match="its property would be removed"):
        undo(relatives, wrong)
    assert len(relatives.rows("property")) == 2


def test_the_delete_guard_asks_for_a_digest(kept: County) -> None:
    """More leaving rows than the guard allows need a person who saw the proposal."""
    kept.configure(delete_guard={"max_rows": 3, "max_percent": 0.0})
    kept.add("property", *range(5))
    sync(kept)
    kept.add("property", *range(5, 10), at=kept.stamp())
    wrong = sync(kept)
    assert proposal(kept, wrong).needs_digest
    with pytest.raises(ConflictError, match="5 live rows would leave"):
        undo(kept, wrong)
    assert len(kept.rows("property")) == 10
    undo(kept, wrong, digest=proposal(kept, wrong).digest)
    assert len(kept.rows("property")) == 5


def test_a_run_without_history_or_rolled_back_already_is_refused(county: County) -> None:
    county.add("property", 1)
    plain = sync(county)
    county.configure(history={"enabled": True})
    county.change("property", 1, City="Finley")
    noted = sync(county)
    with pytest.raises(ConflictError, match="not in the change log"):
        undo(county, plain)
    with pytest.raises(ConflictError, match="not in the change log"):
        undo(county, plain, onto=True)
    undo(county, noted)
    with pytest.raises(ConflictError, match="was rolled back by run"):
        undo(county, noted)
    with pytest.raises(ConflictError, match="no run's id"):
        undo(county, "tomorrow")


def test_a_gap_in_the_history_is_no_bridge(county: County) -> None:
    """A run between that kept no history can't be undone: nothing goes back over it, and `as_of` says so."""
    county.configure(history={"enabled": True})
    county.add("property", 1)
    first = sync(county)
    (moment,) = county.sql("SELECT clock_timestamp() AS t")
    county.configure(history={"enabled": False})
    county.change("property", 1, City="Finley")
    sync(county)
    county.configure(history={"enabled": True})
    county.change("property", 1, City="Pasco")
    sync(county)
    with pytest.raises(ConflictError, match="not in the change log"):
        undo(county, first, onto=True)
    county.sql("INSERT INTO pacs_ops.county_grant VALUES (session_user, '*') ON CONFLICT DO NOTHING")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        county.sql("SELECT * FROM pacs_report.property_as_of(%s, %s)", moment["t"], county.fips)


def test_a_clock_that_went_back_leaves_the_order_of_runs(kept: County) -> None:
    """The publish's time is strictly increasing in a county, whatever the server's clock does."""
    kept.add("property", 1)
    first = sync(kept)
    kept.sql("UPDATE pacs_ops.change_set SET at = at + interval '10 days' WHERE run_id = %s", first)
    kept.change("property", 1, City="Finley")
    sync(kept)
    rows = kept.sql("SELECT at FROM pacs_ops.change_set WHERE county_id = %s ORDER BY at", kept.fips)
    assert rows[1]["at"] - rows[0]["at"] == timedelta(microseconds=1)
    assert kept.row("property", 1)["_changed_at"] == rows[1]["at"]


def test_a_rollback_that_was_killed_after_its_publish_is_certified_by_the_next_call(
    kept: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.add("property", 1)
    sync(kept)
    kept.change("property", 1, City="Finley")
    wrong = sync(kept)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(type(kept.target.certifier), "issue", broken)
        with pytest.raises(RuntimeError, match="killed"):
            undo(kept, wrong)
    assert kept.row("property", 1)["city"] == "Prosser"
    assert kept.target.holds.current(kept.fips) is not None
    kept.target.staging.drop(
        [
            row["t"]
            for row in kept.sql(
                "SELECT tablename AS t FROM pg_tables WHERE schemaname = 'pacs_stage' AND tablename LIKE 'stage\\_%%\\_1'"
            )
        ]
    )
    outcome, certificate = undo(kept, wrong)
    assert (outcome.already_published, certificate.state) == (True, "rolled_back")


def test_an_overtaken_rollback_changes_nothing(kept: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """The epoch fences a rollback like any other run."""
    kept.add("property", 1)
    sync(kept)
    kept.change("property", 1, City="Finley")
    wrong = sync(kept)
    publish = type(kept.target.publisher).publish

    def overtaken(self: Any, *words: Any, **more: Any) -> Any:
        kept.target.runs.claim(
            county_id=kept.fips, county=kept.config.county, name=kept.config.name, identity={}
        )
        return publish(self, *words, **more)

    monkeypatch.setattr(type(kept.target.publisher), "publish", overtaken)
    with pytest.raises(ConflictError):
        undo(kept, wrong)
    assert kept.row("property", 1)["city"] == "Finley"
    assert kept.target.holds.current(kept.fips) is None


def test_a_row_that_changes_while_a_rollback_is_at_work_is_not_overwritten(
    kept: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands against it is looked for again in the publish's own transaction."""
    kept.add("property", 1)
    sync(kept)
    kept.change("property", 1, City="Finley")
    wrong = sync(kept)
    publish = type(kept.target.publisher).publish

    def changed_by_hand(self: Any, *words: Any, **more: Any) -> Any:
        kept.sql(f"UPDATE {kept.partition('property')} SET city = 'by hand'")
        return publish(self, *words, **more)

    monkeypatch.setattr(type(kept.target.publisher), "publish", changed_by_hand)
    with pytest.raises(ConflictError, match="1 rows stand against it"):
        undo(kept, wrong)
    assert kept.row("property", 1)["city"] == "by hand"
    assert kept.target.holds.current(kept.fips) is None


# The guide's rehearsals


def test_a_wrong_mapping_was_published(kept: County) -> None:
    """Every row bears the wrong value; the mapping is corrected, and the county goes on where it was."""
    kept.add("property", *range(30))
    good = sync(kept)
    before = state(kept)
    kept.configure(tables={"property": {"columns": {"city": "State"}}})
    wrong = sync(kept)
    assert {row["city"] for row in kept.rows("property").values()} == {"WA"}
    undo(kept, wrong)
    assert state(kept) == before
    kept.configure(tables={"property": {"columns": {}}})
    resume(kept)
    later(kept)
    outcome, certificate = kept.sync()
    assert (outcome.entities[0].mode, outcome.entities[0].changed, certificate.clean) == ("full", 0, True)
    assert kept.state("property").run_id != good


def test_the_vendor_restored_a_wrong_source(kept: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of last year behind the same name: rows are old, some are gone; all of it is undone, and the
    right database is recognised again as the one that the cursors were made from.
    """
    kept.add("property", *range(40))
    sync(kept)
    for number in range(40):
        kept.change("property", number, City="Finley")
    sync(kept)
    before = state(kept)
    right = before["source"][0]
    kept.change("property", *range(40), at=kept.stamp(days=200), City="Prosser")
    kept.remove("property", *range(30))
    with monkeypatch.context() as patched:
        patched.setattr(plan, "read_identity", lambda _: {**right, "fork": "another"})
        wrong = sync(kept)
    assert len(kept.pending("property")) == 1, "the delete guard held the deletes"
    assert state(kept)["source"] != [right]
    undo(kept, wrong)
    after = state(kept)
    assert after["cursors"][0].pop("watermark") is None, "the restore set the cursor back before the run read"
    assert after["cursors"][0].pop("source_columns") == {}
    for name in ("watermark", "source_columns"):
        before["cursors"][0].pop(name)
    assert after == before
    kept.add("property", *range(30))
    kept.change("property", *range(40), City="Finley")
    resume(kept)
    later(kept)
    _, certificate = kept.sync()
    assert certificate.clean
    assert {row["city"] for row in kept.rows("property").values()} == {"Finley"}


def test_an_approved_delete_should_not_have_been(kept: County) -> None:
    """The rows live again, and the set waits for another decision."""
    kept.add("property", *range(40))
    sync(kept)
    kept.remove("property", *range(30))
    sync(kept)
    before = state(kept)
    (pending,) = steps.pending_deletes(kept.config, kept.target)
    later(kept)
    steps.approve(
        kept.config,
        kept.source,
        kept.target,
        sets=[(pending.pending_id, pending.digest)],
        actor="bob",
        trigger="test",
    )
    assert len(kept.rows("property")) == 10
    (row,) = kept.sql(
        "SELECT run_id::text FROM pacs_ops.sync_run WHERE county_id = %s AND kind = 'approval'", kept.fips
    )
    undo(kept, row["run_id"])
    assert state(kept) == before
    assert len(kept.rows("property")) == 40
    (again,) = steps.pending_deletes(kept.config, kept.target)
    assert again.pending_id == pending.pending_id
    steps.reject(kept.config, kept.target, sets=[(again.pending_id, again.digest)], actor="bob")


def test_a_bulk_update_was_undone_at_the_source(kept: County) -> None:
    """The platform has the bulk update, the source has it no more and moved no stamp: the rollback takes the
    platform back, and the next run reads the window again and finds nothing to do.
    """
    kept.add("property", *range(30))
    sync(kept)
    before = state(kept)
    kept.change("property", *range(30), Acreage=9.75)
    wrong = sync(kept)
    kept.change("property", *range(30), at=None, Acreage=0.25)
    undo(kept, wrong)
    assert state(kept) == before
    kept.change(
        "property", *range(30), at=kept.stamp(hours=2)
    )  # the vendor's restore puts the old stamps back
    resume(kept)
    later(kept)
    kept.sync()
    assert {str(row["acreage"]) for row in kept.rows("property").values()} == {"0.25"}
    assert kept.reconcile().clean


@pytest.mark.parametrize("held_before", [False, True])
def test_what_only_a_comparison_had_found_is_found_again(kept: County, held_before: bool) -> None:
    """A change without a stamp, found by a reconcile that is rolled back: no window reaches the row, and
    nobody may call it clean. Also where a person had put the county on hold before.
    """
    kept.add("property", *range(30), at=kept.stamp(hours=9))
    kept.add("property", 100, at=kept.stamp(minutes=3))
    sync(kept)
    later(kept)
    kept.change("property", 3, at=None, City="Finley")
    certificate = kept.reconcile()
    assert kept.row("property", 3)["city"] == "Finley"
    if held_before:
        steps.hold(kept.config, kept.target, reason="looks wrong", actor="ann")
    undo(kept, certificate.run_id)
    assert kept.row("property", 3)["city"] != "Finley"
    resume(kept)
    later(kept)
    assert kept.sync()[1].clean
    assert kept.row("property", 3)["city"] == "Finley"


def test_promoted_columns_are_put_back_too(kept: County) -> None:
    """ADR 21: what a county promoted out of `extra` is part of the image."""
    kept.configure(tables={"property": {"extra": {"zone_code": "City"}, "promote": {"zone_code": "text"}}})
    kept.target.migrate()
    kept.target.promote({"property": (promoted_column("zone_code", "text"),)})
    kept.add("property", 1, City="R-1")
    sync(kept)
    before = state(kept)
    assert kept.row("property", 1)["zone_code"] == "R-1"
    kept.change("property", 1, City="R-2")
    wrong = sync(kept)
    assert kept.row("property", 1)["zone_code"] == "R-2"
    undo(kept, wrong)
    assert kept.row("property", 1)["zone_code"] == "R-1"
    assert state(kept) == before
