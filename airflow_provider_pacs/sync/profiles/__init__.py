"""Source profiles: a YAML in this folder, overridden by the county's file -> one `TableMap` per entity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import yaml

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TableMap:
    """Where one entity's rows live at the source.

    Attributes:
        entity: canonical entity name.
        schema: the source's schema, unquoted.
        table: the source's table or view, unquoted.
        change_column: the source column whose value moves when a row changes; None where there is none.
        columns: canonical column -> source column, unquoted, in the entity's order.
        extra: name in the canonical column `extra` -> source column, unquoted.
    """

    entity: str
    schema: str
    table: str
    change_column: str | None
    columns: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source column that is read as a value."""
        return tuple(source for _, source in (*self.columns, *self.extra))

    @property
    def key(self) -> str:
        """The source column of the entity's key."""
        return dict(self.columns)[load_entities()[self.entity].key]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides which rows and values are read."""
        text = json.dumps([self.entity, self.schema, self.table, self.change_column, self.columns, self.extra], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def profile_names() -> tuple[str, ...]:
    """The names that `source.profile` may take."""
    return tuple(sorted(file.name.removesuffix(".yaml") for file in resources.files(__package__).iterdir() if file.name.endswith(".yaml")))


def load_tables(profile: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, TableMap]:
    """The table maps of a profile after the county's own names are laid over it.

    Args:
        profile: a name from `profile_names()`.
        overrides: per entity any of `schema`, `table`, `change_column`, `columns` and `extra` (both canonical -> source).

    Raises:
        ConfigError: unknown profile, unknown entity, or a canonical column that the entity does not have.
    """
    if profile not in profile_names():
        raise ConfigError(f"unknown source profile {profile!r}", remedy=f"use one of: {', '.join(profile_names())}")
    raw = yaml.safe_load((resources.files(__package__) / f"{profile}.yaml").read_text("utf-8"))
    tables = {name: _table_map(name, raw["schema"], spec) for name, spec in raw["entities"].items()}
    for name, override in (overrides or {}).items():
        if name not in tables:
            raise ConfigError(f"tables.{name}: profile {profile!r} has no such entity", remedy=f"use one of: {', '.join(tables)}")
        tables[name] = _overridden(tables[name], override)
    return tables


def _table_map(name: str, schema: str, spec: Mapping[str, Any]) -> TableMap:
    known = load_entities()[name].mapped_names
    columns = tuple((canonical, spec["columns"][canonical]) for canonical in known)
    return TableMap(name, schema, spec["table"], spec.get("change_column"), columns)


def _overridden(table: TableMap, override: Mapping[str, Any]) -> TableMap:
    renamed = dict(override.get("columns") or {})
    unknown = sorted(set(renamed) - {canonical for canonical, _ in table.columns})
    if unknown:
        known = ", ".join(canonical for canonical, _ in table.columns)
        raise ConfigError(f"tables.{table.entity}.columns: unknown canonical column {unknown[0]!r}", remedy=f"use one of: {known}")
    columns = tuple((canonical, renamed.get(canonical, source)) for canonical, source in table.columns)
    change_column = override.get("change_column") or table.change_column
    if override.get("change_column") is None and "last_modified" in renamed:
        change_column = renamed["last_modified"]
    return replace(
        table,
        schema=override.get("schema") or table.schema,
        table=override.get("table") or table.table,
        change_column=change_column,
        columns=columns,
        extra=tuple((override.get("extra") or {}).items()),
    )
