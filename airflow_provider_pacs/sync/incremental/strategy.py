"""What an incremental strategy is: one way to find the rows of a table that changed since a cursor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Late, Window
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.features import TableFeed

Clock = Literal["local", "utc"]
"""Which of the server's clocks stamps rows."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What decides, beside the table, whether a strategy can be trusted at this source.

    Attributes:
        writable: False on a readable secondary, which does not know the primary's open writers.
        lacks: strategy name -> why this server can't serve it, as tried; empty where nothing is missing.
        feeds: what the tables offer to the strategies that read a feed; a table that is not in it offers
            nothing.
    """

    writable: bool = True
    lacks: tuple[tuple[str, str], ...] = ()
    feeds: tuple[TableFeed, ...] = ()

    def lack(self, strategy: str) -> str | None:
        """Why the server can't serve a strategy; None where it can."""
        return dict(self.lacks).get(strategy)

    def feed(self, strategy: str, schema: str, table: str) -> TableFeed | None:
        """What a table offers to a strategy; None where nobody tried."""
        place = (strategy, schema.lower(), table.lower())
        return next(
            (
                feed
                for feed in self.feeds
                if (feed.strategy, feed.schema.lower(), feed.table.lower()) == place
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a strategy fits a table, and why: `table` has its change column in place, None where it does
    not fit; `remedy` is what would make it fit.
    """

    table: ResolvedTable | None
    reason: str
    remedy: str = ""


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
        table: the table, for a strategy whose bounds depend on it.
        upper: the upper bound that the run has by this strategy already: a strategy that counts the versions
            of a database gives all entities the same one. None for the first entity.
        lost: the feed is another one than the cursor's: the next cursor may have to remember when that was
            seen.
    """

    change_type: str
    now: str
    cursor: str | None
    oldest: str | None
    lag_seconds: int
    overlap_minutes: int
    offset_minutes: int = 0
    table: ResolvedTable | None = None
    upper: str | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class PolledTable:
    """What a poll has to know of a table.

    Attributes:
        schema: its schema.
        table: its name.
        column: its change column; None where the strategy has none.
        change_type: the column's declared type.
        clock: which of the server's clocks stamps rows.
        ahead_minutes: how far the stamping clock is ahead of it.
        lag_seconds: seconds that a run's upper bound stays behind the clock.
    """

    schema: str
    table: str
    column: str | None = None
    change_type: str | None = None
    clock: Clock = "local"
    ahead_minutes: int = 0
    lag_seconds: int = 0


@runtime_checkable
class ShowsPosition(Protocol):
    """What a strategy offers beside `IncrementalStrategy` where a cheap poll can tell that rows changed."""

    def position(self, table: PolledTable) -> str:
        """A T-SQL expression without parameters, of type varchar: its value is another one as soon as a run
        that is planned now would read something new. It is compared with an earlier value, never ordered.

        Equal expressions of several tables are asked once.
        """


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
        """One row: `lo` and `hi` of the next read, `behind`, 1 where the source is behind the cursor, and
        what else `full_because` looks at.

        A strategy that reads a feed also gives `feed`: which feed it is, as text. It is stored with the
        cursor, and under another one the cursor means nothing. It is asked again after the read, with the
        bounds of the read as `cursor` and `upper`.
        """

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """Why every row must be compared, by the row of `bounds`; None where the window shows all changes."""

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of one window, plus those that no window would ever reach."""

    def late(self, table: ResolvedTable) -> Late:
        """How rows newer than an upper bound are recognised: they are the next run's business."""


@runtime_checkable
class DeleteFeed(IncrementalStrategy, Protocol):
    """What a strategy with `shows_deletes` offers beside `select`.

    `select` gives the rows that are there, `gone` the keys of those that are not. Where the database allows
    it, both run at SNAPSHOT isolation.
    """

    def gone(self, table: ResolvedTable, window: Window) -> ChangeQuery | None:
        """One column `k`: keys (text) that changed in the window and have no row. Each is looked up once more
        before it counts as gone. None for a joined entity, which has root keys.
        """


@runtime_checkable
class RootKeyFeed(IncrementalStrategy, Protocol):
    """What a strategy for joined entities offers beside `select`."""

    def root_keys(self, table: ResolvedTable, window: Window) -> ChangeQuery | None:
        """One column `root_key` (text): the root keys whose rows `select` gives, also those without a row;
        None for a single table.
        """


@runtime_checkable
class LaggingFeed(IncrementalStrategy, Protocol):
    """What a strategy offers beside `select` whose feed shows a change some time after its commit."""

    def caught_up(self, moment: str) -> ChangeQuery:
        """One row: `caught_up`, 1 where the feed shows all that was committed before a moment (text) of the
        source's local clock.
        """


@runtime_checkable
class AuthoredFeed(IncrementalStrategy, Protocol):
    """What a strategy offers beside `select` whose feed knows who made a change."""

    def authors(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """A row per author of the window's changes, for the audit: accounts and machines, never values."""


def lost_because(strategy: IncrementalStrategy, bounds: Mapping[str, Any], feed: str | None) -> str | None:
    """Why a window does not show all changes; None where it does.

    Args:
        strategy: the strategy whose window it is.
        bounds: the row of its bounds, asked with the window's lower bound as cursor.
        feed: the feed that the lower bound belongs to.
    """
    if (why := strategy.full_because(bounds)) is not None:
        return why
    if feed != bounds.get("feed"):
        return (
            "the table was made again, or its tracking was switched off and on, since the cursor was stored"
        )
    return None
