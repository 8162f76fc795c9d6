"""Names as counties write them, and which of ours they look like."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.preflight.similar_names import (
    COLUMN_WORDS,
    POSSIBLE,
    SURE,
    TABLE_WORDS,
    similarity,
    words_of,
)
from airflow_provider_pacs.sync.profiles import load_profile


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PropertyID", ("property", "id")),
        ("prop_val_yr", ("property", "value", "year")),
        ("SQFT", ("sq", "ft")),
        ("GISParcelNo", ("gis", "parcel", "number")),
        ("YrBuilt2", ("year", "built", "2")),
        ("", ()),
    ],
)
def test_a_name_is_taken_apart(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ParcelNumber", "parcel_number"), ("PARCEL_NBR", "parcel_number"), ("APN", "parcel_number"),
        ("YrBuilt", "year_built"), ("year_blt", "year_built"), ("SitusZip", "zip_code"),
        ("UpdDate", "last_modified"), ("ModifiedDate", "last_modified"), ("last_modified", "last_modified"),
        ("TotalAcres", "acreage"), ("MktValue", "market_value"), ("ImprVal", "improvement_value"),
        ("PctOwnership", "ownership_percentage"), ("SqFt", "square_footage"), ("Baths", "bathrooms"),
    ],
)  # fmt: skip
def test_a_column_is_recognised(name: str, column: str) -> None:
    """The right column is the likeliest of all, and likely enough to be proposed."""
    scores = {known: similarity(name, words) for known, words in COLUMN_WORDS.items()}
    assert max(scores, key=lambda known: scores[known]) == column
    assert scores[column] >= POSSIBLE


@pytest.mark.parametrize("name", ["Photo", "GisShape", "UserLogin", "Xyzzy", "BatchNo"])
def test_what_looks_like_nothing_is_never_sure(name: str) -> None:
    assert all(similarity(name, words) < SURE for words in COLUMN_WORDS.values())


def test_every_column_of_the_generic_profile_and_every_entity_has_words() -> None:
    specs = load_profile("generic")["entities"]
    assert {column for spec in specs.values() for column in spec["columns"]} <= COLUMN_WORDS.keys()
    assert specs.keys() == TABLE_WORDS.keys()
