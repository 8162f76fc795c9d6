"""A table's mapping and a bounded sample of its rows -> what the sample says against the mapping.

The server counts; no value of a row leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.preflight.queries import sample_counts_query
from airflow_provider_pacs.sync.runtime.errors import PacsError, RetryableError
from airflow_provider_pacs.sync.schema.columns import NUMBERS, TEXTS
from airflow_provider_pacs.sync.schema.inventory import InventoryTable
from airflow_provider_pacs.sync.schema.tsql import qualified
from airflow_provider_pacs.sync.source.port import SourceReader

FEWEST = 20
"""Fewer rows than this say nothing about a shape."""
_SHARE = 0.8

Pattern = tuple[str, str]
"""A T-SQL condition on the column, written `{c}`, and what it means where most values do not meet it."""
_YEAR: Pattern = ("{c} = 0 OR {c} BETWEEN 1600 AND 2200", "most of its values are no years")
_ZIP: Pattern = ("LEN(RTRIM({c})) BETWEEN 5 AND 10", "most of its values are not as long as a zip code")
_NUMBER_PATTERNS: dict[str, Pattern] = {
    "year_built": _YEAR,
    "tax_year": _YEAR,
    "ownership_percentage": ("{c} > 1", "most of its values are at most 1: shares of 1, not percentages?"),
    "bedrooms": ("{c} BETWEEN 0 AND 60", "most of its values are no numbers of rooms"),
    "bathrooms": ("{c} BETWEEN 0 AND 60", "most of its values are no numbers of rooms"),
}
_TEXT_PATTERNS: dict[str, Pattern] = {
    "state": ("LEN(RTRIM({c})) = 2", "most of its values are not two letters"),
    "zip_code": _ZIP,
}


def sample_query(
    entity: Entity, table: InventoryTable, sources: Mapping[str, str | None]
) -> tuple[str, list[tuple[str, str, Pattern | None]]]:
    """One SELECT of counts over a sample, and what its columns `c<i>_filled` and `c<i>_fits` are about.

    Args:
        entity: the canonical entity.
        table: where its rows may be.
        sources: canonical column -> source column; None where there is none.
    """
    asked = [
        (canonical, name, _pattern_of(canonical, table, name))
        for canonical, name in sources.items()
        if name is not None
    ]
    key = sources.get(entity.key)
    query = sample_counts_query(
        qualified(table.schema, table.name),
        [(name, pattern[0] if pattern is not None else "") for _, name, pattern in asked],
        key if key is not None and not _is_long(table, key) else None,
    )
    return query, asked


def sample_doubts(
    source: SourceReader, entity: Entity, table: InventoryTable, sources: Mapping[str, str | None]
) -> dict[str, str]:
    """What a sample says against a mapping, by canonical column; nothing where the table can't be read yet.

    Raises:
        RetryableError: the connection itself failed.
    """
    if not any(sources.values()):
        return {}
    query, asked = sample_query(entity, table, sources)
    try:
        row = source.query(query)[0]
    except RetryableError:
        raise
    except PacsError as error:
        return {entity.key: f"no sample of the table could be read ({error.code})"}
    doubts = {canonical: text for canonical, text in _doubts(row, asked) if text}
    if "keys" in row and row["keys"] < row["n"]:
        doubts[entity.key] = (
            f"{row['n'] - row['keys']:,} of {row['n']:,} rows of a sample repeat it or have none"
        )
    return doubts


def _doubts(
    row: Mapping[str, int], asked: list[tuple[str, str, Pattern | None]]
) -> Iterator[tuple[str, str]]:
    rows = int(row["n"])
    if rows < FEWEST:
        return
    for number, (canonical, _, pattern) in enumerate(asked):
        filled = int(row[f"c{number}_filled"])
        if filled == 0:
            yield canonical, f"it is empty in all {rows:,} rows of a sample"
        elif pattern is not None and int(row[f"c{number}_fits"]) < _SHARE * filled:
            yield canonical, pattern[1]


def _pattern_of(canonical: str, table: InventoryTable, name: str) -> Pattern | None:
    """What the column's values look like where it is what it is taken for; None where nothing is known."""
    kind = table.columns[name].type_name
    if kind in NUMBERS:
        return _NUMBER_PATTERNS.get(canonical)
    return _TEXT_PATTERNS.get(canonical) if kind in TEXTS and not _is_long(table, name) else None


def _is_long(table: InventoryTable, name: str) -> bool:
    return table.columns[name].is_lob
