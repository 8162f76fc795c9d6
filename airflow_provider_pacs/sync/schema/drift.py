"""The columns that a cursor was made from, and those of today -> what drifted.

Additions go on, widening goes on, anything else stops the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable

_GROWS = (
    ("tinyint", "smallint", "int", "bigint"),
    ("real", "float"),
    ("smalldatetime", "datetime", "datetime2"),
    ("char", "varchar", "text"),
)
"""Each type may become one further right without losing a value; so may the national character types and
(max).
"""
_DECLARED = re.compile(r"^(?P<name>\w+)(?:\((?P<first>\w+)(?:,\s*(?P<second>\d+))?\))?$")
_UNBOUNDED = 1 << 31


@dataclass(frozen=True, slots=True)
class Drift:
    """Source columns by what happened to them, as `name: old -> new` where there is an old one."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.dropped or self.widened or self.changed)

    def as_dict(self) -> dict[str, list[str]]:
        return {
            "added": list(self.added),
            "dropped": list(self.dropped),
            "widened": list(self.widened),
            "changed": list(self.changed),
        }


def declared_columns(table: ResolvedTable) -> dict[str, str]:
    """Every column of the table with its declaration; empty where the catalog is unknown."""
    return {name: column.declared for name, column in table.columns.items()}


def find_drift(before: Mapping[str, str], today: Mapping[str, str]) -> Drift:
    """What happened between new_type readings of a table's columns; nothing where either is unknown.

    BulkQuery does not count (case 55).
    """
    if not before or not today:
        return Drift()
    both = [name for name in today if name in before and before[name] != today[name]]
    grown = [name for name in both if widens(before[name], today[name])]
    return Drift(
        added=tuple(name for name in today if name not in before),
        dropped=tuple(name for name in before if name not in today),
        widened=tuple(f"{name}: {before[name]} -> {today[name]}" for name in grown),
        changed=tuple(f"{name}: {before[name]} -> {today[name]}" for name in both if name not in grown),
    )


def check_drift(county: str, table: ResolvedTable, before: Mapping[str, str]) -> Drift:
    """The table's drift, refused where a mapped column lost room or changed its kind.

    Raises:
        ConfigError: PACS-003; nothing was read. (A mapped column that is gone was refused before, by the
            catalog.)
    """
    drift = find_drift(before, declared_columns(table))
    mapped = set(table.mapped)
    breaking = [text for text in drift.changed if text.split(":")[0] in mapped]
    if breaking:
        raise ConfigError(
            f"{county}: {table.name} changed under its mapping: {', '.join(breaking)}",
            remedy=f"adapt tables.{table.map.entity} in the county's file; if the change is right as it is: "
            f"pacs check {county} --accept-source",
            code="PACS-003",
        )
    return drift


def widens(old: str, new: str) -> bool:
    """Whether every value of type `old` fits type `new` unchanged."""
    old_type, new_type = _DECLARED.match(old.lower()), _DECLARED.match(new.lower())
    if old_type is None or new_type is None:
        return False
    if {old_type["name"], new_type["name"]} in (
        {"char", "varchar"},
        {"nchar", "nvarchar"},
    ):  # padding comes and goes, values stay
        return _size(old_type["first"]) <= _size(new_type["first"])
    if old_type["name"] == new_type["name"]:
        return (
            _digits_fit(old_type, new_type)
            if old_type["second"] is not None
            else _size(old_type["first"]) <= _size(new_type["first"])
        )
    names = (old_type["name"].removeprefix("n"), new_type["name"].removeprefix("n"))
    national = (
        old_type["name"].startswith("n") and not new_type["name"].startswith("n") and names[0] in _GROWS[3]
    )
    in_order = any(
        names[0] in order and names[1] in order and order.index(names[0]) <= order.index(names[1])
        for order in _GROWS
    )
    return (
        in_order
        and not national
        and (names[0] not in _GROWS[3] or _size(old_type["first"]) <= _size(new_type["first"]))
    )


def _digits_fit(old_type: re.Match[str], new_type: re.Match[str]) -> bool:
    """decimal(p, s): neither the digits before the point nor those after it may become fewer."""
    before, after = int(old_type["first"]) - int(old_type["second"]), int(old_type["second"])
    return int(new_type["first"]) - int(new_type["second"]) >= before and int(new_type["second"]) >= after


def _size(text: str | None) -> int:
    if text is None or text == "max":
        return _UNBOUNDED
    return int(text)
