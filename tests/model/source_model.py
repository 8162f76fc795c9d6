"""What the county's software did, in plain Python: rows, stamps, and what no change stamp shows.

It knows nothing of the engine. Times are the source's local clock, whole seconds; numbers have a fraction, so
that each has one text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.support.county import key

ENTITIES = ("property", "owner")
BAD = {"property": ("Acreage", -0.5, "F1.5"), "owner": ("OwnershipPercentage", 100.5, "F2.17")}
"""By entity: a column, a value that breaks a rule, and the rule."""
WAITING = "F2.15"
LAG = timedelta(seconds=60)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class SourceRow:
    """One row as it is now.

    Attributes:
        values: by source column.
        stamp: LastModified.
        parent: the property's number; of an owner.
        changed: the number of the mutation that wrote it last.
        unseen: its last change carries a stamp that no window begins before, so only a full read shows it.
    """

    values: Mapping[str, object]
    stamp: datetime
    parent: int | None
    changed: int
    unseen: bool = False


@dataclass
class SourceModel:
    """The county's rows by entity and number.

    Attributes:
        mutations: how many there were.
        reach: by entity, where the cursor of the last published run stands; None before the first.
        overlap: how far a window looks back.
        removed: when a key was deleted last.
        history: all that a key ever said.
    """

    overlap: timedelta
    rows: dict[str, dict[int, SourceRow]] = field(default_factory=lambda: {each: {} for each in ENTITIES})
    mutations: int = 0
    reach: dict[str, datetime | None] = field(default_factory=lambda: dict.fromkeys(ENTITIES))
    removed: dict[tuple[str, int], int] = field(default_factory=dict)
    history: dict[tuple[str, int], list[SourceRow]] = field(default_factory=dict)

    def write(
        self, entity: str, number: int, values: Mapping[str, object], stamp: datetime, parent: int | None
    ) -> None:
        """A row is inserted, or becomes this."""
        self.mutations += 1
        row = SourceRow(
            dict(values), stamp, parent, self.mutations, unseen=self._is_out_of_reach(entity, stamp)
        )
        self.rows[entity][number] = row
        self.history.setdefault((entity, number), []).append(row)

    def remove(self, entity: str, number: int) -> None:
        """A row is gone for good."""
        self.mutations += 1
        del self.rows[entity][number]
        self.removed[entity, number] = self.mutations

    def look_back(self, overlap: timedelta) -> None:
        """The county's file gets another overlap; a shorter one takes rows out of the next window."""
        self.overlap = overlap
        for entity in ENTITIES:
            self._hide(entity, after=0, again=False)

    def published(self, entity: str, planned_at: datetime, read: int, *, complete: bool) -> None:
        """A run that moves the cursor was published: planned then, read after that many mutations."""
        self.reach[entity] = planned_at - LAG
        for number, row in self.rows[entity].items():
            if complete and row.changed <= read:
                self.rows[entity][number] = _seen(row, unseen=False)
        self._hide(entity, after=read, again=True)

    def in_step(self, entity: str, number: int) -> None:
        """The platform shows the row's present image."""
        self.rows[entity][number] = _seen(self.rows[entity][number], unseen=False)

    def _hide(self, entity: str, *, after: int, again: bool) -> None:
        for number, row in self.rows[entity].items():
            if row.changed > after:
                out = self._is_out_of_reach(entity, row.stamp)
                self.rows[entity][number] = _seen(row, unseen=out if again else row.unseen or out)

    def _is_out_of_reach(self, entity: str, stamp: datetime) -> bool:
        reach = self.reach[entity]
        return reach is not None and stamp < reach - self.overlap

    def broken(self, entity: str, row: SourceRow) -> list[str]:
        """Rules that the row breaks by itself."""
        column, value, rule = BAD[entity]
        return [rule] if row.values[column] == value else []


def _seen(row: SourceRow, *, unseen: bool) -> SourceRow:
    return SourceRow(row.values, row.stamp, row.parent, row.changed, unseen)


def image(entity: str, number: int, row: SourceRow, city: str) -> dict[str, Any]:
    """What the platform must hold; `city` is the source column that the county's file maps to it."""
    values = row.values
    if entity == "property":
        return {
            "property_id": key("property", number),
            "parcel_number": values["ParcelNumber"],
            "address": values["Address"],
            "city": values[city],
            "state": values["State"],
            "zip_code": values["ZipCode"],
            "legal_description": values["LegalDescription"],
            "acreage": values["Acreage"],
            "year_built": values["YearBuilt"],
            "last_modified": row.stamp,
            "is_active": values["IsActive"] == 1,
        }
    return {
        "owner_id": key("owner", number),
        "property_id": key("property", row.parent),
        "owner_name": values["OwnerName"],
        "owner_type": values["OwnerType"],
        "ownership_percentage": values["OwnershipPercentage"],
        "last_modified": row.stamp,
    }
