"""Change Tracking at a test's PACS: switched on for generic tables, cleaned up, truncated, restored, and
switched off again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.county import TABLES, County


def place(entity: str) -> str:
    """The entity's table."""
    return f"[dbo].[{TABLES[entity]}]"


def enable(county: County, *entities: str) -> None:
    """What `pacs grants --change-tracking` prints, run by a DBA."""
    county.pacs(
        "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)"
    )
    for entity in entities:
        track(county, entity)


def track(county: County, entity: str) -> None:
    """One more table."""
    county.pacs(f"ALTER TABLE {place(entity)} ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)")


def untrack(county: County, entity: str) -> None:
    """One table less."""
    county.pacs(f"ALTER TABLE {place(entity)} DISABLE CHANGE_TRACKING")


def clean_up(county: County, **later: float) -> None:
    """Time passes, and the server removes what is older than the retention period."""
    county.clock.step(**later)
    county.pacs("EXEC sandbox.change_tracking_cleanup")


def version(county: County) -> int:
    """The database's current version."""
    return int(county.source.query("SELECT CHANGE_TRACKING_CURRENT_VERSION() AS v")[0]["v"])


@contextmanager
def tracked(county: County, entities: Sequence[str] | None = None) -> Iterator[County]:
    """Tracking is on for the county's tables, and off again afterwards: tests share a PACS."""
    enable(county, *(county.config.sync.entities if entities is None else entities))
    try:
        yield county
    finally:
        writer = county.writer()
        for row in county.source.query(
            "SELECT t.name AS name FROM sys.change_tracking_tables AS c JOIN sys.tables AS t ON t.object_id = c.object_id"
        ):
            writer.execute(f"ALTER TABLE [dbo].[{row['name']}] DISABLE CHANGE_TRACKING")
        writer.execute("ALTER DATABASE CURRENT SET CHANGE_TRACKING = OFF")
