"""Applies one night's changes to the generic county, stamped by the sandbox's clock (which moves on by 8
hours).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from airflow_provider_pacs.sandbox.counties.generic_tables import DATABASE
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.row_changes import RowChanges
from airflow_provider_pacs.sandbox.tsql.server import Server
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.tsql.variables import ticks

HOURS = 8
TIED_ROWS = 350
LATE = timedelta(minutes=10)
_CHILDREN = (
    ("PropertyOwner", "OwnerID", "OwnershipPercentage"),
    ("PropertyValue", "ValueID", "AssessedValue"),
    ("Structure", "StructureID", "SquareFootage"),
)


@dataclass(frozen=True, slots=True)
class Night:
    """How many rows a night changed, by what happened to them; `tied_at` is the stamp that `tied` rows share,
    `late_at` that of the late commit.
    """

    updated: int
    inserted: int
    soft_deleted: int
    undeleted: int
    hard_deleted: int
    lone_children_deleted: int
    tied: int
    late: int
    tied_at: str
    late_at: str


def mutate(engine: Server, seed: int) -> Night:
    """Applies a night's changes in one transaction and advances the clock by `HOURS`."""
    con = engine.con.cursor()
    start = engine.clock.local()
    changes = RowChanges(con, engine.clock)
    con.execute("BEGIN TRANSACTION")
    with changes.observing(engine.catalog, engine.catalog.databases[DATABASE.lower()]):
        night = _night(con, seed, start)
    # The clock first: a reader between commit and advance would see stamps of the future.
    engine.clock.advance(HOURS * 3600)
    with changes.committing():
        con.execute("COMMIT")
    con.close()
    return night


