"""Canonical entities: one YAML each in this folder -> `Entity`, parents first.

A new entity is one file here (and one suite).

Every entity ends in a column `extra` of type `json`: what a county carries beyond the canonical columns. No
YAML names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Literal

import yaml

ColumnType = Literal["uuid", "text", "numeric", "integer", "boolean", "timestamp", "json"]
Pii = Literal["none", "personal"]


@dataclass(frozen=True, slots=True)
class EntityColumn:
    """One canonical column. `pii` is `personal` for what may name or locate a person."""

    name: str
    type: ColumnType
    pii: Pii = "none"


EXTRA = EntityColumn("extra", "json")


def promoted_column(name: str, type: ColumnType) -> EntityColumn:
    """A column that a county's file promotes out of `extra`. Nobody has declared what it holds, so it counts
    as what may name a person.
    """
    return EntityColumn(name, type, "personal")


@dataclass(frozen=True, slots=True)
class Entity:
    """One canonical table of schema `pacs`.

    Attributes:
        name: what county files and task ids say, e.g. `value`.
        table: the table in schema `pacs`, e.g. `value_history`.
        key: the column that, with `county_id` before it, is the primary key.
        parent: the entity whose key this entity carries in `parent_key`; None for a root.
        parent_key: the column that joins the parent.
        change_column: the canonical column that holds the source's change stamp.
        money: columns whose sums a certificate compares, grouped by `money_by`.
        money_by: the column that groups the sums (a tax year); None for one sum.
        by_default: whether a county synchronises it unless its file says otherwise. Only what every profile
            has: a new version must not read tables to which a county's login has no rights.
        promoted: names of columns that county files promoted out of `extra`; each is NULL in the rows of
            counties that did not.
    """

    name: str
    table: str
    key: str
    columns: tuple[EntityColumn, ...]
    parent: str | None = None
    parent_key: str | None = None
    change_column: str = "last_modified"
    money: tuple[str, ...] = ()
    money_by: str | None = None
    by_default: bool = True
    promoted: tuple[str, ...] = field(default=(), repr=False)  # not part of the recorded definition

    def with_promoted(self, columns: Iterable[EntityColumn]) -> Entity:
        """The entity with columns that county files promoted, before `extra`."""
        more = tuple(columns)
        return replace(
            self,
            columns=(*self.columns[:-1], *more, self.columns[-1]),
            promoted=tuple(column.name for column in more),
        )

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def mapped_names(self) -> tuple[str, ...]:
        """The columns that each come from one column of the source: all but `extra`."""
        return tuple(
            column.name
            for column in self.columns
            if column.type != "json" and column.name not in self.promoted
        )


def _read(text: str) -> Entity:
    raw = yaml.safe_load(text)
    columns = tuple(EntityColumn(name, **spec) for name, spec in raw.pop("columns").items())
    raw["money"] = tuple(raw.get("money", ()))
    return Entity(columns=(*columns, EXTRA), **raw)


@cache
def load_entities() -> dict[str, Entity]:
    """All canonical entities by name, parents before children."""
    folder = resources.files(__package__)
    entities = [_read(file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".yaml")]
    ordered: dict[str, Entity] = {}
    pending = sorted(entities, key=lambda entity: entity.name)
    while pending:
        ready = [entity for entity in pending if entity.parent is None or entity.parent in ordered]
        if not ready:
            raise ValueError(f"entities without a loadable parent: {[entity.name for entity in pending]}")
        ordered |= {entity.name: entity for entity in ready}
        pending = [entity for entity in pending if entity.name not in ordered]
    return ordered


def default_entities() -> tuple[str, ...]:
    """What a county synchronises whose file names no entities, parents first."""
    return tuple(name for name, entity in load_entities().items() if entity.by_default)
