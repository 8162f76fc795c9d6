"""Generates a deterministic generic county of any size, column by column, with numpy and DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_provider_pacs.sandbox.counties import generic_changes, generic_tables
from airflow_provider_pacs.sandbox.tsql.engine import START, SandboxEngine

Ints = npt.NDArray[np.int64]
_EPOCH = datetime(1970, 1, 1)
_BAD_EVERY = 2000
_BAD_AT = 137
IN_MEMORY = 5_000_000
"""Properties: the generic county's four narrow tables fit into memory up to here."""


@dataclass(frozen=True, slots=True)
class Size:
    """Rows per table."""

    properties: int
    owners: int
    values: int
    structures: int


SIZES = {
    "tiny": Size(200, 300, 1_000, 240),
    "seed": Size(12_400, 18_600, 62_000, 14_800),
    "benton": Size(95_500, 143_250, 477_500, 113_984),
}


def size_of(text: str) -> Size:
    """A named size, or rows per table: `properties=N` with `owners=N`, `values=N` and `structures=N` behind
    commas as wanted.

    Raises:
        ValueError: neither.
    """
    if text in SIZES:
        return SIZES[text]
    rows = dict(part.partition("=")[::2] for part in text.split(","))
    tables = ("properties", "owners", "values", "structures")
    if (
        set(rows) <= set(tables)
        and all(number.isdigit() for number in rows.values())
        and int(rows.get("properties", 0)) > 0
    ):
        return Size(*(int(rows.get(table, 0)) for table in tables))
    raise ValueError(
        f"unknown sandbox size {text!r}: use one of {', '.join(SIZES)}, or "
        "properties=N[,owners=N][,values=N][,structures=N]"
    )


def populate(engine: SandboxEngine, size: Size, seed: int = 1, reference: datetime = START) -> None:
    """Fills the declared tables; nothing is stamped later than an hour before `reference`.

    The same arguments give the same rows.
    """
    con = engine.con.cursor()
    random = np.random.Generator(np.random.PCG64(seed))
    con.execute("BEGIN TRANSACTION")
    _properties(con, size.properties, random, reference)
    if size.owners:
        _owners(con, size, random, reference)
    if size.values:
        _values(con, size, random, reference)
    if size.structures:
        _structures(con, size, random, reference)
    con.execute("COMMIT")
    con.close()


def build(engine: SandboxEngine, size: str | Size = "seed", seed: int = 1) -> SandboxEngine:
    """Declares the generic source in an engine, and fills it unless it already holds rows."""
    generic_tables.declare(engine.catalog)
    engine.procedures["sandbox.mutate"] = generic_changes.procedure
    engine.publish()
    row = engine.con.execute('SELECT count(*) FROM "PACS.dbo"."Property"').fetchone()
    if row is None or row[0] == 0:
        populate(engine, SIZES[size] if isinstance(size, str) else size, seed)
    return engine


def digest(con: duckdb.DuckDBPyConnection) -> str:
    """A digest of all rows of all tables, whatever their order."""
    parts = []
    for table in generic_tables.TABLES:
        names = ", ".join(f"coalesce(CAST({c.name} AS VARCHAR), chr(1))" for c in table.columns)
        query = (
            f"SELECT count(*) || ':' || CAST(bit_xor(md5_number(concat_ws(chr(2), {names}))) AS VARCHAR) "
            f"FROM {table.stored}"
        )
        row = con.execute(query).fetchone()
        parts.append(str(row[0]) if row else "")
    return "/".join(parts)


def _stamps(random: np.random.Generator, rows: int, reference: datetime, bulk: float = 0.3) -> Ints:
    """Microseconds of LastModified: exact ticks over six years, a share of them tied on a few whole seconds."""
    last = int((reference - timedelta(hours=1) - _EPOCH) / timedelta(seconds=1))
    span = 6 * 365 * 86_400
    seconds = last - (span * random.random(rows) ** 3).astype(np.int64)
    micros = np.rint(random.integers(0, 300, rows) * 10_000 / 3).astype(np.int64)
    moments = last - random.integers(86_400, span, 12)
    tied = random.random(rows) < bulk
    out: Ints = np.where(
        tied, moments[random.integers(0, 12, rows)] * 1_000_000, seconds * 1_000_000 - 1_000_000 + micros
    )
    return out


