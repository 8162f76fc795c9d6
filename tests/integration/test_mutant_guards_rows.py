"""Staging, lists of keys, probes, quarantine and the guard: each fails where one guard is switched off."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import full_query
from airflow_provider_pacs.sync.steps.source_rows import SourceRows
from airflow_provider_pacs.sync.target.postgres import probes, stage_tables
from tests.integration.conftest import CountyMaker
from tests.support.county import County, certificate_of, key, of

PROPERTY = load_entities()["property"]
STAGE = "stage_guard"


def keys(*numbers: int) -> list[str]:
    return [key("property", number) for number in numbers]


def reader(county: County) -> SourceRows:
    """Reads properties by a plan that is not carried on."""
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    return SourceRows(county.source, county.target, plan.entities[0], county.fips)


def whole(county: County) -> SourceRows:
    """A staging table `STAGE` with every row of the source."""
    rows = reader(county)
    rows.fill(full_query(rows.table), STAGE)
    return rows


def staged(county: County) -> list[tuple[str, str]]:
    """(key, what it is) of `STAGE`."""
    rows = county.sql(f"SELECT property_id::text AS key, _op AS op FROM pacs_stage.{STAGE} ORDER BY 1")
    return [(row["key"], row["op"]) for row in rows]


def test_a_row_that_a_later_look_misses_is_gone(county: County) -> None:
    """Case 37: one read brought a row, the look by key after it does not: the later one counts."""
    county.add("property", 1)
    rows = whole(county)
    county.remove("property", 1)
    rows.fill_keys(keys(1), STAGE)
    assert staged(county) == [(key("property", 1), "D")]


def test_two_passes_are_no_duplicate(county: County) -> None:
    """Case C18: a row that was read by its window and again by its key is at the source once."""
    county.add("property", 1, 2)
    rows = whole(county)
    rows.fill_keys(keys(1), STAGE)
    assert county.target.staging.duplicated_keys(PROPERTY, STAGE) == []
    assert county.target.staging.deduplicate(PROPERTY, STAGE) == 1


def test_a_quarantined_key_that_a_full_read_does_not_bring_is_absent(county: County) -> None:
    """Case 111: a bad row that was never published goes at the source: its quarantine ends."""
    county.add("property", 1, 2)
    county.add("property", 3, Acreage=-1)
    county.sync()
    assert county.quarantine("property") == {key("property", 3): ["F1.5"]}
    county.remove("property", 3)
    assert county.sync(mode="full")[1].clean
    assert county.quarantine("property") == {}


def test_a_tombstone_is_not_absent_again(county: County) -> None:
    """Case 31: what is gone is not looked up by key in every full run for ever."""
    county.add("property", 1, 2)
    county.sync()
    county.remove("property", 1)
    assert of(county.sync(mode="full")[0], "property").deleted == 1
    whole(county)
    assert county.target.staging.absent_keys(PROPERTY, county.fips, STAGE) == []


def test_a_comparison_names_what_is_missing_and_what_differs(county: County) -> None:
    """Case 122: a tombstone whose row is at the source is missing, however equal it is."""
    county.add("property", *range(4))
    county.sync()
    whole(county)
    partition = county.partition("property")
    county.sql(f"UPDATE {partition} SET city = 'Spoilt' WHERE property_id = %s", key("property", 1))
    county.sql(f"DELETE FROM {partition} WHERE property_id = %s", key("property", 2))
    county.sql(f"UPDATE {partition} SET _deleted_at = now() WHERE property_id = %s", key("property", 3))
    differing = county.target.staging.differing_keys(PROPERTY, county.fips, STAGE)
    assert sorted(differing) == sorted(zip(keys(1, 2, 3), ["differing", "missing", "missing"], strict=True))


@pytest.mark.parametrize(
    ("state", "ended", "abandoned"),
    [
        ("running", None, False),
        ("superseded", "0", True),
        ("failed", "0", False),
        ("failed", "3 days", True),
        ("published", None, True),
    ],
)
def test_staging_of_a_run_at_work_is_not_abandoned(
    county: County, state: str, ended: str | None, abandoned: bool
) -> None:
    """Section M: a load that takes days keeps its tables; what was overtaken is dropped at once."""
    county.add("property", 1)
    run_id = county.stage()
    county.sql(
        "UPDATE pacs_ops.sync_run SET state = %s, started_at = now() - interval '3 days', "
        "finished_at = now() - %s::interval WHERE run_id = %s",
        state,
        ended,
        run_id,
    )
    table = county.plan_of(run_id, "property").stage_table
    assert (table in stage_tables.abandoned(county.target.connection, county.fips)) is abandoned


def test_what_the_target_must_hold(county: County) -> None:
    """Cases C16, 122: live rows, what is staged, what waits and what goes, each key once, counted and summed
    as the source does it.
    """
    county.add("property", *range(6))
    county.sync()
    county.change("property", 5, at=None, Acreage=-1)
    county.add("property", 6, Acreage=-1)
    county.add("property", *range(10, 60))
    county.sync(mode="full")
    assert set(county.quarantine("property")) == set(keys(5, 6))
    county.remove("property", 1)
    county.add("property", 7)
    rows = reader(county)
    rows.fill_nothing(STAGE)
    rows.fill_keys(keys(7, 1, 2), STAGE)
    census = rows.census(key_sum=True, sums=True)
    options = {"complete": False, "spelling": "guid"}
    must, target_totals = county.target.staging.expected_totals(
        PROPERTY,
        county.fips,
        STAGE,
        late=False,
        **options,  # type: ignore[arg-type]
    )
    assert must == target_totals
    assert (must.rows, must.key_sum) == (census.rows, census.key_sum)
    county.target.staging.write_keys(STAGE, ["\n".join(keys(3, 6, 7, 8)).encode() + b"\n"])
    must, again = county.target.staging.expected_totals(PROPERTY, county.fips, STAGE, late=True, **options)  # type: ignore[arg-type]
    assert again == target_totals
    assert must.rows == target_totals.rows + 1  # 8 alone is newer: 3 is live, 6 waits, 7 is staged


def test_pending_deletes_are_not_expected_at_the_source(county: County) -> None:
    """Case 40: rows that wait for a person are not there, and no comparison of keys is made for them."""
    county.add("property", *range(40))
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    rows = reader(county)
    rows.fill_nothing(STAGE)
    must, _ = county.target.staging.expected_totals(
        PROPERTY, county.fips, STAGE, complete=False, spelling="guid", late=False
    )
    assert must.rows == rows.census(key_sum=True, sums=True).rows == 10


def test_a_list_of_keys_beside_what_is_known(county: County) -> None:
    """Case C16: what waits is known; a whole read knows what it brought, and nothing else."""
    county.add("property", 1, 2)
    county.add("property", 3, Acreage=-1)
    county.sync()
    rows = reader(county)
    rows.fill_nothing(STAGE)
    rows.list_keys(STAGE)
    difference = county.target.staging.compare_keys(PROPERTY, county.fips, STAGE, complete=False)
    assert (difference.gone, difference.unknown, difference.rows) == ((), (), 3)
    difference = county.target.staging.compare_keys(PROPERTY, county.fips, STAGE, complete=True)
    assert set(difference.unknown) == set(keys(1, 2, 3))


def probed(county: County, payload: bytes) -> set[str]:
    """Which root keys differ from what was published, if a probe finds this; then it is published."""
    connection = county.target.connection
    probes.create(connection, STAGE)
    probes.fold(connection, STAGE, "contents", [payload])
    changed = set(probes.changed(connection, county.fips, PROPERTY, STAGE))
    probes.store(connection, county.fips, PROPERTY, STAGE)
    return changed


def test_probed_contents_that_come_go_or_change(county: County) -> None:
    """Section M: a root key that came, went or says something else is read again, and once only."""
    steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    assert probed(county, b"1,a\n2,b\n2,c\n") == {"1", "2"}
    assert probed(county, b"2,c\n2,b\n3,d\n") == {"1", "3"}
    assert probed(county, b"3,d\n2,b\n2,c\n") == set()
    assert probed(county, b"2,b\n2,x\n3,d\n") == {"2"}
    assert probed(county, b"2,b\n2,x\n3,d\n") == set()


def test_approved_deletes_do_not_count_for_the_next_run(county: County) -> None:
    """Case C21: what a person allowed takes nothing from what a run may do by itself."""
    county.add("property", *range(40))
    county.sync()
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    (pending,) = steps.pending_deletes(county.config, county.target)
    sets = [(pending.pending_id, pending.digest)]
    steps.approve(county.config, county.source, county.target, sets=sets, actor="ann", trigger="test")
    county.remove("property", 30, 31)
    outcome, certificate = county.sync()
    assert (of(outcome, "property").deleted, certificate.state) == (2, "clean")


def test_what_the_same_run_deleted_before_counts(make_county: CountyMaker) -> None:
    """Case 41: a cleared entity of a run deletes no more than a run may."""
    county = make_county(sections={"delete_guard": {"window_days": 0}})
    county.add("property", *range(60))
    county.sync()
    county.remove("property", *range(20))
    run_id = county.stage(mode="full")
    assert of(county.publish(run_id), "property").deleted == 20
    county.remove("property", *range(20, 30))
    county.extract(run_id, "property", attempt=2)
    county.validate(run_id, "property")
    counts = of(county.publish(run_id), "property")
    assert (counts.deleted, counts.pending_deletes) == (0, 10)


def test_quarantine_follows_the_image_of_a_bad_row(county: County) -> None:
    """Case C6: a row that is bad in another way is excused as what it is now."""
    county.add("property", *range(10))
    county.add("property", 10, Acreage=-1)
    county.sync()
    county.change("property", 10, at=None, Acreage=-2)
    certificate = county.sync()[1]
    assert certificate.clean
    assert certificate_of(certificate, "property").quarantined == 1


def test_a_row_that_turns_bad_again_is_in_quarantine_again(county: County) -> None:
    """Case 110: a release is no licence."""
    county.add("property", *range(10))
    for acreage in (-1, 1, -1):
        county.clock.step(hours=3)
        county.change("property", 3, Acreage=acreage)
        county.clock.step(minutes=5)
        assert county.sync()[1].clean
    assert county.quarantine("property") == {key("property", 3): ["F1.5"]}


def test_a_child_of_a_deleted_parent_waits(make_county: CountyMaker) -> None:
    """Case 113: a parent that is a tombstone is no parent for a child that comes now."""
    county = make_county(("property", "owner"))
    county.add("property", 1, 2)
    county.sync()
    county.remove("property", 1)
    county.sync()
    county.clock.step(hours=3)
    county.add("owner", 1, 2, at=county.stamp())
    county.clock.step(minutes=5)
    assert county.sync()[1].clean
    assert county.quarantine("owner") == {key("owner", 1): ["F2.15"]}


def test_many_orphans_block_their_entity(make_county: CountyMaker) -> None:
    """Section M: children without parents in this number mean that the parents were not published."""
    county = make_county(("property", "owner"))
    county.add("property", *range(10))
    county.add("owner", *range(60))
    outcome, certificate = county.sync()
    counts = of(outcome, "owner")
    assert (counts.state, certificate.state) == ("blocked", "blocked")
    assert "50 of 60 rows have no property" in counts.message
    assert county.rows("owner") == {}
