"""What a poll asks: how the entities of a county are read -> one small statement over their positions.

A position is a set of texts that SQL Server makes. It is only ever compared with an earlier one: another
position means that a run that is planned now would read something new. The plan of a poll travels as JSON and
is checked when it comes back: names are quoted, types are those of a change column, and the statement is made
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from airflow_provider_pacs.sync.incremental import strategy_named
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery
from airflow_provider_pacs.sync.incremental.strategy import Clock, PolledTable, ShowsPosition
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import qualified

Position = Mapping[str, str]
"""What is asked, by its label -> the source's text; a NULL is ''."""
SWEEP = "sweep"
"""The label of the interval that begins a run whatever else says."""

_Name = Annotated[str, Field(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class PolledEntity:
    """One entity in a poll.

    Attributes:
        entity: its canonical name.
        strategy: how its changes are read.
        table: the table, or the root table of a joined entity.
        counted: the catalog shows its number of rows, so a hard delete moves the position too.
    """

    entity: _Name
    strategy: _Name
    table: PolledTable
    counted: bool = False


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What a county's poll asks.

    Attributes:
        entities: those whose changes a poll can see.
        left_out: the others, each with the reason in one sentence.
        sweep_minutes: the position moves at the latest after these minutes.
    """

    entities: Annotated[tuple[PolledEntity, ...], Field(max_length=100)]
    left_out: dict[str, str]
    sweep_minutes: Annotated[int, Field(ge=1, le=24 * 60)]


@dataclass(frozen=True, slots=True)
class Followed:
    """What a realtime task keeps for the trigger and for the page.

    Attributes:
        plan: what to poll.
        position: read before the last run that was published; None before the first.
        handled_at: when that run ended.
        changed_at: when a change was seen last.
        lease_until: until then a task follows the county by itself, and no other has to be started.
    """

    plan: PollPlan
    position: dict[str, str] | None = None
    handled_at: datetime | None = None
    changed_at: datetime | None = None
    lease_until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        document: dict[str, Any] = _followed().dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: Any) -> Followed:
        """The record that `as_json` wrote.

        Raises:
            ConfigError: it is none; whoever changed it asked for something else than a poll.
        """
        try:
            followed = _followed().validate_python(document)
            poll_query(followed.plan)
        except (ValidationError, ValueError) as error:
            raise ConfigError(
                f"what is stored of a county's polls can't be used: {type(error).__name__}",
                remedy="the next realtime run stores it again",
            ) from None
        return followed


@dataclass(frozen=True, slots=True)
class Polled:
    """What the trigger keeps for the page.

    Attributes:
        at: when it was written; every minute at the latest.
        state: `live`; `starting` before the first realtime run; `closed` outside business hours; `away` where
            the source can't be asked now, `refused` where somebody must change something first.
        moved_at: when the position was first seen to be another one than the handled one; None where it is
            not.
        message: why it is not live.
    """

    at: datetime
    state: Literal["live", "starting", "closed", "away", "refused"]
    moved_at: datetime | None = None
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        document: dict[str, Any] = _polled().dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: Any) -> Polled | None:
        """The record that `as_json` wrote; None where it is none."""
        try:
            return _polled().validate_python(document)
        except ValidationError:
            return None


@cache
def _followed() -> TypeAdapter[Followed]:
    return TypeAdapter(Followed)


@cache
def _polled() -> TypeAdapter[Polled]:
    return TypeAdapter(Polled)


def polled_table(table: ResolvedTable, clock: Clock, ahead_minutes: int, lag_seconds: int) -> PolledTable:
    """What a poll has to know of a resolved table."""
    return PolledTable(
        table.map.schema,
        table.map.table,
        table.map.change_column,
        table.change_type,
        clock,
        ahead_minutes,
        lag_seconds,
    )


def positions(plan: PollPlan) -> dict[str, str]:
    """Label -> T-SQL expression of type varchar. Equal expressions are asked once, under the first label."""
    expressions: dict[str, str] = {}
    for each in plan.entities:
        strategy: object = strategy_named(each.strategy)
        if not isinstance(strategy, ShowsPosition):
            raise ValueError(f"{each.strategy} shows no position")
        expression = strategy.position(each.table)
        if expression not in expressions.values():
            expressions[f"{each.strategy}:{each.entity}"] = expression
    for each in plan.entities:
        if each.counted:
            name = qualified(each.table.schema, each.table.table).replace("'", "''")
            expressions[f"rows:{each.entity}"] = (
                "(SELECT CONVERT(varchar(20), SUM(p.rows)) FROM sys.partitions AS p "  # noqa: S608
                f"WHERE p.object_id = OBJECT_ID(N'{name}') AND p.index_id < 2)"
            )
    minutes = int(plan.sweep_minutes)
    expressions[SWEEP] = f"CONVERT(varchar(20), DATEDIFF(MINUTE, '20000101', SYSUTCDATETIME()) / {minutes})"
    return expressions


def poll_query(plan: PollPlan) -> ChangeQuery:
    """One row: a column per label of `positions`, in their order."""
    columns = [f"{expression} AS p{n}" for n, expression in enumerate(positions(plan).values())]
    return ChangeQuery(f"SELECT {', '.join(columns)}")


def read_position(plan: PollPlan, row: Sequence[object]) -> dict[str, str]:
    """The answer to `poll_query` as a position."""
    return {
        label: "" if value is None else str(value) for label, value in zip(positions(plan), row, strict=True)
    }


def moved(before: Position | None, now: Position) -> tuple[str, ...]:
    """Labels whose text is another one than before; all where nothing is known."""
    return tuple(label for label, text in now.items() if before is None or before.get(label) != text)
