"""A county's YAML file comes in, a frozen `CountyConfig` goes out; or one ConfigError that lists every
problem with file, field and line.

Two spellings load: the long form (`county`, `source`, `target`, `sync`, ...) and the design document's
`<county>_sync_schedule: {pacs_sync: {...}}`, which is the same as `county: <county>` and `sync: {...}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Field, StrictStr, ValidationError, field_validator, model_validator

from airflow_provider_pacs.sync.config.hours import BusinessHours
from airflow_provider_pacs.sync.config.settings import (
    DeleteGuard,
    EntityName,
    HistoryConfig,
    Name,
    RealtimeConfig,
    Section,
    SourceConfig,
    SyncConfig,
    TableConfig,
    Tag,
    TargetConfig,
    did_you_mean,
)
from airflow_provider_pacs.sync.config.strict_yaml import YamlPath, read_yaml
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.profiles import TableMap, load_profile, load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_DOCUMENT_FORM = "_sync_schedule"
_RESERVED_ENDINGS = (
    "_reconcile",
    "_approvals",
    "_realtime",
    "_writeback",
    "_rollback",
    "_sync_schedule",
)  # a DAG id of one county may not be another county's
_MOST, _LONGEST = 50, 600
"""Problems of one file that are listed, and characters of each."""
_Problem = tuple[YamlPath, str]
_MISSING = {
    "fips": 'no FIPS code is known for this county: set fips: "53005" (state and county, 5 digits, in quotes)',  # noqa: E501
    "timezone": "has no default outside Washington: set the county's IANA time zone, e.g. timezone: America/Boise",  # noqa: E501
}


class CountyConfig(Section):
    """One county, complete: every default is filled in."""

    county: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    fips: Annotated[StrictStr, Field(pattern=r"^[0-9]{5}$")]
    name: Name
    timezone: Annotated[StrictStr, Field(max_length=64)]
    source: SourceConfig
    target: TargetConfig = TargetConfig()
    sync: SyncConfig = Field(default_factory=SyncConfig)
    realtime: RealtimeConfig = RealtimeConfig()
    delete_guard: DeleteGuard = DeleteGuard()
    history: HistoryConfig = Field(default_factory=HistoryConfig)
    tables: dict[EntityName, TableConfig] = Field(default_factory=dict)
    owner: Name = "data-engineering"
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()

    @model_validator(mode="before")
    @classmethod
    def _defaults_from_the_slug(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        sections = ("source", "target", "sync", "realtime", "delete_guard", "history", "tables")
        filled = {key: value for key, value in raw.items() if not (key in sections and value is None)}
        county = str(filled.get("county", ""))
        place, _, state = county.rpartition("_")
        filled.setdefault(
            "name",
            f"{place.replace('_', ' ').title()} County, {state.upper()}"
            if place and len(state) == 2
            else county,
        )
        if fips := washington_fips().get(county):
            filled.setdefault("fips", fips)
        if state == "wa":
            filled.setdefault("timezone", "America/Los_Angeles")
        source = filled.get("source", {})
        if isinstance(source, dict):
            filled["source"] = {"connection": f"pacs_{county}", **source}
        return filled

    @field_validator("county")
    @classmethod
    def _slug_is_free(cls, county: str) -> str:
        if county.endswith(_RESERVED_ENDINGS):
            raise ValueError(
                f"{county!r} must not end in {', '.join(_RESERVED_ENDINGS)}: its DAG id would look like "
                "another county's"
            )
        return county

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{zone!r} is not an IANA time zone (America/Los_Angeles is one)") from error
        return zone

    @model_validator(mode="after")
    def _profile_has_the_entities(self) -> CountyConfig:
        known = load_profile(self.source.profile)["entities"]
        if absent := [name for name in self.sync.entities if name not in known]:
            raise ValueError(
                f"sync.entities: profile {self.source.profile!r} has no {', '.join(absent)}; it has: "
                f"{', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _realtime_has_a_feed(self) -> CountyConfig:
        if not self.realtime.enabled:
            return self
        if not self.sync.enable_cdc:
            raise ValueError(
                "realtime.enabled needs sync.enable_cdc: true; without it every run reads every row"
            )
        if self.realtime.linger_seconds * 2 > self.sync.timeout_minutes * 60:
            raise ValueError(
                "realtime.linger_seconds must be at most half of sync.timeout_minutes, which limits the task"
            )
        return self

    @property
    def business_hours(self) -> BusinessHours:
        """When the county's changes are followed."""
        return BusinessHours(self.realtime.hours, self.realtime.days, self.timezone)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the complete configuration: equal files and equal defaults give equal
        fingerprints.
        """
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def table_maps(config: CountyConfig) -> dict[str, TableMap]:
    """The county's profile with the county's own names and choices, by entity; also of entities that it does
    not synchronise.
    """
    return load_tables(
        config.source.profile,
        {name: asdict(table) for name, table in config.tables.items()},
        options=config.source.options,
        source_tables={name: asdict(table) for name, table in config.source.tables.items()},
    )


def require_entity(config: CountyConfig, entity: str) -> None:
    """Refuse an entity that the county's file leaves out.

    Raises:
        ConfigError: names the entities that it has.
    """
    if entity not in config.sync.entities:
        raise ConfigError(
            f"{config.county} does not synchronise {entity!r}",
            remedy=f"use one of: {', '.join(config.sync.entities)}",
        )


@cache
def washington_fips() -> Mapping[str, str]:
    """FIPS code by slug for the counties in `fips.yaml`."""
    codes: dict[str, str] = yaml.safe_load(
        resources.files(__package__).joinpath("fips.yaml").read_text("utf-8")
    )
    return codes


def county_files(folder: Path) -> list[Path]:
    """The county files of a folder, sorted by name; a path to one file gives that file."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: there is no such folder",
            remedy="Create it, or set [pacs] counties_path to the folder of the county files.",
        )
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix in (".yaml", ".yml") and file.is_file() and not file.name.startswith(".")
    )


