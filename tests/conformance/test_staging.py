"""Staging: a table of its own per try, passes over the source, and what they show beside what is published."""

from __future__ import annotations

import hashlib

from tests.conformance.conftest import Opener
from tests.conformance.county import PROPERTY, StagedCounty, key, row


def test_rows_arrive_and_are_counted(county: StagedCounty) -> None:
    staging = county.target.staging
    assert staging.count("nowhere") == -1
    county.fill("staged", [row(1), row(2)])
    assert staging.count("staged") == 2
    county.fill("staged", [row(3)])
    assert staging.count("staged") == 1, "a fill that does not append begins anew"
    county.fill("staged", [])
    assert staging.count("staged") == 0


def test_the_last_pass_of_a_key_counts(county: StagedCounty, open_target: Opener) -> None:
    """Also where another process goes on with the table."""
    county.load(1, 2)
    county.fill("passes", [row(1), row(2)])
    other = StagedCounty(open_target(), county.fips)
    other.fill("passes", [row(1, "Finley")], append=True)
    assert other.target.staging.count("passes") == 3
    assert other.target.staging.deduplicate(PROPERTY, "passes") == 1
    differing = other.target.staging.differing_keys(PROPERTY, county.fips, "passes")
    assert differing == [(key(1), "differing")]


def test_a_key_that_one_pass_brought_twice_is_named(county: StagedCounty) -> None:
    county.fill("twice", [row(1), row(1, "Finley"), row(2)])
    assert county.target.staging.duplicated_keys(PROPERTY, "twice") == [key(1)]
    county.fill("once", [row(1), row(2)])
    county.fill("once", [row(1)], append=True)
    assert county.target.staging.duplicated_keys(PROPERTY, "once") == []


def test_what_is_published_and_not_staged_is_absent(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    county.fill("complete", [row(1), row(4)])
    assert sorted(county.target.staging.absent_keys(PROPERTY, county.fips, "complete")) == sorted(
        [key(2), key(3)]
    )


def test_differences_are_named_by_kind(county: StagedCounty) -> None:
    county.load(1, 2)
    county.fill("fresh", [row(1), row(2, None), row(3)])
    differing = county.target.staging.differing_keys(PROPERTY, county.fips, "fresh")
    assert sorted(differing) == sorted([(key(2), "differing"), (key(3), "missing")])


def test_null_and_empty_text_differ(county: StagedCounty) -> None:
    plan = county.plan()
    county.stage(plan, [row(1, ""), row(2, None)])
    county.publish(plan)
    county.fill("same", [row(1, ""), row(2, None)])
    assert county.target.staging.differing_keys(PROPERTY, county.fips, "same") == []
    county.fill("other", [row(1, None), row(2, "")])
    assert len(county.target.staging.differing_keys(PROPERTY, county.fips, "other")) == 2


def test_keys_that_the_source_does_not_bring_are_marked_as_gone(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    staging = county.target.staging
    county.fill("looked", [])
    county.fill("looked", [row(1)], append=True)
    staging.mark_gone(PROPERTY, "looked", [key(1), key(2)])
    assert staging.count("looked") == 2
    assert staging.gone_and_live(PROPERTY, county.fips, "looked", [key(1), key(2), key(3)]) == [key(2)]


def test_a_list_of_keys_shows_what_came_and_what_went(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    staging = county.target.staging
    county.fill("window", [row(1)])
    staging.write_keys("window", ["".join(f"{key(number)}\n" for number in (1, 3, 4, 4)).encode()])
    shown = staging.compare_keys(PROPERTY, county.fips, "window", complete=False)
    assert (shown.gone, shown.unknown, shown.rows) == ((key(2),), (key(4),), 4)
    assert shown.duplicated == (key(4),)


def test_expected_totals_count_what_is_published_and_staged(county: StagedCounty) -> None:
    county.load(1, 2, 3)
    county.fill("more", [row(3), row(4)])
    must, _ = county.target.staging.expected_totals(
        PROPERTY, county.fips, "more", complete=False, spelling="text", late=False
    )
    assert must.rows == 4
    must, target_totals = county.target.staging.expected_totals(
        PROPERTY, county.fips, "more", complete=True, spelling="guid", late=False
    )
    assert must.rows == target_totals.rows == 2
    assert int(must.key_sum) == sum(_number(key(number)) for number in (3, 4))


def _number(guid: str) -> int:
    """The first seven bytes of the SHA-256 of the key as SQL Server writes a uniqueidentifier."""
    return int.from_bytes(hashlib.sha256(guid.upper().encode()).digest()[:7], "big")


def test_rejected_rows_are_marked_by_rule(county: StagedCounty) -> None:
    county.fill("marked", [row(1), row(2, None), row(3, None)])
    assert county.target.staging.mark_rejects("marked", [("F9.9", "s.city IS NULL")]) == 2


def test_a_partition_exists_from_the_first_publish_on(county: StagedCounty) -> None:
    staging = county.target.staging
    assert staging.partition(PROPERTY, county.fips) is None
    county.load(1, 2)
    assert staging.partition(PROPERTY, county.fips) is not None
    assert staging.entity_size(PROPERTY, county.fips) == 2


def test_tables_go_with_all_that_stands_beside_them(county: StagedCounty) -> None:
    staging = county.target.staging
    county.fill("leaving", [row(1)])
    staging.write_keys("leaving", [f"{key(1)}\n".encode()])
    staging.drop(["leaving", "never_was"])
    assert staging.count("leaving") == -1


def test_what_an_overtaken_run_left_is_dropped(county: StagedCounty) -> None:
    earlier = county.plan()
    table = county.stage(earlier, [row(1)])
    county.plan()
    county.target.staging.drop_abandoned(county.fips)
    assert county.target.staging.count(table) == -1
