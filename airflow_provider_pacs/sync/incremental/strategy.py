"""What an incremental strategy is: one way to find the rows of a table that changed since a cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Late, Window
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What decides, beside the table, whether a strategy can be trusted at this source.

    Attributes:
        writable: False on a readable secondary, which does not know the primary's open writers.
        lacks: strategy name -> why this server can't serve it, as tried; empty where nothing is missing.
    """

    writable: bool = True
    lacks: tuple[tuple[str, str], ...] = ()

    def lack(self, strategy: str) -> str | None:
        """Why the server can't serve a strategy; None where it can."""
        return dict(self.lacks).get(strategy)


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a strategy fits a table, and why: `table` has its change column in place, None where it does
    not fit.
    """

    table: ResolvedTable | None
    reason: str


@dataclass(frozen=True, slots=True)
class BoundsRequest:
    """What the bounds of the next read are made from. Texts are SQL Server's own.

    Attributes:
        change_type: declared type of the change column, e.g. `datetime`.
        now: the source's clock, on the clock that stamps rows.
        cursor: the stored cursor, or None before the first load.
        oldest: begin of the oldest open writer; None where nobody writes or it is unknown.
        lag_seconds: seconds that the upper bound stays behind the clock.
        overlap_minutes: minutes read again before the cursor.
        offset_minutes: how far `now` is ahead of UTC; only a datetimeoffset column needs to know.
    """

    change_type: str
    now: str
    cursor: str | None
    oldest: str | None
    lag_seconds: int
    overlap_minutes: int
    offset_minutes: int = 0


class IncrementalStrategy(Protocol):
    """One strategy, one file, one line in `STRATEGIES`. An implementation need not inherit from this.

    Attributes:
        name: what runs record and pages show, and what a county's file may pin.
        shows_deletes: a row that is gone at the source shows in `select`; else the run counts and compares
            keys.
    """

    @property
    def name(self) -> str: ...

    @property
    def shows_deletes(self) -> bool: ...

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """Whether the table can be read this way here."""

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """One row: `lo` and `hi` of the next read, and `behind`, 1 where the source is behind the cursor."""

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of one window, plus those that no window would ever reach."""

    def late(self, table: ResolvedTable) -> Late:
        """How rows newer than an upper bound are recognised: they are the next run's business."""
