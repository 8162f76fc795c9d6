"""Every source type through the whole path: SQL Server, Microsoft's driver, the bulk reader, the mapping,
COPY, PostgreSQL's canonical columns.

What can't be carried is rejected with a reason, never bent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import full_query
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.records import ReadPlan
from airflow_provider_pacs.sync.schema.catalog import describe
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.steps.source_rows import SourceRows
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.server import MssqlServer
from tests.support.values import CASES, UUID, Case

ENTITY = load_entities()["property"]
SLOTS = {
    "uuid": ("property_id",), "text": ("address", "city", "legal_description"), "numeric": ("acreage",), "integer": ("year_built",),
    "timestamp": ("last_modified",), "boolean": ("is_active",),
}  # fmt: skip


@pytest.fixture(scope="module")
def target(pg_url: str) -> Iterator[PostgresTarget]:
    with PostgresTarget.from_url(pg_url) as opened:
        opened.migrate()
        yield opened


def rounds() -> list[dict[str, Case]]:
    """Canonical columns and the cases that fill them, as many rounds as it takes until every case had its
    turn.
    """
    out: list[dict[str, Case]] = []
    most = max(-(-len(cases) // len(SLOTS[canonical])) for canonical, cases in CASES.items())
    for number in range(most):
        chosen = {}
        for canonical, slots in SLOTS.items():
            cases = CASES[canonical]
            for place, slot in enumerate(slots):
                chosen[slot] = cases[(number * len(slots) + place) % len(cases)]
        out.append(chosen)
    return out


def literal(text: str) -> str:
    return (
        "N'" + text.replace("'", "''") + "'"
        if "\x00" not in text
        else " + NCHAR(0) + ".join(literal(part) for part in text.split("\x00"))
    )


def columns(chosen: dict[str, Case]) -> str:
    """Declarations under odd names; every case also has a row of NULLs, so only `k` is NOT NULL."""
    return ", ".join(
        ["k int NOT NULL", *(f"[the {slot}] {case.declared} NULL" for slot, case in chosen.items())]
    )


@pytest.mark.parametrize("number", range(len(rounds())))
def test_every_type_arrives_as_its_text_or_with_a_reason(
    mssql: MssqlServer, target: PostgresTarget, number: int
) -> None:
    """Cases 56 to 68, 70, 73, 74, 79: the list of types, value by value in tests/support/values.py."""
    chosen = rounds()[number]
    with ExitStack() as stack:
        name = stack.enter_context(mssql.table(columns(chosen)))
        for row in range(3):
            values = ", ".join(literal(case.literals[row]) for case in chosen.values())
            mssql.execute(f"INSERT INTO dbo.{name} VALUES ({row}, {values})")
        mssql.execute(f"INSERT INTO dbo.{name} VALUES (3, {', '.join(['NULL'] * len(chosen))})")
        mapped = tuple(
            (c, f"the {c}" if c in chosen else "k")
            for c in ENTITY.mapped_names
            if c in chosen or c == "parcel_number"
        )
        reader = stack.enter_context(SqlServerReader(mssql.address, attempts=1))
        resolved = describe(reader, TableMap("property", "dbo", name, None, mapped))
        stage = f"types_{number}"
        plan = ReadPlan(resolved, "full", "compare", "a test", None, None, None, "f", "s")
        assert SourceRows(reader, target, plan, "53005").fill(full_query(resolved), stage) == 4
        wanted = ", ".join(f"{slot}::text" for slot in chosen)
        stored = target.connection.execute(
            f"SELECT {wanted}, _reject FROM pacs_stage.{stage} ORDER BY parcel_number"
        ).fetchall()
    for row, got in enumerate(stored[:3]):
        expected = tuple(case.expected[row] for case in chosen.values())
        assert got[:-1] == expected, [f"{slot} {case.declared}" for slot, case in chosen.items()]
        reasons = sorted(f"MAP.{slot}" for slot, case in chosen.items() if case.expected[row] is None)
        assert sorted(got[-1] or []) == reasons
    assert stored[3] == (None,) * len(chosen) + (None,)


@pytest.mark.parametrize("declared", ["text", "ntext", "varchar(max)"])
def test_a_long_text_whose_length_nobody_knows_is_measured(mssql: MssqlServer, declared: str) -> None:
    """Where the catalog may not be read, no bound comes with the statement; the driver gives `text` as 2 GB
    long, which no buffer holds.
    """
    with (
        mssql.table(f"k int NOT NULL, words {declared} NULL") as name,
        SqlServerReader(mssql.address, attempts=1) as reader,
    ):
        mssql.execute(
            f"INSERT INTO dbo.{name} VALUES (1, REPLICATE(CONVERT(varchar(max), 'abc'), 9000)), (2, NULL)"
        )
        lengths = [
            row for batch in reader.stream(f"SELECT k, words FROM dbo.{name}") for row in batch.to_pylist()
        ]
    assert sorted(lengths, key=lambda row: row["k"]) == [
        {"k": 1, "words": "abc" * 9000},
        {"k": 2, "words": None},
    ]


def test_a_key_that_is_no_guid_is_never_made_one() -> None:
    """What the generic profile can't carry today, said once: its keys are GUIDs, as such or as text."""
    assert [case.declared for case in UUID if set(case.expected) == {None}] == ["int", "bigint"]