def _load(con: duckdb.DuckDBPyConnection, columns: dict[str, Ints | npt.NDArray[np.float64]]) -> None:
    con.register("raw", pa.table({name: pa.array(values) for name, values in columns.items()}))


def _pick(column: str, choices: Sequence[str]) -> str:
    """DuckDB text that takes one of `choices` by a random number."""
    listed = ", ".join("'" + c.replace("'", "''") + "'" for c in choices)
    return f"([{listed}])[{column} % {len(choices)} + 1]"


_CITIES = ("Kennewick", "Richland", "Prosser", "Benton City", "West Richland", "Finley", "Paterson")
_ZIPS = ("99336", "99352", "99350", "99320", "99353", "99337", "99345-0112")
_STREETS = (
    "W Clearwater Ave",
    "S Union St",
    "Cañon Dr",
    "N Volland St",
    "O'Neill Rd",
    "E 3rd Ave, Unit B",
    "Saint André Ct",
    "Gage Blvd",
)
_LAST = (
    "O'Brien",
    "Peña",
    "Smith",
    "García",
    "Nguyen",
    "Müller",
    "de la Cruz",
    "Johnson",
    "D’Angelo",
    "MacDonald",
    "Lee",
    "Šimek",
    "Brown",
    "Núñez",
)
_FIRST = (
    "Ann",
    "José",
    "Robert",
    "Mary-Jane",
    "Zoë",
    "William",
    "Linda",
    "René",
    "Carlos",
    "Susan",
    "Björn",
    "Patricia",
)
_FIRMS = (
    '"Columbia Family" Trust',
    "Smith, Jones & Sons LLC",
    "Port of Kennewick",
    "Yakima “River” Holdings, Inc.",
    "Bank’s Trustee – Series 2004",
    "Peña & Peña PLLC",
)
_PLATS = (
    "MEADOW HILLS",
    "“CAÑON VIEW” ESTATES",
    "O'HARA'S ADDITION",
    "HORN RAPIDS, PHASE 2",
    "SHORT PLAT 1234; 5%",
)


def _properties(
    con: duckdb.DuckDBPyConnection, rows: int, random: np.random.Generator, reference: datetime
) -> None:
    numbers: dict[str, Ints | npt.NDArray[np.float64]] = {
        "i": np.arange(rows, dtype=np.int64),
        "stamp": _stamps(random, rows, reference),
    }
    numbers |= {f"r{n}": random.integers(0, 1_000_000, rows) for n in range(6)}
    numbers["acres"] = np.where(
        random.random(rows) < 0.06, 0.0, np.round(random.gamma(0.7, 1.8, rows) + 0.02, 4)
    )
    _load(con, numbers)
    legal = (
        "CASE WHEN r4 % 20 = 0 THEN NULL WHEN r4 % 20 = 1 THEN '' ELSE 'LOT ' || (r4 % 40 + 1) || ', BLOCK "
        "' || (r5 % 9 + 1) || ', ' "
        f"|| {_pick('r5', _PLATS)} || chr(13) || chr(10) || 'AF# ' || r3 || CASE WHEN r4 % 7 = 0 "
        "THEN repeat(', LESS RD R/W; SUBJECT TO EASEMENTS OF RECORD', 12) ELSE '' END END"
    )
    con.execute(
        f"""INSERT INTO "PACS.dbo"."Property" SELECT CAST(md5('property:' || i) AS UUID),
        printf('1-%04d-%d-%04d-%03d', 588 + i // 104976, 100 * (1 + (i // 11664) % 9), (i // 12) % 972 + 1, i % 12 + 1),
        CASE WHEN r0 % 25 = 0 THEN NULL WHEN r0 % 25 = 1 THEN '' ELSE (100 + r0 % 9900) || ' ' || {_pick("r1", _STREETS)} END,
        CASE WHEN r1 % 40 = 0 THEN NULL ELSE {_pick("r2", _CITIES)} END, 'WA', CASE WHEN r3 % 30 = 0 THEN NULL ELSE {_pick("r2", _ZIPS)} END,
        {legal}, CASE WHEN r3 % 50 = 0 THEN NULL ELSE acres END,
        CASE WHEN i % {_BAD_EVERY} = {_BAD_AT} THEN 1650 WHEN r0 % 300 = 0 THEN 0 WHEN r0 % 6 = 0 THEN NULL ELSE 1900 + r5 % 126 END,
        make_timestamp(stamp), r2 % 50 <> 0 FROM raw ORDER BY i"""
    )


