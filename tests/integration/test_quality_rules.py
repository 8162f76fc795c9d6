"""Every rule of every suite against a real PostgreSQL: rows that break it, rows that don't, and Great
Expectations of the same opinion.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from quality_stage import SCHEMA, broken_rows, create_partition, create_stage, insert_rows, key
from roll_rule_cases import ROLL_GOOD, roll_cases

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import ValidationContext, load_suite, reject_statement, validate_stage

Case = tuple[dict[str, Any], set[str]]
YEAR = 2026
ENTITIES = load_entities()

GOOD: dict[str, dict[str, Any]] = {
    "property": {
        "parcel_number": None,
        "state": "WA",
        "zip_code": "99352",
        "acreage": 0.25,
        "year_built": 1987,
        "is_active": True,
    },
    "owner": {
        "property_id": key("staged"),
        "owner_name": "DOE JANE Q",
        "ownership_percentage": None,
        "start_date": datetime(2020, 1, 1),
    },
    "value": {
        "property_id": key("staged"),
        "tax_year": 2026,
        "assessed_value": 300,
        "market_value": 300,
        "land_value": 100,
        "improvement_value": 200,
    },
    "structure": {
        "property_id": key("staged"),
        "square_footage": 1800,
        "year_built": 1987,
        "bedrooms": 3,
        "bathrooms": 2.5,
    },
}

ORPHANS: list[Case] = [
    ({"property_id": key("nowhere")}, {"F2.15"}),
    ({"property_id": key("rejected")}, {"F2.15"}),
    ({"property_id": key("deleted")}, {"F2.15"}),
    ({"property_id": None}, {"F2.15"}),
    ({"property_id": key("published")}, set()),
    ({"property_id": key("rejected, published before")}, set()),
]

CASES: dict[str, list[Case]] = {
    "property": [
        ({"property_id": None}, {"F1.1"}),
        *[({"property_id": key("twice")}, {"F1.1-unique"})] * 2,
        ({"parcel_number": None}, {"F1.2"}),
        ({"parcel_number": ""}, {"F1.2"}),
        ({"parcel_number": " --\t"}, {"F1.2"}),
        *[({"parcel_number": "1-0884-100"}, {"F1.4"})] * 2,
        ({"parcel_number": "1-0884-100", "is_active": False}, set()),
        ({"parcel_number": "1-0884-100", "is_active": None}, set()),
        ({"acreage": -0.0001}, {"F1.5"}),
        ({"acreage": 50000.01}, {"F1.5-high"}),
        *[({"acreage": acres}, set()) for acres in (0, 50000, None)],
        *[({"zip_code": code}, {"F1.7-zip"}) for code in ("9935", "99352-12", "99352\n", "A9352", "")],
        *[({"zip_code": code}, set()) for code in ("99352-1234", None)],
        *[({"state": state}, {"F1.7-state"}) for state in ("XX", "wa", "")],
        *[({"state": state}, set()) for state in ("OR", "DC", None)],
        *[({"year_built": year}, {"F4.36"}) for year in (1699, YEAR + 3, -1)],
        ({"year_built": 0}, {"F4.36-zero"}),
        *[({"year_built": year}, set()) for year in (1700, YEAR + 2, None)],
    ],
    "owner": [
        ({"owner_id": None}, {"F1.1"}),
        *[({"owner_id": key("twice")}, {"F1.1-unique"})] * 2,
        *ORPHANS,
        *[
            (
                {"ownership_percentage": share, "property_id": key(f"alone {share}")},
                {"F2.15", "F2.17", "F2.18"},
            )
            for share in (-1, 100.02)
        ],
        ({"ownership_percentage": 100.0001, "property_id": key("alone, rounded")}, {"F2.15", "F2.17"}),
        ({"ownership_percentage": 0, "property_id": key("alone 0")}, {"F2.15", "F2.17-zero", "F2.18"}),
        *[({"ownership_percentage": 60, "property_id": key("120 %")}, {"F2.15", "F2.18"})] * 2,
        *[({"ownership_percentage": 33.3333333333, "property_id": key("thirds")}, {"F2.15"})] * 3,
        *[
            ({"ownership_percentage": 100, "property_id": key("years"), "tax_year": year}, {"F2.15"})
            for year in (2025, 2026)
        ],
        *[
            (
                {"ownership_percentage": 50, "property_id": key("half of a year"), "tax_year": year},
                {"F2.15", "F2.18"},
            )
            for year in (2025, 2026)
        ],
        *[
            ({"ownership_percentage": share, "property_id": key("one share unknown")}, {"F2.15"})
            for share in (60, None)
        ],
        ({"ownership_percentage": 100, "property_id": key("sold")}, {"F2.15"}),
        (
            {"ownership_percentage": 100, "property_id": key("sold"), "end_date": datetime(2024, 1, 1)},
            {"F2.15"},
        ),
        *[({"owner_name": name}, {"F2.19"}) for name in (None, "", " ", "-.,;[]{}%:\\'\"_")],
        *[({"owner_name": name}, set()) for name in ("O'BRIEN", "李", "7")],
        ({"end_date": datetime(2019, 12, 31)}, {"F2.22"}),
        *[({"end_date": end}, set()) for end in (datetime(2020, 1, 1), datetime(2021, 1, 1))],
        ({"start_date": None, "end_date": datetime(2019, 12, 31)}, set()),
    ],
    "value": [
        ({"value_id": None}, {"F1.1"}),
        *[({"value_id": key("twice")}, {"F1.1-unique"})] * 2,
        *ORPHANS,
        ({"assessed_value": -0.01}, {"F3.23-assessed"}),
        ({"market_value": -1}, {"F3.23-market", "F3.24", "F3.26"}),
        ({"land_value": -1, "improvement_value": 301}, {"F3.23-land"}),
        ({"land_value": 301, "improvement_value": -1}, {"F3.23-improvement"}),
        ({"land_value": 101.01}, {"F3.24"}),
        ({"improvement_value": 0}, {"F3.24"}),
        *[({"land_value": land}, set()) for land in (101, 99, None)],
        ({"assessed_value": 0, "market_value": 0, "land_value": 0, "improvement_value": 0}, {"F3.25"}),
        ({"assessed_value": 300.01}, {"F3.26"}),
        *[({"assessed_value": value}, set()) for value in (0, 299, None)],
        *[({"tax_year": year}, {"F3.30"}) for year in (1979, YEAR + 2, -1, 1)],
        *[({"tax_year": year}, set()) for year in (0, 1980, YEAR + 1, None)],
    ],
    "structure": [
        ({"structure_id": None}, {"F1.1"}),
        *[({"structure_id": key("twice")}, {"F1.1-unique"})] * 2,
        *ORPHANS,
        *[({"year_built": year}, {"F4.36"}) for year in (1699, YEAR + 3)],
        ({"year_built": 0}, {"F4.36-zero"}),
        *[({"year_built": year}, set()) for year in (1700, YEAR + 2, None)],
        ({"square_footage": -1}, {"F4.38"}),
        ({"square_footage": 200001}, {"F4.38-high"}),
        *[({"square_footage": feet}, set()) for feet in (0, 200000, None)],
        *[({"bedrooms": count}, {"F4.39-bedrooms"}) for count in (-1, 51)],
        *[({"bathrooms": count}, {"F4.39-bathrooms"}) for count in (-0.5, 50.5)],
        *[({"bedrooms": count, "bathrooms": count}, set()) for count in (0, 50, None)],
    ],
}
GOOD |= ROLL_GOOD
CASES |= roll_cases(ORPHANS)


def _row(name: str, number: int, overrides: dict[str, Any]) -> dict[str, Any]:
    own = {ENTITIES[name].key: key(f"{name} {number}")}
    if name == "property":
        own["parcel_number"] = f"P-{number}"
    return {**GOOD[name], **own, **overrides}


@pytest.fixture(scope="module")
def connection(pg_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The module's database, with the properties that a child may find staged or published."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        create_stage(connection, ENTITIES["property"], "parents")
        refused = [
            {"property_id": key(name), "_reject": ["F1.2"]}
            for name in ("rejected", "rejected, published before")
        ]
        insert_rows(connection, "parents", [{"property_id": key("staged")}, *refused])
        create_partition(connection, ENTITIES["property"], "published")
        gone = {"property_id": key("deleted"), "_deleted_at": datetime(2025, 1, 1)}
        there = [{"property_id": key(name)} for name in ("published", "rejected, published before")]
        insert_rows(connection, "published", [gone, *there])
        yield connection


def _context(name: str) -> ValidationContext:
    stage, partition = (
        (None, None) if name == "property" else (f'"{SCHEMA}"."parents"', f'"{SCHEMA}"."published"')
    )
    return ValidationContext("53005", YEAR, SCHEMA, f"{name}__Run-1", stage, partition)


@pytest.mark.parametrize("name", ENTITIES)
def test_each_rule_finds_its_bad_rows_and_no_other(
    name: str, pg_url: str, connection: psycopg.Connection[Any]
) -> None:
    entity, context, cases = ENTITIES[name], _context(name), CASES[name]
    rules = load_suite(entity)
    create_stage(connection, entity, context.stage_table)
    insert_rows(
        connection,
        context.stage_table,
        [_row(name, number, overrides) for number, (overrides, _) in enumerate([*cases, ({}, set())])],
    )

    for rule in rules:
        broken = [number for number, (_, expected) in enumerate(cases) if rule.id in expected]
        assert broken, f"{rule.id} has no failing fixture"
        assert broken_rows(connection, entity, rule, context) == broken, rule.id

    results = validate_stage(pg_url, entity, rules, context)
    assert [result.rule_id for result in results] == [rule.id for rule in rules]
    for result in results:
        expected = sum(result.rule_id in ids for _, ids in cases)
        assert (result.unexpected, result.success, result.evaluated) == (expected, False, len(cases) + 1), (
            result
        )
        assert result.blocks == (result.severity == "block"), (
            "fewer than 25 bad rows only block where the rule itself blocks"
        )


@pytest.mark.parametrize("name", ENTITIES)
def test_rejecting_marks_exactly_the_quarantined_rows_and_twice_changes_nothing(
    name: str, connection: psycopg.Connection[Any]
) -> None:
    entity, context, cases = ENTITIES[name], _context(name), CASES[name]
    rules = load_suite(entity)
    create_stage(connection, entity, context.stage_table)
    insert_rows(
        connection,
        context.stage_table,
        [_row(name, number, overrides) for number, (overrides, _) in enumerate(cases)],
    )
    connection.execute(f"UPDATE {context.stage} SET _reject = ARRAY['mapping'] WHERE _seq = 0".encode())
    statement = reject_statement(entity, rules, context)
    assert statement is not None

    quarantining = {rule.id for rule in rules if rule.severity == "quarantine"}
    expected = {number: sorted(ids & quarantining) or None for number, (_, ids) in enumerate(cases)}
    expected[0] = ["mapping", *(expected[0] or [])]
    for _ in range(2):
        connection.execute(statement.encode())
        marked = dict(connection.execute(f"SELECT _seq, _reject FROM {context.stage}".encode()).fetchall())
        assert marked == expected


def test_rejecting_without_a_quarantine_rule_is_no_statement() -> None:
    assert (
        reject_statement(
            ENTITIES["owner"],
            [rule for rule in load_suite(ENTITIES["owner"]) if rule.severity == "warn"],
            _context("owner"),
        )
        is None
    )
