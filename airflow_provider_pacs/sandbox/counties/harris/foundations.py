"""The temporary tables from which a PACS 9.0 county is generated: lots, layers, values, holders.

lots: one row a property. layers: one row a property, year and supplement; `latest` marks the one that
    prop_supp_assoc names. worth: a layer's money.
buildings: one row an improvement. editions: the layers, and beside them the snapshots at a sale (sale_id <>
    0). deeds: one row a change of owner.
holders: one row an owner of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
APPRAISAL_YEAR = 2026
FIRST_PROPERTY, FIRST_ACCOUNT, FIRST_DEED, FIRST_IMPROVEMENT = 10_001, 100, 300_001, 50_001
BIG_HOLDER, JUDGE_HOLDER = 7, 199


@dataclass(frozen=True, slots=True)
class Size:
    """Properties, years with a layer (the appraisal year is the last), and rows per year."""

    properties: int
    years: int
    owners: int
    improvements: int
    details: int
    land: int


def accounts(size: Size) -> int:
    """How many accounts there are, beside the big holder's."""
    return max(100, size.properties * 6 // 5)


def lay(con: duckdb.DuckDBPyConnection, size: Size, seed: int) -> None:
    """Makes the temporary tables; `dice` must be defined."""
    random = np.random.Generator(np.random.PCG64(seed))
    lots = _lots(random, size)
    con.register("raw", pa.table(lots))
    con.execute("CREATE OR REPLACE TEMP TABLE lots AS SELECT * FROM raw ORDER BY i")
    con.register("raw", pa.table(_buildings(random, size, lots["improvements"])))
    con.execute("CREATE OR REPLACE TEMP TABLE buildings AS SELECT * FROM raw ORDER BY imprv_id")
    con.unregister("raw")
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE deeds AS SELECT {FIRST_DEED} + i AS deed, i, prop_id, day, year(day) AS yr,
        i % 28 = 1 AS several, i % 5 <> 0 AS sold
        FROM (SELECT *, CAST('2018-01-02' AS DATE) + CAST(dice('deed', i, 0) % 2930 AS INTEGER) AS day FROM lots
        WHERE i % 4 = 1 AND owners > 0 AND part = 'plain' AND i % 60 <> 8 AND i % 997 <> 40)"""
    )
    con.execute(_layers(size.years))
    con.execute(_WORTH)
    con.execute(_EDITIONS)
    con.execute(_holders(accounts(size)))


def _lots(random: np.random.Generator, size: Size) -> dict[str, npt.NDArray[np.generic]]:
    """One row a property: its kind, its part in a UDI group, when it ended and began, and how many of
    everything it has.
    """
    i = np.arange(size.properties, dtype=np.int64)
    place = i % 90
    part = np.where((place >= 20) & (place <= 23), np.where(place == 20, "parent", "child"), "plain")
    part = np.where((part != "plain") & (i - place + 23 >= size.properties), "plain", part)
    plain = part == "plain"
    kind = np.select(
        [plain & (i % 16 == 5), plain & (i % 20 == 7), plain & (i % 64 == 9), plain & (i % 256 == 11)],
        ["P", "MH", "MN", "A"],
        "R",
    )
    chance = random.random(size.properties)
    ended = np.select(
        [~plain, i % 67 == 3, i % 211 == 4, (chance < 0.05) & (i % 113 != 30) & (i % 113 != 31)],
        [0, 1980, 1900, 2018 + i % 8],
        0,
    )
    begun = np.where(plain & (chance > 0.98), APPRAISAL_YEAR - (i % 2), 1985 + i % 30)
    owned = ((ended == 0) | (ended > 1980)) & (kind != "MN")
    owners = np.where(part == "parent", 3, owned.astype(np.int64))
    now = ended == 0
    free = random.permutation(np.flatnonzero(owned & now & plain & (i % 60 != 8) & (i % 997 != 40)))
    extra = max(0, size.owners - int(owners[now].sum()))
    thirds = min(extra // 6 + 1, len(free) // 4)
    owners[free[:thirds]] = 3
    owners[free[thirds : thirds + max(0, min(extra - 2 * thirds, len(free) - thirds))]] = 2
    built = np.flatnonzero(((kind == "R") & (chance < 0.85) | (kind == "MH")) & (part != "child"))
    landed = np.flatnonzero((kind == "R") & (part != "child"))
    return {
        "i": i,
        "prop_id": i + FIRST_PROPERTY,
        "kind": kind,
        "part": part,
        "ended": ended,
        "begun": begun,
        "owners": owners,
        "improvements": _dealt(random, built, size.properties, size.improvements),
        "segments": _dealt(random, landed, size.properties, size.land),
        "worth": np.exp(random.normal(11.3, 0.8, size.properties)).astype(np.int64),
        "acres": np.round(random.gamma(0.7, 1.8, size.properties) * 10_000).astype(np.int64),
    }


def _dealt(random: np.random.Generator, places: Ints, length: int, total: int) -> Ints:
    """`total` things over some of `length` places, at least one each where there are enough."""
    counts = np.zeros(length, dtype=np.int64)
    counts[places[:total]] = 1
    extra = total - int(counts.sum())
    counts += (
        np.bincount(places[random.integers(0, len(places), max(0, extra))], minlength=length)
        if len(places)
        else 0
    )
    return counts


def _buildings(
    random: np.random.Generator, size: Size, counts: npt.NDArray[np.generic]
) -> dict[str, npt.NDArray[np.generic]]:
    repeats = counts.astype(np.int64)
    parents = np.repeat(np.arange(len(repeats), dtype=np.int64), repeats)
    rows = len(parents)
    place = np.arange(rows, dtype=np.int64) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    number = np.arange(rows, dtype=np.int64)
    year = np.select([number % 60 == 17, number % 97 == 5], [0, -1], 1900 + random.integers(0, 125, rows))
    return {
        "i": parents,
        "n": place,
        "imprv_id": number + FIRST_IMPROVEMENT,
        "built": year,
        "details": _dealt(random, number, rows, size.details),
        "beds": random.integers(0, 6, rows),
        "baths": random.integers(1, 9, rows),
        "area": random.integers(1200, 7000, rows),
    }


def _layers(years: int) -> str:
    """Of about one layer in a hundred there is a supplement; of some a second one.

    Year 0 is the future year's layer of a few.
    """
    return f"""CREATE OR REPLACE TEMP TABLE layers AS
    WITH base AS (
        SELECT l.*, y.yr, CASE WHEN y.yr = 0 THEN {APPRAISAL_YEAR + 1} ELSE y.yr END AS stands,
            CASE WHEN y.yr > 0 THEN dice('supplement', i, y.yr) % 1000 ELSE 999 END AS chance
        FROM lots AS l, (SELECT {APPRAISAL_YEAR} - n AS yr FROM range({years}) AS r(n) UNION ALL SELECT 0) AS y
        WHERE CASE WHEN y.yr = 0 THEN i % 50 = 13 ELSE begun <= y.yr END),
    copies AS (
        SELECT *, unnest(CASE WHEN i % 113 = 30 AND yr = {APPRAISAL_YEAR} THEN [0, 2] WHEN i % 113 = 31 AND yr = {APPRAISAL_YEAR - 1} THEN [0, 1]
            WHEN i % 113 = 32 AND yr = {APPRAISAL_YEAR - 2} THEN [0, 1, 3]
            WHEN chance < 2 THEN [0, 1 + chance % 3, 4] WHEN chance < 9 THEN [0, 1 + chance % 3] ELSE [0] END) AS sup FROM base)
    SELECT *, sup = max(sup) OVER (PARTITION BY i, yr) AS latest,
        CASE WHEN part = 'parent' THEN TIMESTAMP '2019-05-02' WHEN ended IN (1900, 1980) THEN make_timestamp(ended, 1, 1, 0, 0, 0)
            WHEN ended > 0 AND stands > ended THEN make_timestamp(ended, 1 + i % 12, 3, 10, 15, 0) END AS inactive
    FROM copies ORDER BY yr, sup, prop_id"""


_WORTH = """CREATE OR REPLACE TEMP TABLE worth AS
    WITH totals AS (
        SELECT *, CASE WHEN kind IN ('R', 'MN') THEN CAST(floor(worth * factor) AS BIGINT) ELSE 0 END AS land,
            CASE WHEN improvements > 0 THEN CAST(floor(worth * factor * (1.1 + (i % 25) / 10.0)) AS BIGINT) ELSE 0 END AS building,
            CASE WHEN kind IN ('P', 'A') THEN CAST(floor(worth * factor / 4) AS BIGINT) ELSE 0 END AS personal
        FROM (SELECT i, prop_id, yr, sup, kind, improvements, worth,
            (1 - (2026 - stands) * 0.04) * (CASE WHEN sup > 0 THEN 1.05 ELSE 1 END) AS factor FROM layers)),
    special AS (
        SELECT *, CASE WHEN kind = 'R' AND i % 12 = 2 THEN land * 7 // 10 ELSE 0 END AS ag,
            CASE WHEN kind = 'R' AND i % 40 = 6 AND i % 12 <> 2 THEN land // 2 ELSE 0 END AS timber,
            CASE WHEN kind = 'R' AND i % 120 = 14 THEN land // 5 ELSE 0 END AS ag_hs,
            CASE WHEN kind = 'R' AND i % 120 = 86 THEN land // 10 ELSE 0 END AS timber_hs FROM totals)
    SELECT i, prop_id, yr, sup, land, building, personal, ag, timber, ag_hs, timber_hs, land + building + personal AS market,
        CASE WHEN i % 3 < 2 THEN (land - ag - timber - ag_hs - timber_hs) * 6 // 10 ELSE 0 END AS land_hs,
        CASE WHEN i % 3 < 2 THEN building * 9 // 10 ELSE 0 END AS building_hs FROM special"""

_EDITIONS = """CREATE OR REPLACE TEMP TABLE editions AS
    SELECT i, prop_id, yr, sup, 0 AS sale_id FROM layers UNION ALL
    SELECT l.i, l.prop_id, l.yr, l.sup, d.deed FROM layers AS l JOIN deeds AS d ON d.i = l.i AND d.yr = l.yr
    WHERE l.sup = 0 AND d.sold AND l.i % 8 = 1
    ORDER BY yr, sup, sale_id, prop_id"""


def _holders(total: int) -> str:
    """Who owns: one account holds many parcels; the children of a UDI parent have one of its owners each; a
    deed changes the owner.
    """
    root = "CASE part WHEN 'child' THEN i - i % 90 + 20 ELSE i END"
    place = "CASE part WHEN 'child' THEN i % 90 - 21 ELSE n END"
    return f"""CREATE OR REPLACE TEMP TABLE holders AS
    SELECT *, CASE WHEN i % 60 = 8 AND n = 0 THEN {BIG_HOLDER} WHEN i % 997 = 40 AND n = 0 THEN {JUDGE_HOLDER}
        ELSE {FIRST_ACCOUNT} + (dice('holder', {root}, term) + 37 * ({place})) % {total} END AS acct_id,
        CASE WHEN owners = 1 THEN 100 WHEN owners = 2 AND i % 5 = 0 THEN CASE n WHEN 0 THEN 66.6666666667 ELSE 33.3333333333 END
        WHEN owners = 2 THEN 50 ELSE 33.3333333333 END AS pct
    FROM (SELECT l.*, CAST(r.n AS BIGINT) AS n, CASE WHEN d.yr <= l.stands THEN 1 ELSE 0 END AS term
        FROM layers AS l JOIN range(3) AS r(n) ON r.n < l.owners LEFT JOIN deeds AS d ON d.i = l.i
        WHERE l.inactive IS NULL OR l.part = 'parent')"""
