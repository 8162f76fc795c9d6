"""What a certificate may say, branch by branch: each of these fails where one guard of it is switched off."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import full_query
from airflow_provider_pacs.sync.records import Comparison, EntityCertificate
from airflow_provider_pacs.sync.steps.source_rows import SourceRows
from tests.integration.conftest import CountyMaker
from tests.support.county import County, certificate_of, key, of

PROPERTY = load_entities()["property"]


def keys(*numbers: int) -> list[str]:
    return [key("property", number) for number in numbers]


def spoil(county: County, *numbers: int) -> None:
    """Somebody writes into the county's partition."""
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'Spoilt' WHERE property_id = ANY (%s::uuid[])",
        keys(*numbers),
    )


def lose(county: County, *numbers: int) -> None:
    """Somebody deletes from the county's partition."""
    county.sql(
        f"DELETE FROM {county.partition('property')} WHERE property_id = ANY (%s::uuid[])", keys(*numbers)
    )


def mark(county: County, table: str, assignment: str, *numbers: int) -> None:
    """Change staged rows."""
    county.sql(
        f"UPDATE pacs_stage.{table} SET {assignment} WHERE property_id = ANY (%s::uuid[])", keys(*numbers)
    )


def read_again(county: County, run_id: str) -> str:
    """A staging table with what the source says now."""
    plan = county.plan_of(run_id, "property").read_plan
    SourceRows(county.source, county.target, plan, county.fips).fill(full_query(plan.table), "stage_guard")
    return "stage_guard"


def compare(county: County, fresh: str, staged: str | None) -> Comparison:
    return county.target.certifier.compare(
        PROPERTY, county.fips, fresh, staged, complete=True, waiting_rule=None
    )


def in_balance(part: EntityCertificate) -> bool:
    """Every row of both sides is in exactly one term."""
    return (part.source_remainder, part.target_remainder) == (0, 0)


def test_each_verdict_of_a_comparison(county: County) -> None:
    """Section M: each branch of the verdict over one pair of rows."""
    county.add("property", *range(10))
    county.sync()
    county.change("property", 4, 5, at=None, Acreage=-1)
    county.sync(mode="full")
    run_id = county.stage(mode="full")
    county.sql(
        "UPDATE pacs_ops.quarantine SET state = 'released' WHERE county_id = %s AND source_key = %s",
        county.fips,
        key("property", 5),
    )
    county.remove("property", 3)
    fresh = read_again(county, run_id)
    spoil(county, 1, 6, 9)
    lose(county, 2)
    county.sql(
        f"UPDATE {county.partition('property')} SET _deleted_at = now() WHERE property_id = %s",
        key("property", 7),
    )
    mark(county, fresh, "_late = 1", 6)
    mark(county, fresh, "_late = 0", 9)
    mark(county, fresh, "_reject = '{F1.5}'", 8)
    compared = compare(county, fresh, None)
    assert {each.key: each.kind for each in compared.differences} == dict(
        zip(keys(1, 2, 3, 5, 7, 8, 9), ["differing", "missing", "extra_in_target", "differing"], strict=False)
    ) | {key("property", 7): "missing", key("property", 8): "differing", key("property", 9): "differing"}
    assert (compared.compared, compared.equal, compared.quarantined, compared.late) == (9, 1, 1, 1)
    assert compared.kept == 2


def test_what_moved_since_the_read_and_what_did_not(county: County) -> None:
    """Section M: what the source changed after the run read it is newer; damage in the target never is."""
    county.add("property", *range(13))
    run_id = county.stage(mode="full")
    county.publish(run_id)
    staged = str(county.plan_of(run_id, "property").stage_table)
    county.sql(f"DELETE FROM pacs_stage.{staged} WHERE property_id = ANY (%s::uuid[])", keys(2, 3, 4))
    mark(county, staged, "_op = 'D'", 5, 6)
    mark(county, staged, "_reject = '{F1.5}'", 7)
    county.sql(f"CREATE TABLE pacs_stage.guard AS SELECT * FROM pacs_stage.{staged}")
    county.sql("UPDATE pacs_stage.guard SET _pass = 0, city = 'Older'")
    county.sql(
        f"INSERT INTO pacs_stage.{staged} SELECT * FROM pacs_stage.guard WHERE property_id = %s",
        key("property", 12),
    )
    county.sql("DROP TABLE pacs_stage.guard")
    spoil(county, 1, 4, 6, 7, 10)
    lose(county, 3, 5)
    county.remove("property", 0, 1, 2)
    county.change("property", 8, 10, 12, City="Finley")
    fresh = read_again(county, run_id)
    mark(county, fresh, "_reject = '{F1.5}'", 11)
    moved = {each.key: each.changed_since_read for each in compare(county, fresh, staged).differences}
    assert {moved_key for moved_key, since in moved.items() if since} == set(keys(0, 3, 5, 8, 12))
    assert {moved_key for moved_key, since in moved.items() if not since} == set(keys(1, 2, 4, 6, 7, 10, 11))


