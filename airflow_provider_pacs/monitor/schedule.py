"""A cron and a moment come in; when data had to be fresh and when the next run is due go out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter


def due_since(cron: str | None, timezone: str, now: datetime, grace: timedelta) -> datetime | None:
    """Give the newest moment whose data must be in the target by now: the last fire that is longer ago than a run may take."""
    if cron is None:
        return None
    moment: datetime = croniter(cron, (now - grace).astimezone(ZoneInfo(timezone))).get_prev(datetime)
    return moment.astimezone(UTC)


def next_fire(cron: str | None, timezone: str, now: datetime) -> datetime | None:
    """Give the next fire."""
    if cron is None:
        return None
    moment: datetime = croniter(cron, now.astimezone(ZoneInfo(timezone))).get_next(datetime)
    return moment.astimezone(UTC)
