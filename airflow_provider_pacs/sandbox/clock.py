"""Real seconds in; the sandbox's own local time, UTC and offset out. It starts where it is told, runs in real time and can be advanced."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_provider_pacs.sandbox.environment import Instant


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
        return Instant(local.replace(tzinfo=None), utc.replace(tzinfo=None), int(offset.total_seconds() // 60))

    def local(self) -> datetime:
        """Local time now."""
        return self.instant().local

    def advance(self, seconds: float) -> None:
        """Moves the clock forward.

        Raises:
            ValueError: for a negative number, since a server's clock must not run backwards under its clients.
        """
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._utc += timedelta(seconds=seconds)
