"""Source profiles: a YAML in this folder, overridden by the county's file -> one `TableMap` per entity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import yaml

from airflow_provider_pacs.sync.entities import ColumnType, EntityColumn, load_entities, promoted_column
from airflow_provider_pacs.sync.profiles.options import complete_options
from airflow_provider_pacs.sync.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Joined:
    """What makes an entity one SELECT over several tables: the profile's YAML, and a county's choices and
    names.

    Attributes:
        profile: the profile's YAML; `source/joined.py` renders it.
        options: every option's value.
        tables: the profile's table -> the county's `schema`, `table`, `columns` (profile's column -> source's
            column).
    """

    profile: Mapping[str, Any]
    options: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TableMap:
    """Where one entity's rows live at the source.

    Attributes:
        entity: canonical entity name.
        schema: the source's schema, unquoted.
        table: the source's table or view, unquoted.
        change_column: the source column whose value moves when a row changes; None where there is none.
        columns: canonical column -> source column, unquoted, in the entity's order; a canonical column that
            the source lacks is left out.
        extra: name in the canonical column `extra` -> source column, unquoted; `alias.column` of a joined
            entity.
        alternatives: other names of the table, unquoted, of which the first that exists is read where
            `table` does not; empty once a county's file or the source's catalog has decided.
        joined: where the rows are one SELECT over several tables; its columns bear their canonical names, and
            `table` is the profile's name.
        promoted: names in `extra` whose values go to a column of their own, with its type, instead of the
            JSON.
    """

    entity: str
    schema: str
    table: str
    change_column: str | None
    columns: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...] = ()
    joined: Joined | None = None
    alternatives: tuple[str, ...] = ()
    promoted: tuple[tuple[str, ColumnType], ...] = ()

    @property
    def promoted_columns(self) -> tuple[EntityColumn, ...]:
        """The county's promoted columns."""
        return tuple(promoted_column(name, kind) for name, kind in self.promoted)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source column that is read as a value."""
        return tuple(source for _, source in (*self.columns, *self.extra))

    @property
    def key(self) -> str:
        """The source column of the entity's key; a joined entity's is `_source_key`."""
        return "_source_key" if self.joined else dict(self.columns)[load_entities()[self.entity].key]

    @property
    def profile(self) -> str:
        """The joined profile's name; empty for a single table."""
        return str(self.joined.profile["profile"]) if self.joined else ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides which rows and values are read."""
        joined = [self.joined.profile, self.joined.options, self.joined.tables] if self.joined else []
        parts = [self.entity, self.schema, self.table, self.change_column, self.columns, self.extra, *joined]
        text = json.dumps([*parts, *([self.promoted] if self.promoted else [])], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def alias(number: int) -> str:
    """What a select list calls the column of `extra` with this number.

    Its name in `extra` may be as long as an identifier can be.
    """
    return f"extra.{number}"


def profile_names() -> tuple[str, ...]:
    """The names that `source.profile` may take."""
    return tuple(
        sorted(
            file.name.removesuffix(".yaml")
            for file in resources.files(__package__).iterdir()
            if file.name.endswith(".yaml")
        )
    )


@cache
def load_profile(profile: str) -> dict[str, Any]:
    """A profile's YAML; not to be changed.

    Raises:
        ConfigError: unknown profile.
    """
    if profile not in profile_names():
        raise ConfigError(
            f"unknown source profile {profile!r}", remedy=f"use one of: {', '.join(profile_names())}"
        )
    raw: dict[str, Any] = yaml.safe_load(
        (resources.files(__package__) / f"{profile}.yaml").read_text("utf-8")
    )
    return raw


def profile_options(profile: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that the profile offers, with the chosen values in place.

    Raises:
        ValueError: an unknown option, or a value that it can't take.
    """
    return complete_options(load_profile(profile).get("options", {}), chosen)