def _repeated(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Per child row: its property, its place among the siblings (from 0), and how many they are."""
    parents = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    places = np.arange(len(parents), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    return parents, places, np.repeat(counts, counts)


def _counts(random: np.random.Generator, base: Ints, total: int, heavy: int) -> Ints:
    """Children per property: a few have 40, the rest of the total is dealt out at random."""
    order = random.permutation(np.flatnonzero(base))
    counts = base.copy()
    counts[order[:heavy]] = 40
    left = total - int(counts.sum())
    others = order[heavy:]
    threes = left // 4 if left // 4 + left // 2 < len(others) else 0
    counts[others[:threes]] += 2
    left -= 2 * threes
    for start in range(threes, threes + left, max(1, len(others) - threes)):
        counts[others[threes : threes + min(len(others) - threes, threes + left - start)]] += 1
    return counts


def _owners(
    con: duckdb.DuckDBPyConnection, size: Size, random: np.random.Generator, reference: datetime
) -> None:
    counts = _counts(
        random, np.ones(size.properties, dtype=np.int64), size.owners, max(1, size.properties // 4000)
    )
    parents, places, siblings = _repeated(counts)
    rows = len(parents)
    share = np.round(100 / siblings, 10)
    share = np.where(places == siblings - 1, np.round(100 - share * (siblings - 1), 10), share)
    lopsided = (siblings == 2) & (parents % 50 == 0)  # a life tenant with 0 %: odd, but the county means it
    share = np.where(lopsided, np.where(places == 0, 0.0, 100.0), share)
    numbers: dict[str, Ints | npt.NDArray[np.float64]] = {
        "i": np.arange(rows, dtype=np.int64),
        "p": parents,
        "share": share,
    }
    numbers |= {"stamp": _stamps(random, rows, reference)} | {
        f"r{n}": random.integers(0, 1_000_000, rows) for n in range(4)
    }
    _load(con, numbers)
    person = f"{_pick('r0', _FIRST)} || ' ' || {_pick('r1', _LAST)}"
    con.execute(
        f"""INSERT INTO "PACS.dbo"."PropertyOwner" SELECT CAST(md5('owner:' || i) AS UUID), CAST(md5('property:' || p) AS UUID),
        CASE WHEN r2 % 8 = 0 THEN {_pick("r0", _FIRMS)} ELSE {person} END,
        CASE WHEN r2 % 8 = 0 THEN 'Entity' WHEN r2 % 31 = 0 THEN '' WHEN r2 % 29 = 0 THEN NULL ELSE 'Individual' END,
        CASE WHEN i % {_BAD_EVERY} = {_BAD_AT} THEN 140 ELSE share END,
        CASE WHEN r3 % 12 = 0 AND i % {_BAD_EVERY} <> 138 THEN NULL ELSE TIMESTAMP '1985-01-01' + to_days(CAST(r3 % 14000 AS INTEGER)) END,
        CASE WHEN i % {_BAD_EVERY} = 138 THEN TIMESTAMP '1984-06-30' WHEN r3 % 40 = 1 THEN TIMESTAMP '2031-12-31' END,
        CASE WHEN r1 % 400 = 0 THEN NULL ELSE make_timestamp(stamp) END FROM raw ORDER BY i"""
    )


def _values(
    con: duckdb.DuckDBPyConnection, size: Size, random: np.random.Generator, reference: datetime
) -> None:
    rows = size.values
    each = -(-rows // size.properties)
    number = np.arange(rows, dtype=np.int64)
    worth = np.exp(random.normal(11.3, 0.8, size.properties)).astype(np.int64)
    numbers: dict[str, Ints | npt.NDArray[np.float64]] = {
        "i": number,
        "p": number // each,
        "y": number % each,
        "land": worth[number // each],
    }
    numbers |= {"stamp": _stamps(random, rows, reference)} | {
        f"r{n}": random.integers(0, 1_000_000, rows) for n in range(2)
    }
    _load(con, numbers)
    con.execute(
        f"""INSERT INTO "PACS.dbo"."PropertyValue" SELECT CAST(md5('value:' || i) AS UUID), CAST(md5('property:' || p) AS UUID), {reference.year} - y,
        CASE WHEN i % {_BAD_EVERY} = {_BAD_AT} THEN -1.0 ELSE 1.0 END * floor((l + m) * (0.85 + (r1 % 16) / 100.0)), l + m, l, m,
        CASE WHEN r0 % 500 = 0 THEN NULL ELSE make_timestamp(stamp) END
        FROM (SELECT *, CAST(floor(land * (1 - y * 0.04)) AS DOUBLE) AS l,
        CAST(CASE WHEN p % 9 = 0 THEN 0 ELSE floor(land * (1.1 + (p % 25) / 10.0)) END AS DOUBLE) AS m
        FROM raw) AS v ORDER BY i"""
    )


_KINDS = (
    "Single Family Residence",
    "Detached Garage",
    "Manufactured Home",
    "Pole Building",
    "Condominium",
    "Shop/Barn",
    "Commercial – Retail",
)
_CONDITIONS = ("Good", "Average", "Fair", "Poor", "Excellent", "good ")


def _structures(
    con: duckdb.DuckDBPyConnection, size: Size, random: np.random.Generator, reference: datetime
) -> None:
    base = (random.random(size.properties) < 0.85).astype(np.int64)
    parents, _, _ = _repeated(_counts(random, base, size.structures, max(1, size.properties // 4000)))
    rows = len(parents)
    numbers: dict[str, Ints | npt.NDArray[np.float64]] = {
        "i": np.arange(rows, dtype=np.int64),
        "p": parents,
        "stamp": _stamps(random, rows, reference),
    }
    numbers |= {f"r{n}": random.integers(0, 1_000_000, rows) for n in range(4)}
    _load(con, numbers)
    con.execute(
        f"""INSERT INTO "PACS.dbo"."Structure" SELECT CAST(md5('structure:' || i) AS UUID), CAST(md5('property:' || p) AS UUID),
        {_pick("r0", _KINDS)},
        CASE WHEN r1 % 33 = 0 THEN NULL ELSE 300 + r1 % 4200 + (r2 % 4) * 0.25 END,
        CASE WHEN r2 % 21 = 0 THEN NULL ELSE {_pick("r2", _CONDITIONS)} END,
        CASE WHEN i % {_BAD_EVERY} = {_BAD_AT} THEN 1650 WHEN r3 % 250 = 0 THEN 0 WHEN r3 % 20 = 0 THEN NULL ELSE 1900 + r3 % 126 END,
        CASE WHEN r0 % 3 = 0 THEN NULL ELSE r1 % 6 END, CASE WHEN r0 % 3 = 0 THEN NULL ELSE (r2 % 8) / 2.0 END,
        CASE WHEN r3 % 450 = 0 THEN NULL ELSE make_timestamp(stamp) END FROM raw ORDER BY i"""
    )
