"""A cron and a moment come in; when data had to be fresh and when the next run is due go out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter


def due_since(cron: str | None, timezone: str, now: datetime, grace: timedelta) -> datetime | None:
    """Give the newest moment whose data must be in the target by now: the last fire that is longer ago than a
    run may take.
    """
    return None if cron is None else _fire(cron, timezone, _minute(now - grace) + timedelta(seconds=1), -1)


def next_fire(cron: str | None, timezone: str, now: datetime) -> datetime | None:
    """Give the next fire."""
    return None if cron is None else _fire(cron, timezone, _minute(now), 1)


def _minute(moment: datetime) -> datetime:
    """Crons know no seconds; whole minutes let hundreds of counties with one cron share one answer."""
    return moment.replace(second=0, microsecond=0)


@lru_cache(maxsize=2048)
def _fire(cron: str, timezone: str, moment: datetime, direction: int) -> datetime:
    clock = croniter(cron, moment.astimezone(ZoneInfo(timezone)))
    fire: datetime = clock.get_next(datetime) if direction > 0 else clock.get_prev(datetime)
    return fire.astimezone(UTC)