@cache
def profile_columns(profile: str) -> dict[str, set[str]]:
    """Every table that a joined profile may read, with the columns, by the profile's names; empty for a
    profile of single tables.
    """
    raw = load_profile(profile)
    if "snippets" not in raw:
        return {}
    text = repr(raw["snippets"]) + repr(raw.get("settings", {})) + repr(raw["entities"])
    tables = {alias: table for table, alias in re.findall(r"\{(\w+)\} AS (\w+)", text)}
    columns_of: dict[str, set[str]] = {table: set() for table in tables.values()}
    for alias, column in re.findall(r"\{(\w+)\.(\w+)\}", text):
        columns_of[tables[alias]].add(column)
    for option in raw["options"].values():
        if option["type"] == "columns":
            columns_of[tables[option["of"]]] |= set(option["default"])
    return columns_of


def load_tables(
    profile: str,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    source_tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, TableMap]:
    """The table maps of a profile after the county's own names are laid over it.

    Args:
        profile: a name from `profile_names()`.
        overrides: per entity any of `schema`, `table`, `change_column`, `columns` and `extra` (both canonical
            -> source; None for a column that the county does not have), and `promote` (name in `extra` ->
            type).
        options: the county's choices in a joined profile.
        source_tables: the county's names of a joined profile's tables and their columns.

    Raises:
        ConfigError: unknown profile, entity, option or table, or a canonical column that the entity does not
            have.
    """
    raw = load_profile(profile)
    joined = None
    if "snippets" in raw:
        try:
            joined = Joined(raw, complete_options(raw["options"], options or {}), dict(source_tables or {}))
        except ValueError as error:
            raise ConfigError(f"source.options: {error}", remedy="correct the county file") from None
    tables = {name: _table_map(name, raw["schema"], spec, joined) for name, spec in raw["entities"].items()}
    for name, override in (overrides or {}).items():
        if name not in tables:
            raise ConfigError(
                f"tables.{name}: profile {profile!r} has no such entity",
                remedy=f"use one of: {', '.join(tables)}",
            )
        tables[name] = _overridden(tables[name], override)
    return tables


def _table_map(name: str, schema: str, spec: Mapping[str, Any], joined: Joined | None) -> TableMap:
    named = spec["columns"]
    columns = tuple(
        (canonical, canonical if joined else named[canonical])
        for canonical in load_entities()[name].mapped_names
        if canonical in named
    )
    table, *alternatives = str(spec.get("table", name)).split("|")
    return TableMap(
        name,
        schema,
        table,
        spec.get("change_column"),
        columns,
        joined=joined,
        alternatives=tuple(alternatives),
    )


def _overridden(table: TableMap, override: Mapping[str, Any]) -> TableMap:
    named = {
        name: value
        for name, value in override.items()
        if value and name in ("schema", "table", "change_column", "columns")
    }
    extra = tuple((override.get("extra") or {}).items())
    promoted = tuple(sorted((override.get("promote") or {}).items()))
    if table.joined is not None:
        if named:
            raise ConfigError(
                f"tables.{table.entity}.{next(iter(named))}: this profile reads {table.entity} from several "
                "tables",
                remedy="name the county's tables and columns under source.tables",
            )
        return replace(table, extra=extra, promoted=promoted)
    entity = load_entities()[table.entity]
    renamed = dict(named.get("columns") or {})
    unknown = sorted(set(renamed) - set(entity.mapped_names))
    if unknown:
        known = ", ".join(entity.mapped_names)
        raise ConfigError(
            f"tables.{table.entity}.columns: unknown canonical column {unknown[0]!r}",
            remedy=f"use one of: {known}",
        )
    absent = sorted(name for name, source in renamed.items() if source is None)
    if needed := [name for name in absent if name in (entity.key, entity.parent_key)]:
        raise ConfigError(
            f"tables.{table.entity}.columns.{needed[0]}: null, but no row is without it",
            remedy="name the county's column",
        )
    sources = {name: source for name, source in (dict(table.columns) | renamed).items() if source is not None}
    change_column = named.get("change_column") or table.change_column
    if named.get("change_column") is None and "last_modified" in renamed:
        change_column = renamed["last_modified"]
    return replace(
        table,
        schema=named.get("schema") or table.schema,
        table=named.get("table") or table.table,
        change_column=change_column,
        columns=tuple(
            (canonical, sources[canonical]) for canonical in entity.mapped_names if canonical in sources
        ),
        extra=extra,
        promoted=promoted,
        alternatives=() if named.get("table") else table.alternatives,
    )
