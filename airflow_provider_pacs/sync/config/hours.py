"""Business hours of a county: a moment -> whether the county is followed now, and when it will be next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As `datetime.weekday` counts them."""
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(([01]\d|2[0-3]):([0-5]\d)|24:00)")


def hours_text(text: str) -> str:
    """Accept `07:00-18:00`, also over midnight (`22:00-05:00`) and to the day's end (`12:00-24:00`).

    Raises:
        ValueError: it is no span of a day.
    """
    match = _SPAN.fullmatch(text)
    if match is None or text[:5] == text[6:]:
        raise ValueError(f"{text[:40]!r} is no span of a day; write 07:00-18:00")
    return text


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """When a county is followed, on the clock of its zone.

    Attributes:
        hours: as `hours_text` accepts it; None for the whole day.
        days: names of `DAYS`; a span over midnight belongs to the day on which it begins.
        timezone: the county's IANA zone.
    """

    hours: str | None
    days: tuple[Day, ...]
    timezone: str

    def seconds_until_open(self, now: datetime) -> float:
        """Seconds until the next span begins; 0 inside a span. `now` has a zone."""
        spans = self._spans(now)
        if any(begin <= now < end for begin, end in spans):
            return 0.0
        return min((begin - now).total_seconds() for begin, _ in spans if begin > now)

    def closes_at(self, now: datetime) -> datetime | None:
        """When the span that holds `now` ends (UTC); None outside a span, and where there is no end."""
        if self.hours is None and len(self.days) == len(DAYS):
            return None
        return max((end for begin, end in self._spans(now) if begin <= now < end), default=None)

    def _spans(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """(begin, end) in UTC of the spans of yesterday and the eight days from today on."""
        zone = ZoneInfo(self.timezone)
        today = now.astimezone(zone).date()
        begin, end = (self.hours or "00:00-24:00").split("-")
        opens, closes = _time(begin), _time(end)
        spans = []
        for day in (today + timedelta(days=n) for n in range(-1, 9)):
            if DAYS[day.weekday()] in self.days:
                last = day if end != "24:00" and closes > opens else day + timedelta(days=1)
                spans.append((_moment(day, opens, zone), _moment(last, closes, zone)))
        return spans


def _time(text: str) -> time:
    return time(0, 0) if text == "24:00" else time(int(text[:2]), int(text[3:]))


def _moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)