def test_a_window_beside_rows_that_wait(county: County) -> None:
    """Cases 40, 122: pending and quarantined rows outside the window are in a term of their own, also where a
    row goes between publish and certificate.
    """
    county.add("property", *range(40))
    county.add("property", 50, Acreage=-1)
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    county.clock.step(hours=5)
    county.change("property", 35, City="Finley")
    county.clock.step(minutes=5)
    run_id = county.stage()
    county.publish(run_id)
    part = certificate_of(county.certify(run_id), "property")
    assert (part.covered, part.state, part.pending_deletes, part.quarantined) == ("window", "pending", 30, 1)
    assert in_balance(part)
    county.clock.step(minutes=5)
    run_id = county.stage()
    county.publish(run_id)
    county.remove("property", 36)
    part = certificate_of(county.certify(run_id), "property")
    assert (part.state, part.pending_deletes, part.kept, part.extra_in_target) == ("pending", 30, 1, 0)
    assert in_balance(part)


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_change_that_the_next_window_misses_is_drift(county: County, mode: str) -> None:
    """Case 122: a change after the read whose stamp lies before the next window is no news of the next run."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=5)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    run_id = county.stage(mode=mode)
    county.publish(run_id)
    county.change("property", 1, at=county.stamp(hours=4), City="Kahlotus")
    county.source.before_stream = None
    part = certificate_of(county.certify(run_id), "property")
    assert (part.state, part.newer) == ("drift", 0)


def test_a_row_without_a_stamp_that_changes_is_newer(make_county: CountyMaker) -> None:
    """Cases 6, 123: every run reads a row without a stamp, so the next one brings what changed."""
    county = make_county(["owner"])
    county.add("owner", 1, 2)
    county.change("owner", 1, at=None, LastModified=None)
    county.sync()
    county.clock.step(days=3)
    run_id = county.stage()
    county.publish(run_id)
    county.change("owner", 1, at=None, OwnerName="Zoë Peña")
    part = certificate_of(county.certify(run_id), "owner")
    assert (part.state, part.newer, part.differing) == ("clean", 1, 0)


def test_a_certificate_looks_again_before_it_says_anything(county: County) -> None:
    """Case 123: one read may be overtaken: what differs is read once more."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=5)
    run_id = county.stage(mode="full")
    county.publish(run_id)
    county.change("property", 1, at=None, City="Finley")

    def back(sql: str) -> None:
        if " IN (" in sql:
            county.change("property", 1, at=None, City="Prosser")

    county.source.before_stream = back
    part = certificate_of(county.certify(run_id), "property")
    assert (part.state, part.equal) == ("clean", 2)


def test_a_blocked_entity_fails_the_certify_step(county: County) -> None:
    """Cases C1, C23: the step that ends the run raises, after the certificate was stored."""
    county.add("property", *range(40))
    county.add("property", *range(40, 100), YearBuilt=99)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property")
    assert not county.validate(plan.run_id, "property")
    county.publish(plan.run_id)
    with pytest.raises(steps.CertificateError, match="incomplete"):
        steps.certify(county.config, county.source, county.target, run_id=plan.run_id)
    stored = county.target.certifier.of_run(plan.run_id)
    assert stored is not None
    assert stored.state == "blocked"


def test_staging_stays_while_a_part_of_the_run_is_blocked(make_county: CountyMaker) -> None:
    """Cases C14, C19: cleared tasks of the run find what the others staged."""
    county = make_county(("property", "owner"))
    county.add("property", 1)
    county.add("owner", 1)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property")
    county.validate(plan.run_id, "property")
    county.publish(plan.run_id)
    table = str(county.plan_of(plan.run_id, "property").stage_table)
    assert county.certify(plan.run_id).state == "blocked"
    assert county.target.staging.count(table) == 1
    county.extract(plan.run_id, "owner", attempt=2)
    county.validate(plan.run_id, "owner")
    county.publish(plan.run_id)
    assert county.certify(plan.run_id).clean
    assert county.target.staging.count(table) == -1


def part_of(**changes: Any) -> EntityCertificate:
    """An arithmetic that comes out, then changed."""
    terms: dict[str, Any] = {"equal": 4, "quarantined": 2, "waiting": 3, "newer": 5, "kept": 6}
    terms |= {"pending_deletes": 7, "source_rows": 14, "target_rows": 17}
    return EntityCertificate("owner", "all_rows", "clean", **terms | changes)


@pytest.mark.parametrize(
    ("changes", "drift"),
    [
        ({}, 0),
        ({"missing": 1, "source_rows": 15}, 1),
        ({"differing": 1, "source_rows": 15, "target_rows": 18}, 1),
        ({"extra_in_target": 1, "target_rows": 18}, 1),
        ({"source_rows": 15}, 1),
        ({"source_rows": 12}, 2),
        ({"target_rows": 18}, 1),
        ({"source_rows": 15, "target_rows": 16}, 2),
    ],
)
def test_every_term_is_in_the_drift(changes: dict[str, int], drift: int) -> None:
    """Section M: a difference of counts is drift, whichever term it is in, and never cancels another."""
    assert part_of(**changes).drift == drift


def test_a_certificate_is_in_the_audit_and_names_its_head(county: County) -> None:
    """What was certified can be proved later from the chain alone."""
    county.add("property", 1)
    certificate = county.sync()[1]
    position, _, digest = certificate.audit_head.partition(":")
    rows = county.sql(
        "SELECT action, encode(hash, 'hex') AS hash, details->>'state' AS state FROM pacs_ops.audit "
        "WHERE county_id = %s AND position = %s",
        county.fips,
        int(position or 0),
    )
    assert rows == [{"action": "run.certificate", "hash": digest, "state": "clean"}]
    stored = county.target.certifier.of_run(certificate.run_id)
    assert stored is not None
    assert stored.audit_head == certificate.audit_head


def test_a_certificate_covers_what_its_narrowest_entity_covers(make_county: CountyMaker) -> None:
    """An entity that joins later is read whole, the others by their windows: the whole says `window`."""
    county = make_county(("property",))
    county.add("property", 1)
    county.add("owner", 1)
    county.sync()
    county.clock.step(hours=3)
    county.configure(sync={"entities": ["property", "owner"]})
    outcome, certificate = county.sync()
    assert (of(outcome, "property").mode, of(outcome, "owner").mode) == ("window", "full")
    assert certificate.clean
    assert certificate.covered == "window"
