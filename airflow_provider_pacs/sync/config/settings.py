"""The sections of a county's file: which settings there are, what they may be, and their defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from airflow_provider_pacs.sync.config.cron import five_field_cron
from airflow_provider_pacs.sync.config.hours import DAYS, Day, hours_text
from airflow_provider_pacs.sync.entities import default_entities, load_entities
from airflow_provider_pacs.sync.profiles import profile_columns, profile_names, profile_options


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What was probably meant, and all that is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(names)}"


def _known_entity(name: str) -> str:
    if name not in load_entities():
        raise ValueError(f"unknown entity {name!r}; {did_you_mean(name, load_entities())}")
    return name


def _known_profile(name: str) -> str:
    if name not in profile_names():
        raise ValueError(f"unknown profile {name!r}; {did_you_mean(name, profile_names())}")
    return name


Name = Annotated[StrictStr, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]+$")]
Tag = Annotated[StrictStr, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029,]+$")]
ConnectionId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
Cron = Annotated[StrictStr, Field(max_length=200), AfterValidator(five_field_cron)]
EntityName = Annotated[StrictStr, AfterValidator(_known_entity)]
ExtraName = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PromotedType = Literal["text", "numeric", "integer", "boolean", "timestamp", "uuid"]
MOST_PROMOTED = 20
"""Per entity and county: the columns are every county's, and a table of PostgreSQL has at most 1,600."""
Rows = Annotated[StrictInt, Field(ge=0, le=1_000_000_000)]
BatchRows = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Minutes = Annotated[StrictInt, Field(ge=1, le=7 * 24 * 60)]
OverlapMinutes = Annotated[StrictInt, Field(ge=0, le=31 * 24 * 60)]
Seconds = Annotated[StrictInt, Field(ge=0, le=24 * 60 * 60)]
Hours = Annotated[StrictStr, Field(max_length=11), AfterValidator(hours_text)]
Retries = Annotated[StrictInt, Field(ge=0, le=100)]


