"""Rolling runs back: rows, tombstones, quarantine and cursors as they were, the county on hold; what stands against it.

The mistakes that the guide rehearses are the last tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Certificate, RollbackProposal, RunOutcome
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key


@pytest.fixture
def kept(county: County) -> County:
    """A county of properties that keeps its history."""
    county.configure(history={"enabled": True})
    return county


@pytest.fixture
def family(make_county: CountyMaker) -> County:
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
    found = {name: [row["x"] for row in county.sql(text, county.fips)] for name, text in queries.items()}
    for entity in county.config.sync.entities:
        if county.sql("SELECT to_regclass(%s) AS t", county.partition(entity))[0]["t"]:
            rows = county.sql(f"SELECT t::text AS x FROM {county.partition(entity)} AS t")
            found[entity] = [row["x"] for row in rows]
    return {name: sorted(rows, key=lambda row: json.dumps(row, default=str)) for name, rows in found.items()}


def test_a_rollback_puts_everything_back_to_the_byte(family: County) -> None:
    """Rows, tombstones, quarantine, the cursor and provenance are as they were before the run."""
    family.add("property", 1, 2, 3, 4)
    family.add("owner", 1, 2, 3)
    sync(family)
    family.change("property", 3, Acreage=-1)
    sync(family)
    before = state(family)
    family.change("property", 1, City="Finley")
    family.change("property", 3, Acreage=2)
    family.change("property", 4, Acreage=-1)
    family.remove("owner", 2)
    family.add("property", 5, at=family.stamp())
    family.add("owner", 5, at=family.stamp())
    wrong = sync(family)
    assert state(family) != before
    outcome, certificate = undo(family, wrong)
    assert state(family) == before
    assert certificate.state == "rolled_back"
    assert {each.entity: each.state for each in outcome.entities} == {
        "property": "published",
        "owner": "published",
    }
    runs = family.sql(
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
    with pytest.raises(ConflictError, match="on hold since .* by ann: 1 run"):
        sync(kept)
    assert kept.row("property", 1)["city"] == "Prosser"
    resume(kept)
    sync(kept)
    assert kept.row("property", 1)["city"] == "Finley", "the source still says so"