def procedure(session: SqlSession, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.mutate @seed = 1`: the counts as one row."""
    yield one_row(asdict(mutate(session.engine, int(argument(args, "seed")))))


def _night(con: duckdb.DuckDBPyConnection, seed: int, start: datetime) -> Night:
    con.execute('CREATE OR REPLACE TEMP TABLE picks AS SELECT PropertyID AS id, '
        'row_number() OVER (ORDER BY md5(? || CAST(PropertyID AS VARCHAR))) AS n FROM '
                '"PACS.dbo"."Property"', [f"{seed}:"])  # fmt: skip
    total = _one(con, "SELECT count(*) FROM picks")
    few = max(2, total // 1000)
    at = 0

    def slice_of(rows: int) -> str:
        nonlocal at
        at += rows
        return f"PropertyID IN (SELECT id FROM picks WHERE n > {at - rows} AND n <= {at})"

    tied_at, late_at = start.replace(microsecond=3_333) + timedelta(hours=3), ticks(start - LATE)
    late = _stamp(con, "Property", slice_of(few), late_at, "Acreage = coalesce(Acreage, 0) + 0.01")
    updated = _stamp(
        con,
        "Property",
        slice_of(max(1, total // 200)),
        start + timedelta(hours=1),
        "Address = coalesce(Address, '') || ' #2'",
        spread=True,
    )
    for number, (table, key, column) in enumerate(_CHILDREN):
        rows = max(1, _one(con, f'SELECT count(*) FROM "PACS.dbo"."{table}"') // 200)
        chosen = f"""{key} IN (SELECT {key} FROM "PACS.dbo"."{table}" ORDER BY md5('{seed}:u' || CAST({key} AS VARCHAR)) LIMIT {rows})"""
        change = "OwnerName = OwnerName || ' Jr.'" if table == "PropertyOwner" else f"{column} = {column} + 1"
        updated += _stamp(
            con, table, chosen, start + timedelta(hours=1, minutes=10 * number + 10), change, spread=True
        )
    soft = _stamp(
        con,
        "Property",
        f"{slice_of(few)} AND IsActive",
        start + timedelta(hours=4),
        "IsActive = FALSE",
        spread=True,
    )
    inactive = (
        'PropertyID IN (SELECT PropertyID FROM "PACS.dbo"."Property" WHERE NOT IsActive AND '
        "LastModified < "
        f"? ORDER BY PropertyID LIMIT {few})"
    )
    undeleted = _stamp(
        con,
        "Property",
        inactive,
        start + timedelta(hours=4, minutes=30),
        "IsActive = TRUE",
        spread=True,
        before=start - timedelta(hours=1),
    )
    hard = _hard_delete(con, slice_of(few))
    lone = sum(
        _one(con, f"""DELETE FROM "PACS.dbo"."{t}" WHERE {k} IN (SELECT {k} FROM "PACS.dbo"."{t}"
                      ORDER BY md5('{seed}:d' || CAST({k} AS VARCHAR)) LIMIT {few})""")
        for t, k, _ in _CHILDREN
    )  # fmt: skip
    inserted = _insert(con, seed, few, start + timedelta(hours=5))
    tied = _tie(con, total, tied_at, slice_of)
    for moment in (
        3_333,
        6_667,
    ):  # the ticks that print .003 and .007, where text of three digits is not the value
        base = (start + timedelta(hours=7)).replace(microsecond=0)
        updated += _stamp(
            con,
            "Property",
            slice_of(2),
            base + timedelta(microseconds=moment),
            "YearBuilt = coalesce(YearBuilt, 1999)",
        )
    con.execute("DROP TABLE picks")
    return Night(
        updated,
        inserted,
        soft,
        undeleted,
        hard,
        lone,
        tied,
        late,
        tied_at.isoformat(" ", "microseconds"),
        late_at.isoformat(" ", "microseconds"),
    )


def _one(con: duckdb.DuckDBPyConnection, sql: str, params: list[Any] | None = None) -> int:
    row = con.execute(sql, params or []).fetchone()
    return int(row[0]) if row else 0


def _stamp(
    con: duckdb.DuckDBPyConnection,
    table: str,
    where: str,
    at: datetime,
    change: str,
    spread: bool = False,
    before: datetime | None = None,
) -> int:
    """Changes the chosen rows and stamps them; `spread` gives each its own tick in the ten minutes after
    `at`.
    """
    key = {
        "Property": "PropertyID",
        "PropertyOwner": "OwnerID",
        "PropertyValue": "ValueID",
        "Structure": "StructureID",
    }[table]
    offset = (
        f" + to_microseconds(('0x' || left(md5(CAST({key} AS VARCHAR)), 7))::BIGINT % 600000000)"
        if spread
        else ""
    )
    sql = (
        f'UPDATE "PACS.dbo"."{table}" SET {change}, LastModified = tsql.tick(CAST(? AS TIMESTAMP){offset}) '
        f"WHERE {where}"
    )
    return _one(con, sql, [ticks(at), *([before] if before else [])])


def _hard_delete(con: duckdb.DuckDBPyConnection, where: str) -> int:
    rows = sum(_one(con, f'DELETE FROM "PACS.dbo"."{t}" WHERE {where}') for t, _, _ in _CHILDREN)
    return rows + _one(con, f'DELETE FROM "PACS.dbo"."Property" WHERE {where}')


def _tie(con: duckdb.DuckDBPyConnection, total: int, at: datetime, slice_of: Any) -> int:
    """Rows that share one stamp: properties where there are enough, otherwise values."""
    if total >= 4 * TIED_ROWS:
        return _stamp(con, "Property", slice_of(TIED_ROWS), at, "City = 'Kennewick'")
    chosen = f'ValueID IN (SELECT ValueID FROM "PACS.dbo"."PropertyValue" ORDER BY ValueID LIMIT {TIED_ROWS})'
    return _stamp(con, "PropertyValue", chosen, at, "TaxYear = TaxYear")


def _insert(con: duckdb.DuckDBPyConnection, seed: int, rows: int, at: datetime) -> int:
    """New properties with one child of each kind."""
    salt = f"{seed}:{at.isoformat()}"
    hours = int((at - datetime(1970, 1, 1)) / timedelta(hours=1)) % 10_000
    stamp = f"tsql.tick(TIMESTAMP '{at.isoformat(' ')}' + to_microseconds(i * 3700000))"
    new = (
        f"(SELECT i, CAST(md5('new:{salt}:' || i) AS UUID) AS id, {stamp} AS t FROM range({rows}) AS r(i)) "
        "AS n"
    )
    result = _one(
        con,
        f"""INSERT INTO "PACS.dbo"."Property" SELECT id, printf('2-%04d-%03d-%04d-001', {hours}, {seed % 1000}, i),
        (i + 1) || ' New Plat Way', 'Richland', 'WA',
        '99352', 'LOT ' || (i + 1), 0.25, NULL, t, TRUE FROM {new}""",
    )
    result += _one(
        con,
        f"""INSERT INTO "PACS.dbo"."PropertyOwner" SELECT CAST(md5('o' || id::VARCHAR) AS UUID), id, 'New Homes, LLC', 'Entity', 100,
        date_trunc('day', t), NULL, t
        FROM {new}""",
    )
    result += _one(
        con,
        f"""INSERT INTO "PACS.dbo"."PropertyValue" SELECT CAST(md5('v' || id::VARCHAR) AS UUID), id, year(t), 250000, 260000, 60000, 200000, t
        FROM {new}""",
    )
    return result + _one(
        con,
        f"""INSERT INTO "PACS.dbo"."Structure" SELECT CAST(md5('s' || id::VARCHAR) AS UUID), id, 'Single Family Residence', 1850,
        'Good', year(t), 3, 2.5, t
        FROM {new}""",
    )
