"""The state of a database's change tracking."""

from __future__ import annotations

from dataclasses import dataclass, field

UNITS = {"MINUTES": 1, "HOURS": 2, "DAYS": 3}


@dataclass(slots=True)
class Tracking:
    """The change tracking of one database.

    Attributes:
        enabled: CHANGE_TRACKING = ON.
        retention: with `unit`, how long changes are kept.
        columns: object_id of each tracked table to its TRACK_COLUMNS_UPDATED.
        version: the last version that was given out.
        order: the number of the last recorded commit.
        forks: how often the database was restored.
        secondary: a readable secondary, where no change tracking query runs.
    """

    enabled: bool = False
    auto_cleanup: bool = True
    retention: int = 2
    unit: str = "DAYS"
    columns: dict[int, bool] = field(default_factory=dict)
    version: int = 0
    order: int = 0
    forks: int = 0
    secondary: bool = False
