"""The state of a database's change tracking."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

FIRST_INTERNAL = 2_100_000_000
"""Internal tables have numbers above this one."""
UNITS = {"MINUTES": 1, "HOURS": 2, "DAYS": 3}


@dataclass(slots=True)
class Capture:
    """One capture instance of Change Data Capture.

    Attributes:
        columns: the captured columns, in order.
        start: the number of the commit after which it captures.
        change_table: the object_id of its change table.
    """

    name: str
    source: int
    columns: tuple[str, ...]
    role: str | None
    net_changes: bool
    start: int
    change_table: int = 0


@dataclass(slots=True)
class Tracking:
    """The change tracking and the change data capture of one database.

    Attributes:
        enabled: CHANGE_TRACKING = ON.
        retention: with `unit`, how long changes are kept.
        columns: object_id of each tracked table to its TRACK_COLUMNS_UPDATED.
        inner: object_id of each tracked table to that of the internal table with its changes.
        enabled_times: how often tracking was switched on for a table.
        version: the last version that was given out.
        order: the number of the last recorded commit.
        forks: how often the database was restored.
        secondary: a readable secondary, where no change tracking query runs.
        journaled: object_id of each table whose changes an application's own triggers journal.
        captures: capture instances by lower-case name.
        captured: the number of the last commit that the capture process has read.
        running: the capture job runs.
        lag: how many seconds the capture process is behind.
        alive: when (UTC) the commit of its last entry was, or it showed without one that it is alive.
        kept_minutes: what the cleanup job keeps: three days, unless sp_cdc_change_job says otherwise.
        error: what the capture process fails with since when; it captures nothing meanwhile.
    """

    enabled: bool = False
    auto_cleanup: bool = True
    retention: int = 2
    unit: str = "DAYS"
    columns: dict[int, bool] = field(default_factory=dict)
    inner: dict[int, int] = field(default_factory=dict)
    enabled_times: int = 0
    version: int = 0
    order: int = 0
    forks: int = 0
    secondary: bool = False
    journaled: set[int] = field(default_factory=set)
    captures: dict[str, Capture] = field(default_factory=dict)
    captured: int = 0
    running: bool = True
    lag: float = 0.0
    alive: datetime | None = None
    kept_minutes: int = 4320
    error: tuple[datetime, int, str] | None = None

    def track(self, object_id: int, columns: bool) -> None:
        """A table's changes are tracked from now on, in a new internal table."""
        self.columns[object_id] = columns
        self.enabled_times += 1
        self.inner[object_id] = FIRST_INTERNAL + self.enabled_times

    def untrack(self, object_id: int) -> None:
        """A table's changes are tracked no longer."""
        self.columns.pop(object_id, None)
        self.inner.pop(object_id, None)

    def captures_of(self, object_id: int) -> list[Capture]:
        """The capture instances of a table."""
        return [capture for capture in self.captures.values() if capture.source == object_id]

    def forget(self, object_id: int) -> None:
        """A table is gone."""
        self.untrack(object_id)
        for capture in self.captures_of(object_id):
            del self.captures[capture.name.lower()]

    def records(self, object_id: int) -> bool:
        """Whether a table's changes are recorded."""
        return object_id in self.columns or object_id in self.journaled or bool(self.captures_of(object_id))