class Section(BaseModel):
    """Settings that are complete, checked, and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SourceTableConfig:  # a pydantic dataclass: on a model, the name `schema` is taken
    """A table that a joined profile reads, as the county calls it. `columns` is a partial override, profile's
    name: source name.
    """

    schema: Name | None = None
    table: Name | None = None
    columns: dict[Name, Name] = Field(default_factory=dict)


class SourceConfig(Section):
    """Where the county's PACS is, and the profile that knows its tables.

    Attributes:
        connection: an Airflow connection id.
        profile: which shape of PACS it is.
        options: the county's choices among those that the profile offers.
        tables: the county's names for tables and columns of a profile that joins several.
        read_only: what becomes of a login that could write: `strict` refuses to run.
        tls: what becomes of a connection whose TLS protects less than it could: `strict` refuses to run.
    """

    connection: ConnectionId
    profile: Annotated[StrictStr, AfterValidator(_known_profile)] = "generic"
    options: dict[Name, Any] = Field(default_factory=dict)
    tables: dict[Name, SourceTableConfig] = Field(default_factory=dict)
    read_only: Literal["warn", "strict"] = "warn"
    tls: Literal["warn", "strict"] = "warn"

    @model_validator(mode="after")
    def _fits_the_profile(self) -> SourceConfig:
        profile_options(self.profile, self.options)
        known = profile_columns(self.profile)
        for table, spec in self.tables.items():
            if table not in known:
                raise ValueError(f"tables.{table}: unknown table; {did_you_mean(table, known)}")
            for column in spec.columns:
                if column not in known[table]:
                    raise ValueError(
                        f"tables.{table}.columns.{column}: the profile reads no such column; "
                        f"{did_you_mean(column, known[table])}"
                    )
        return self


class TargetConfig(Section):
    """Where the rows go.

    Attributes:
        connection: an Airflow connection id of type `postgres`.
        tls: what becomes of a connection to it that somebody made weaker than verified TLS: `warn` says and
            audits it in every run, `strict` refuses to run.
    """

    connection: ConnectionId = "terrafusion"
    tls: Literal["warn", "strict"] = "warn"


class SyncConfig(Section):
    """When and how the county is synchronised.

    Attributes:
        cron: five fields, in the county's time zone; None for manual runs only.
        entities: what to synchronise, as written; by default what every profile has, parents first. A child
            without `property` is allowed.
        batch_size: rows per batch that the hook hands out; never rows per statement or commit.
        enable_cdc: True uses the best change feed that the source allows, False compares everything in every
            run.
        timeout_minutes: execution timeout of each task, and the deadline of a run.
        lag_seconds: how far a run's upper bound stays behind the source's clock, for transactions still open.
        overlap_minutes: how far a run looks back before its cursor. Below 60 a clock change can lose rows of
            a local-time stamp.
        clock: whether the source's change stamps are the server's local time or UTC.
        clock_offset_minutes: how far the clock that stamps rows is ahead of that clock (negative: behind),
            where another machine's writes the stamps; None where nobody has said so, and then runs compare
            the newest stamps with the server's last writes.
        capture_lag_minutes: how far the capture process of Change Data Capture may be behind the source,
            before a run that reads it fails; an idle one gives a sign of life every five minutes.
        new_columns: what becomes of a column that the source's table gets after the first load: `ignore`
            notes it, `add` also carries it in `extra`.
        reconcile_cron: when both sides are compared in full; None for never on a schedule.
    """

    cron: Cron | None = "0 2 * * *"
    entities: tuple[EntityName, ...] = Field(default_factory=default_entities, min_length=1)
    batch_size: BatchRows = 10_000
    enable_cdc: StrictBool = True
    timeout_minutes: Minutes = 60
    retries: Retries = 3
    retry_delay_seconds: Seconds = 30
    pool: Name | None = None
    lag_seconds: Seconds = 60
    overlap_minutes: OverlapMinutes = 75
    clock: Literal["local", "utc"] = "local"
    clock_offset_minutes: Annotated[StrictInt, Field(ge=-1440, le=1440)] | None = None
    capture_lag_minutes: Minutes = 15
    new_columns: Literal["ignore", "add"] = "ignore"
    reconcile_cron: Cron | None = "30 4 * * 0"

    @field_validator("entities")
    @classmethod
    def _each_once(cls, entities: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in entities if entities.count(name) > 1}):
            raise ValueError(f"named more than once: {', '.join(twice)}")
        return entities


class RealtimeConfig(Section):
    """Whether and when changes are followed as they happen, beside the scheduled runs.

    Attributes:
        enabled: the county has a DAG `pacs_<county>_realtime`, which a change at the source starts.
        poll_seconds: how often the source's position is asked; one small statement.
        linger_seconds: how long the task goes on polling by itself after its last sync.
        hours: a span of the day, in the county's time zone; None for the whole day.
        days: days of the week on which a span begins.
        sweep_minutes: a run begins at the latest after these minutes, for what a poll can't see: a stamp
            below the newest one that was committed late, contents of tables without a change column.
    """

    enabled: StrictBool = False
    poll_seconds: Annotated[StrictInt, Field(ge=1, le=300)] = 5
    linger_seconds: Annotated[StrictInt, Field(ge=0, le=3600)] = 60
    hours: Hours | None = None
    days: Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)] = DAYS
    sweep_minutes: Annotated[StrictInt, Field(ge=5, le=24 * 60)] = 60

    @field_validator("days")
    @classmethod
    def _each_day_once(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(days)) < len(days):
            raise ValueError("a day is named more than once")
        return days


class DeleteGuard(Section):
    """Up to the larger of both limits becomes tombstones without a person; more waits for approval.

    Attributes:
        max_rows: rows of an entity.
        max_percent: percent of the entity's live rows.
        window_days: the limits hold for one run, and for all runs of these days together; 0 for one run only.
    """

    max_rows: Rows = 25
    max_percent: Annotated[float, Field(ge=0, le=100)] = 2.0
    window_days: Annotated[StrictInt, Field(ge=0, le=366)] = 7


Years = Annotated[StrictInt, Field(ge=1, le=100)]


class HistoryConfig(Section):
    """What the tables said before: the change log that as-of reports and rollbacks read.

    Attributes:
        enabled: publish writes the row as it was before each change; off by default.
        keep_years: how long, for every entity that `keep_years_of` does not name; `pacs prune` removes what
            is older.
        keep_years_of: years by entity.
    """

    enabled: StrictBool = False
    keep_years: Years = 7
    keep_years_of: dict[EntityName, Years] = Field(default_factory=dict)

    def years(self, entity: str) -> int:
        """How many years of an entity's changes are kept."""
        return self.keep_years_of.get(entity, self.keep_years)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TableConfig:  # a pydantic dataclass: on a model, the name `schema` is taken
    """What differs from the profile for one entity: `columns` in part, canonical name: source name, or null
    where the county has no such column; `extra` is carried beyond them, in JSON; `promote` names those of
    `extra` that get a column of their own, and its type.
    """

    schema: Name | None = None
    table: Name | None = None
    change_column: Name | None = None
    mode: Literal[
        "auto", "change_tracking", "cdc", "rowversion", "change_log", "last_modified", "compare"
    ] = "auto"
    columns: dict[Name, Name | None] = Field(default_factory=dict)
    extra: dict[ExtraName, Name] = Field(default_factory=dict)
    promote: Annotated[dict[ExtraName, PromotedType], Field(max_length=MOST_PROMOTED)] = Field(
        default_factory=dict
    )
