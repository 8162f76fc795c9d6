"""The server's clock: local time, UTC and offset. It runs in real time and can be advanced or set."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment of the sandbox's clock: the server's local time, UTC, and the minutes between them."""

    local: datetime
    utc: datetime
    offset_minutes: int


class Clock:
    """The server's clock.

    Args:
        start: local time at the start (naive, in `zone`).
        zone: IANA name of the server's time zone.
    """

    def __init__(self, start: datetime, zone: str = "America/Los_Angeles") -> None:
        self._zone = ZoneInfo(zone)
        self._utc = start.replace(tzinfo=self._zone).astimezone(UTC)
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def instant(self) -> Instant:
        """Now."""
        with self._lock:
            utc = self._utc + timedelta(seconds=time.monotonic() - self._started)
        local = utc.astimezone(self._zone)
        offset = local.utcoffset() or timedelta(0)
        return Instant(
            local.replace(tzinfo=None), utc.replace(tzinfo=None), int(offset.total_seconds() // 60)
        )

    def local(self) -> datetime:
        """Local time now."""
        return self.instant().local

    def set(self, local: datetime, fold: int = 0) -> None:
        """Sets the clock, also backwards, as a server's clock that a time service corrects.

        Args:
            local: local time (naive, in the server's zone).
            fold: 1 means the second pass of the hour that repeats when summer time ends.
        """
        with self._lock:
            self._utc, self._started = (
                local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC),
                time.monotonic(),
            )

    def advance(self, seconds: float) -> None:
        """Moves the clock forward.

        Raises:
            ValueError: for a negative number: whoever wants a clock that steps back says so with `set`.
        """
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._utc += timedelta(seconds=seconds)
