"""How much a source's name looks like one of ours: 1.0 for the same word, 0.0 for nothing in common."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache, lru_cache

SURE, POSSIBLE = 0.9, 0.62
"""From here on a match needs no mark, and from here on it is worth proposing at all."""

TABLE_WORDS: dict[str, tuple[str, ...]] = {
    "property": ("property", "parcel", "real property", "property master", "parcel master"),
    "owner": ("owner", "property owner", "ownership", "parcel owner", "taxpayer"),
    "value": (
        "value history", "property value", "value", "valuation", "assessment", "appraisal", "parcel value",
    ),
    "structure": ("structure", "building", "improvement", "imprv", "dwelling", "property structure"),
}  # fmt: skip
"""What counties call the table of an entity."""

COLUMN_WORDS: dict[str, tuple[str, ...]] = {
    "property_id": ("property id", "parcel id", "prop id", "property guid", "parcel guid"),
    "owner_id": ("owner id", "ownership id", "property owner id", "owner guid"),
    "value_id": ("value id", "value history id", "assessment id", "valuation id", "value guid"),
    "structure_id": ("structure id", "building id", "improvement id", "imprv id", "structure guid"),
    "parcel_number": (
        "parcel number", "parcel no", "parcel nbr", "parcel num", "parcel", "apn", "pin", "geo id",
        "account number", "account no", "tax parcel", "property number",
    ),
    "address": ("address", "situs address", "situs", "property address", "site address", "street address"),
    "city": ("city", "situs city", "property city", "site city", "town"),
    "state": ("state", "situs state", "property state", "state code", "st"),
    "zip_code": ("zip code", "zip", "zipcode", "postal code", "situs zip", "property zip"),
    "legal_description": ("legal description", "legal desc", "legal", "legal descr", "legal text"),
    "acreage": ("acreage", "acres", "land acres", "legal acreage", "total acres", "size acres"),
    "year_built": ("year built", "yr built", "built year", "yr blt", "actual year built", "year constructed"),
    "last_modified": (
        "last modified", "modified date", "modified", "last update", "last updated", "updated at",
        "update date", "last change", "changed at", "modified on", "date modified", "last upd dt", "upd date",
        "last changed", "edit date", "last edited date",
    ),
    "is_active": ("is active", "active", "active flag", "active flg", "active ind"),
    "owner_name": ("owner name", "name", "full name", "taxpayer name", "file as name", "owner"),
    "owner_type": ("owner type", "type", "ownership type", "type of interest", "owner type cd"),
    "ownership_percentage": (
        "ownership percentage", "ownership percent", "pct ownership", "percent ownership", "ownership pct",
        "percentage", "percent owned", "interest",
    ),
    "start_date": ("start date", "begin date", "from date", "effective date", "start dt", "begin dt"),
    "end_date": ("end date", "to date", "expiration date", "end dt", "thru date"),
    "tax_year": ("tax year", "year", "appraisal year", "assessment year", "prop val yr", "roll year"),
    "assessed_value": ("assessed value", "assessed", "assessed val", "total assessed", "av", "taxable value"),
    "market_value": ("market value", "market", "market val", "total market", "mv", "fair market value"),
    "land_value": ("land value", "land", "land val", "land market", "total land"),
    "improvement_value": (
        "improvement value", "improvement", "improvements", "imprv val", "imp value", "impr value",
        "building value", "total improvement",
    ),
    "structure_type": ("structure type", "building type", "type", "imprv type", "improvement type"),
    "square_footage": (
        "square footage", "square feet", "sq ft", "sqft", "living area", "area", "total area", "gross area",
        "floor area",
    ),
    "condition": ("condition", "condition code", "cond", "condition cd", "physical condition"),
    "bedrooms": ("bedrooms", "beds", "bedroom count", "num bedrooms", "number of bedrooms", "br"),
    "bathrooms": ("bathrooms", "baths", "bathroom count", "num bathrooms", "number of bathrooms", "ba"),
}  # fmt: skip
"""What counties call a canonical column, the likeliest first."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SHORT = {
    "id": "id", "guid": "id", "uid": "id", "key": "id", "no": "number", "num": "number", "nbr": "number",
    "yr": "year", "dt": "date", "cd": "code", "desc": "description", "descr": "description",
    "addr": "address",
    "pct": "percentage", "percent": "percentage", "val": "value", "impr": "improvement", "imp": "improvement",
    "imprv": "improvement", "prop": "property", "bldg": "building", "flg": "flag", "ind": "flag",
    "cond": "condition", "amt": "amount", "blt": "built", "upd": "update", "mod": "modified", "sqft": "sq ft",
}  # fmt: skip
_NOISE = frozenset({"tbl", "tb", "t", "v", "vw", "view", "dbo", "pacs", "master", "table", "mst", "data"})


def plain_words(name: str) -> tuple[str, ...]:
    """A name's words in small letters, as they are written: `ZoneCode` and `zone_code` are zone, code."""
    return tuple(word.lower() for word in _WORD.findall(name))


@lru_cache(maxsize=100_000)
def words_of(name: str) -> tuple[str, ...]:
    """A name's words in small letters, usual abbreviations written out."""
    return tuple(part for word in plain_words(name) for part in _SHORT.get(word, word).split())


def same_words(columns: Iterable[str]) -> frozenset[str]:
    """Everything that these canonical columns are called somewhere, as `words_of` writes it, without gaps."""
    return _same_words(tuple(columns))


@cache
def _same_words(columns: tuple[str, ...]) -> frozenset[str]:
    names = [name for column in columns for name in (column, *COLUMN_WORDS.get(column, ()))]
    return frozenset("".join(words_of(name)) for name in names)


def similarity(name: str, wanted: Iterable[str], context: Iterable[str] = ()) -> float:
    """How much a name looks like the likeliest of the wanted ones.

    Args:
        name: the source's.
        wanted: ours, the likeliest first; a later one counts a little less.
        context: words that say nothing here, such as those of the table's own name.
    """
    words = words_of(name)
    kept = tuple(word for word in words if word not in _NOISE) or words
    shorter = tuple(word for word in kept if word not in set(context)) or kept
    return max(
        max(_alike(kept, words_of(text)), _alike(shorter, words_of(text)) - 0.02) - 0.005 * rank
        for rank, text in enumerate(wanted)
    )


@lru_cache(maxsize=100_000)
def _alike(words: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    ours, theirs = "".join(wanted), "".join(words)
    if ours == theirs or (ours.rstrip("s") == theirs.rstrip("s") and len(ours) > 3):
        return 1.0
    if set(words) == set(wanted):
        return 0.98
    ratio = difflib.SequenceMatcher(None, theirs, ours).ratio()
    if set(wanted) < set(words):
        return max(ratio, 0.9 - 0.08 * len(set(words) - set(wanted)))
    return min(ratio, 0.89)