def load_county(path: Path) -> CountyConfig:
    """Read and check one county file.

    Raises:
        ConfigError: lists every problem, one a line: `file: field.path: what is wrong (line n)`.
    """
    file = read_yaml(path)
    problems = [(where, f"is written twice (again in line {line})") for where, line in file.duplicates]
    if not isinstance(file.value, dict):
        raise ConfigError(f"{path}: must be a mapping of settings, for example `county: benton_wa`")
    settings, prefix = _long_form(file.value, problems)
    settings.setdefault("county", path.stem)
    if isinstance(settings["county"], str) and settings["county"] != path.stem:
        problems.append(
            (
                prefix[:1] or ("county",),
                f"must be the file's name: call the file {settings['county'][:50]}{path.suffix}, or write "
                f"{path.stem} here; a copy under another name would stand beside the original",
            )
        )
    problems += _column_problems(settings.get("tables"))
    try:
        config = CountyConfig.model_validate(settings)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        below = {item["loc"][:size] for item in errors for size in range(len(item["loc"]))}
        # A list whose only item is wrong counts as empty: the item's own problem says more.
        problems += [
            _explain(item) for item in errors if not (item["type"] == "too_short" and item["loc"] in below)
        ]
    else:
        if not problems:
            return config
    explained = []
    for loc, what in problems:
        where = (*prefix, *loc[1:]) if prefix and loc[:1] == ("sync",) else loc
        line = next(
            (file.lines[where[:size]] for size in range(len(where), 0, -1) if where[:size] in file.lines),
            None,
        )
        explained.append(
            (
                line or 0,
                f"{path}: {'.'.join(map(str, where)) or '(file)'}: {what}{f' (line {line})' if line else ''}",
            )
        )
    lines = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for _, text in sorted(explained)]
    more = [f"{path}: and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    raise ConfigError("\n".join([*lines[:_MOST], *more]), remedy="Correct the county file.")


def _long_form(raw: dict[Any, Any], problems: list[_Problem]) -> tuple[dict[Any, Any], YamlPath]:
    """Turn `<county>_sync_schedule: {pacs_sync: {...}}` into `county` and `sync`; give the path that stands
    for `sync` in the file.
    """
    settings = dict(raw)
    schedules = [key for key in raw if isinstance(key, str) and key.endswith(_DOCUMENT_FORM)]
    if not schedules:
        return settings, ()
    problems += [
        ((key,), "one file is one county: move this schedule to a file of its own") for key in schedules[1:]
    ]
    problems += [
        ((key,), f"can't stand beside {schedules[0]}, which sets it")
        for key in ("county", "sync")
        if key in raw
    ]
    settings = {key: value for key, value in raw.items() if key not in schedules}
    jobs = raw[schedules[0]]
    settings["county"] = schedules[0].removesuffix(_DOCUMENT_FORM)
    if not isinstance(jobs, dict) or "pacs_sync" not in jobs:
        problems.append(((schedules[0],), "must hold `pacs_sync:` with the settings of the synchronisation"))
        jobs = {}
    problems += [
        ((schedules[0], str(key)), "unknown key; known: pacs_sync") for key in jobs if key != "pacs_sync"
    ]
    settings["sync"] = jobs.get("pacs_sync") or {}
    return settings, (schedules[0], "pacs_sync")


def _column_problems(tables: Any) -> list[_Problem]:
    """Canonical columns that an entity doesn't have, or has already; pydantic can't see from inside a table's
    columns which entity they are of.
    """
    problems: list[_Problem] = []
    for entity, table in tables.items() if isinstance(tables, dict) else ():
        if entity not in load_entities() or not isinstance(table, dict):
            continue
        known, columns, extra = load_entities()[entity].mapped_names, table.get("columns"), table.get("extra")
        unknown = (
            [str(column) for column in columns if column not in known] if isinstance(columns, dict) else []
        )
        problems += [
            (("tables", entity, "columns", name), f"unknown column; {did_you_mean(name, known)}")
            for name in unknown
        ]
        keys = (load_entities()[entity].key, load_entities()[entity].parent_key)
        problems += [
            (("tables", entity, "columns", name), "null, but no row is without it: name the county's column")
            for name in keys
            if name is not None and isinstance(columns, dict) and name in columns and columns[name] is None
        ]
        problems += _promotion_problems(entity, table)
        taken = [str(name) for name in extra if name in known] if isinstance(extra, dict) else []
        problems += [
            (
                ("tables", entity, "extra", name),
                f"{name} is a column of its own: name its source under columns",
            )
            for name in taken
        ]
    return problems


def _promotion_problems(entity: str, table: dict[Any, Any]) -> list[_Problem]:
    """Promoted names that `extra` does not carry, or that the table uses itself."""
    promote, extra = table.get("promote"), table.get("extra")
    if not isinstance(promote, dict):
        return []
    carried = [str(name) for name in extra] if isinstance(extra, dict) else []
    absent = [str(name) for name in promote if name not in carried]
    problems: list[_Problem] = [
        (
            ("tables", entity, "promote", name),
            f"is not under extra: name its source there, then its type here; {did_you_mean(name, carried)}",
        )
        for name in absent
    ]
    return problems + [
        (("tables", entity, "promote", name), f"{name} is a name of the table's own: give it another")
        for name in ("county_id", "extra")
        if name in promote
    ]


def _explain(error: ErrorDetails) -> _Problem:
    """Say what pydantic found in the file's words.

    A value is repeated only if it is a number: a text may be a password in the wrong place.
    """
    loc = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "missing" and len(loc) == 1:
        return loc, _MISSING.get(str(loc[0]), "is required")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return loc, f"unknown key; {did_you_mean(str(loc[-1]), _keys_at(loc[:-1]))}"
    value = error["input"]
    got = f" (got {_short(value)})" if isinstance(value, int | float) else ""
    got += "; write it in quotes" if got and error["type"] == "string_type" else ""
    return loc, error["msg"].removeprefix("Value error, ") + got


def _short(number: float) -> str:
    """A number that fits a line; one of thousands of digits would not even become a text."""
    return str(number) if abs(number) < 1e15 else "a number out of every range"


def _keys_at(loc: YamlPath) -> Iterable[str]:
    if loc[:1] == ("tables",):
        return TableConfig.__dataclass_fields__
    sections: dict[str, type[Section]] = {
        "source": SourceConfig,
        "target": TargetConfig,
        "sync": SyncConfig,
        "realtime": RealtimeConfig,
        "delete_guard": DeleteGuard,
        "history": HistoryConfig,
    }
    return (sections[str(loc[0])] if loc else CountyConfig).model_fields
