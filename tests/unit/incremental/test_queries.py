"""The T-SQL that each query builder emits, word by word in tests/golden/*.sql, and the choice of a strategy for
a table.

A golden file is rewritten with `PACS_WRITE_GOLDEN=1`; read the difference before it is committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pacs.sync.incremental import STRATEGIES, choose
from airflow_provider_pacs.sync.incremental.full import full_query, keys_query, lob_query
from airflow_provider_pacs.sync.incremental.last_modified import (
    bounds_query,
    clock_query,
    is_ordered_type,
    late,
    oldest_writer_query,
    window_query,
)
from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Window,
    census_query,
    flagged_query,
    key_list_query,
    late_rows_query,
)
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest, SourceFacts
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

GOLDEN = Path(__file__).parents[2] / "golden"
TYPES = {
    "datetime": ("datetime", 0),
    "smalldatetime": ("smalldatetime", 0),
    "date": ("date", 0),
    "datetime2_3": ("datetime2", 3),
    "datetime2_7": ("datetime2", 7),
    "datetimeoffset_7": ("datetimeoffset", 7),
}


def resolved(change: tuple[str, int] | None = ("datetime", 0), **types: str) -> ResolvedTable:
    """The generic Property with a change column of some type; None: the catalog could not be read."""
    table = load_tables("generic")["property"]
    if change is None:
        return ResolvedTable(table, {})
    known = {"PropertyID": "uniqueidentifier", "LegalDescription": "text", "ZipCode": "char", **types}
    columns = {
        name: SourceColumn(name, known.get(name, "varchar"), 16, 0, 0, True) for _, name in table.columns
    }
    columns["LastModified"] = SourceColumn("LastModified", change[0], 8, 0, change[1], True)
    return ResolvedTable(table, columns)


def bounds(made: ResolvedTable) -> ChangeQuery:
    return bounds_query(
        BoundsRequest(
            change_type=str(made.change_type),
            now="2026-01-15 06:00:00.0000000",
            cursor="c",
            oldest=None,
            lag_seconds=60,
            overlap_minutes=75,
            offset_minutes=-480,
        )
    )


BUILDERS: dict[str, Callable[[ResolvedTable], ChangeQuery | None]] = {
    "bounds": bounds,
    "window": lambda made: window_query(made, Window("lo", "hi")),
    "flagged": lambda made: flagged_query(made, late(made), "hi"),
    "late_rows": lambda made: late_rows_query(made, late(made), "hi"),
    "census": lambda made: census_query(made, late(made), "hi"),
    "key_list": lambda made: key_list_query(made, late(made), "hi"),
    "full": full_query,
    "keys": lambda made: keys_query(made, ("a", "b")),
    "census_without_bound": lambda made: census_query(made, None, None),
    "key_list_without_bound": key_list_query,
    "lob": lob_query,
}


def compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.sql"
    if os.environ.get("PACS_WRITE_GOLDEN"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), f"{file.name} differs"


@pytest.mark.parametrize("kind", TYPES)
def test_the_statements_of_a_change_column_type(kind: str) -> None:
    """Cases 13 to 16, 57: each statement converts its texts to the column's own type, and nothing else is
    ever compared.
    """
    made = resolved(TYPES[kind])
    parts = [
        f"-- {name}\n{query.sql}\n-- {query.params}\n"
        for name, build in BUILDERS.items()
        if (query := build(made))
    ]
    compare(f"property_{kind}", "\n".join(parts))


@pytest.mark.parametrize("clock", ["local", "utc"])
def test_the_statements_of_a_clock(clock: str) -> None:
    compare(f"clock_{clock}", f"{clock_query(clock).sql}\n\n{oldest_writer_query(clock).sql}\n")  # type: ignore[arg-type]


def test_the_statements_without_a_catalog() -> None:
    """Where no view could be read, names are the map's and keys are compared as the server converts them."""
    made = resolved(None)
    compare("property_unknown", f"{full_query(made).sql}\n\n{keys_query(made, ('a',)).sql}\n")
    assert lob_query(made) is None


def test_only_the_whole_table_is_complete() -> None:
    made = resolved()
    assert full_query(made).complete
    assert flagged_query(made, late(made), "hi").complete
    assert key_list_query(made).complete
    assert not key_list_query(made, late(made), "hi").complete
    assert not window_query(made, Window("lo", "hi")).complete
    assert not keys_query(made, ("a",)).complete


def test_no_statement_filters_inactive_rows_or_reads_dirty() -> None:
    """Case 29: IsActive is a column like any other; NOLOCK is never written."""
    for build in BUILDERS.values():
        query = build(resolved())
        text = query.sql if query else ""
        assert "NOLOCK" not in text.upper()
        assert "ISACTIVE" not in text.upper().partition("WHERE")[2]


def test_no_statement_is_a_page_of_another() -> None:
    """Cases 10, 18: one statement reads a whole window or table: no TOP, no order that a next page would rest
    on, however the key is made up.
    """
    for build in BUILDERS.values():
        query = build(resolved())
        assert not {"TOP", "ORDER", "OFFSET"} & set((query.sql if query else "").upper().split())


@pytest.mark.parametrize(
    ("declared", "length", "spelled"),
    [("varchar", 16, "varchar(16)"), ("nvarchar", 16, "nvarchar(8)"), ("char", 16, "char(16)")],
)
def test_a_text_key_is_compared_in_its_own_type(declared: str, length: int, spelled: str) -> None:
    """Case 11: an nvarchar text beside a varchar column would convert the column, and read the table instead
    of its index.
    """
    made = resolved(ParcelNumber=declared)
    assert made.columns["ParcelNumber"].max_length == length
    query = keys_query(made, ("1-1", "1-2"), "ParcelNumber")
    assert query.sql.endswith(f"WHERE s.[ParcelNumber] IN (CONVERT({spelled}, ?), CONVERT({spelled}, ?))")
    assert query.params == ("1-1", "1-2")


@pytest.mark.parametrize("declared", ["char", "varchar", "nchar", "nvarchar"])
def test_a_guid_that_is_kept_as_text_is_known_by_its_digits(declared: str) -> None:
    """Case 36: the county's spelling of a key need not be PostgreSQL's."""
    query = keys_query(
        resolved(PropertyID=declared),
        ("00112233-4455-6677-8899-aabbccddeeff", "{00112233-4455-6677-8899-AABBCCDDEE00}"),
    )
    assert query.sql.partition(" WHERE ")[2] == (
        "REPLACE(REPLACE(REPLACE(RTRIM(UPPER(s.[PropertyID])), '-', ''), '{', ''), '}', '') IN "
        "(CONVERT(varchar(32), ?), CONVERT(varchar(32), ?))"
    )
    assert query.params == ("00112233445566778899AABBCCDDEEFF", "00112233445566778899AABBCCDDEE00")


@given(st.text(min_size=1, max_size=128).filter(lambda text: "\x00" not in text))
def test_quoting_hides_every_name(name: str) -> None:
    quoted = quote(name)
    assert (quoted[0], quoted[-1]) == ("[", "]")
    assert "]" not in quoted[1:-1].replace("]]", "")
    assert quoted[1:-1].replace("]]", "]") == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a\x00b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        quote(name)


def test_two_names() -> None:
    assert qualified("d]bo", "Property Value") == "[d]]bo].[Property Value]"


STAMPED = resolved(RowStamp="timestamp")
STAMPED.columns["RowStamp"] = SourceColumn("RowStamp", "timestamp", 8, 0, 0, False)


@pytest.mark.parametrize(
    ("made", "facts", "enable_cdc", "strategy", "word"),
    [
        (resolved(), SourceFacts(), True, "last_modified", "datetime"),
        (resolved(("datetime2", 7)), SourceFacts(), True, "last_modified", "datetime2(7)"),
        (STAMPED, SourceFacts(), True, "rowversion", "RowStamp is rowversion"),
        (STAMPED, SourceFacts(writable=False), True, "last_modified", "datetime"),
        (STAMPED, SourceFacts(lacks=(("rowversion", "no counter"),)), True, "last_modified", "datetime"),
        (
            resolved(),
            SourceFacts(lacks=(("last_modified", "its clock stands"),)),
            True,
            "compare",
            "clock stands",
        ),
        (resolved(), SourceFacts(), False, "compare", "enable_cdc is false"),
        (resolved(("varchar", 0)), SourceFacts(), True, "compare", "carries no window"),
        (resolved(None), SourceFacts(), True, "compare", "unknown"),
    ],
)
def test_the_choice_says_why(
    made: ResolvedTable, facts: SourceFacts, enable_cdc: bool, strategy: str, word: str
) -> None:
    chosen, reason, table = choose(made, facts, enable_cdc=enable_cdc)
    assert chosen == strategy
    assert word in reason
    assert table.map.change_column == ("RowStamp" if strategy == "rowversion" else "LastModified")


def test_a_county_may_pin_a_strategy_that_fits_and_no_other() -> None:
    assert choose(STAMPED, SourceFacts(), enable_cdc=True, asked="last_modified")[0] == "last_modified"
    assert choose(resolved(), SourceFacts(), enable_cdc=True, asked="compare")[0] == "compare"
    with pytest.raises(ConfigError, match=r"property can't be read by rowversion: .*no rowversion column"):
        choose(resolved(), SourceFacts(), enable_cdc=True, asked="rowversion")
    with pytest.raises(ConfigError, match="there is no strategy 'telepathy'"):
        choose(resolved(), SourceFacts(), enable_cdc=True, asked="telepathy")


def test_below_the_strategies_stands_compare_which_fits_every_table() -> None:
    facts = SourceFacts()
    assert all(strategy.supports(resolved(None), facts).table is None for strategy in STRATEGIES)
    assert choose(resolved(None), facts, enable_cdc=True)[0] == "compare"


@pytest.mark.parametrize(
    ("declared", "ordered"),
    [("datetime2(3)", True), ("date", True), ("varchar(30)", False), ("time(7)", False), (None, False)],
)
def test_types_that_carry_a_window(declared: str | None, ordered: bool) -> None:
    assert is_ordered_type(declared) is ordered
