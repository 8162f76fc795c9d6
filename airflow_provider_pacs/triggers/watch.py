"""A county's source, asked again and again -> when a realtime task has to start. No Airflow in here.

Whether a change is handled is the task's word: it keeps the position that it had read before a run, once the
run is published. So this side may forget everything: an event that is lost, a triggerer that is killed and a
task that fails all leave the old position, and the county is reported again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from airflow_provider_pacs.sync.config.hours import BusinessHours
from airflow_provider_pacs.sync.polling import (
    Followed,
    Polled,
    moved,
    poll_query,
    read_position,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign
from airflow_provider_pacs.triggers.state import FOLLOWED, POLLED, WatchState

log = logging.getLogger(__name__)

NOTE_SECONDS = 60.0
"""How often it is noted that all is well, and how often the task's word is read without a cause."""
REPORT_SECONDS, LONGEST_REPORT_SECONDS = 60.0, 600.0
"""When a county that nobody has begun to follow is reported again; each time twice as late."""
LONGEST_AWAY_SECONDS = 60.0
REFUSED_SECONDS, LONGEST_REFUSED_SECONDS = 60.0, 900.0
"""A login that is refused is not tried every few seconds: the server would lock it."""
_State = Literal["live", "starting", "closed", "away", "refused"]


class Source(Protocol):
    """What is asked."""

    async def row(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...]: ...

    async def close(self) -> None: ...


class ChangeWatch:
    """One county's polls.

    Args:
        county: its slug.
        open_source: gives an open source; called again after an error, so that a changed connection counts.
        state: what the task and this side keep.
        hours: when the county is followed.
        poll_seconds: seconds between two polls.
        now: our clock, UTC; for tests.
        sleep: waits; for tests.
        uniform: draws between two bounds; for tests.
    """

    def __init__(
        self,
        county: str,
        open_source: Callable[[], Awaitable[Source]],
        state: WatchState,
        hours: BusinessHours,
        poll_seconds: float,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.county, self.hours, self.poll_seconds = county, hours, poll_seconds
        self._open_source, self._state = open_source, state
        self._now, self._sleep, self._uniform = now, sleep, uniform
        self._source: Source | None = None
        self._followed: Followed | None = None
        self._read_at: datetime | None = None
        self._noted: Polled | None = None
        self._moved_at: datetime | None = None
        self._report_at: datetime | None = None
        self._reports = self._failures = 0

    async def reports(self) -> AsyncIterator[dict[str, Any]]:
        """Yield `county`, `moved` (labels of what moved) and `seen_at` whenever a task has to start; for
        ever. Errors of the source are noted and waited out, each time a little longer.
        """
        await self._sleep(self._uniform(0.0, self.poll_seconds))  # not all counties in the same moment
        while True:
            if (closed := self.hours.seconds_until_open(self._now())) > 0:
                await self._rest(closed)
                continue
            try:
                report = await self._look()
            except PacsError as error:
                await self._wait_out(error)
                continue
            except Exception as error:
                # A trigger that ends is not started again, so nothing may end it but Airflow.
                log.error("%s: the poll failed: %s", self.county, describe_foreign(error))
                await self._wait_out(ConfigError(f"the poll failed: {describe_foreign(error)}"))
                continue
            self._failures = 0
            if report is not None:
                yield report
            await self._sleep(self.poll_seconds * self._uniform(0.9, 1.1))

    async def close(self) -> None:
        """Close the source."""
        source, self._source = self._source, None
        if source is None:
            return
        try:
            await source.close()
        except Exception as error:
            log.error("%s: the connection can't be closed: %s", self.county, describe_foreign(error))

    async def _look(self) -> dict[str, Any] | None:
        """One poll; a report where a task has to start."""
        await self._read(older_than=NOTE_SECONDS)
        if self._is_leased():
            await self._read(older_than=self.poll_seconds)
        if self._is_leased():  # the task polls
            await self._note("live")
            return None
        labels = await self._moved()
        if labels:
            await self._read(older_than=0.0)  # perhaps it is handled already
            labels = () if self._is_leased() else await self._moved()
        if not labels:
            self._moved_at = self._report_at = None
            self._reports = 0
            await self._note("live")
            return None
        return await self._report(labels)

    async def _moved(self) -> tuple[str, ...]:
        """What moved since the position that is handled; where nobody has followed the county yet, that."""
        if self._followed is None:
            await self._ask("SELECT 1 AS p0")  # a source that is away needs no task
            return ("first",)
        plan = self._followed.plan
        query = poll_query(plan)
        return moved(self._followed.position, read_position(plan, await self._ask(query.sql)))

    async def _ask(self, sql: str) -> tuple[Any, ...]:
        if self._source is None:
            self._source = await self._open_source()
        return await self._source.row(sql)

    async def _report(self, labels: tuple[str, ...]) -> dict[str, Any] | None:
        now = self._now()
        self._moved_at = self._moved_at or now
        await self._note("live" if self._followed is not None else "starting")
        if self._report_at is not None and now < self._report_at:
            return None
        wait = min(LONGEST_REPORT_SECONDS, REPORT_SECONDS * 2.0**self._reports)
        self._report_at = now + timedelta(seconds=wait * self._uniform(0.8, 1.2))
        self._reports += 1
        return {"county": self.county, "moved": list(labels), "seen_at": now.isoformat()}

    def _is_leased(self) -> bool:
        """Whether a task follows the county by itself this moment."""
        lease = self._followed.lease_until if self._followed is not None else None
        return lease is not None and self._now() < lease

    async def _read(self, older_than: float) -> None:
        """Read the task's word, where what is known of it is older than these seconds."""
        now = self._now()
        if self._read_at is not None and now - self._read_at < timedelta(seconds=older_than):
            return
        document = await self._state.read(FOLLOWED)
        self._followed, self._read_at = None, now
        if document is not None:
            try:
                self._followed = Followed.from_json(document)
            except ConfigError as error:  # by another version of this package: a task writes it again
                log.warning("%s: %s", self.county, error.message)

    async def _note(self, state: _State, message: str = "") -> None:
        """Keep for the page how it goes: when that changes, and once a minute."""
        now, last = self._now(), self._noted
        note = Polled(now, state, self._moved_at, message)
        if (
            last is not None
            and (last.state, last.moved_at, last.message) == (note.state, note.moved_at, note.message)
            and now - last.at < timedelta(seconds=NOTE_SECONDS)
        ):
            return
        await self._state.write(POLLED, note.as_json())
        self._noted = note

    async def _note_if_possible(self, state: _State, message: str = "") -> None:
        """`_note`, where the store itself may be what fails: the next poll says so again."""
        try:
            await self._note(state, message)
        except Exception as error:
            log.error("%s: it can't be noted that it is %s: %s", self.county, state, describe_foreign(error))

    async def _rest(self, seconds: float) -> None:
        """Outside business hours: no connection is held."""
        await self.close()
        await self._note_if_possible("closed")
        await self._sleep(min(seconds, NOTE_SECONDS))

    async def _wait_out(self, error: PacsError) -> None:
        self._failures += 1
        away = isinstance(error, RetryableError)
        if self._failures == 1 or not away:
            log.warning("%s: %s", self.county, error)
        await self.close()
        await self._note_if_possible("away" if away else "refused", error.message)
        await self._sleep(self.delay(self._failures, away=away))

    def delay(self, failures: int, *, away: bool) -> float:
        """Seconds until the source is asked again after so many failures in a row, drawn at random: a
        hundred counties behind one line come back one after the other.
        """
        if away:
            ceiling = min(LONGEST_AWAY_SECONDS, 2.0 ** min(failures, 10))
            return self._uniform(ceiling / 2, ceiling)
        ceiling = min(LONGEST_REFUSED_SECONDS, REFUSED_SECONDS * 2.0 ** min(failures - 1, 10))
        return self._uniform(ceiling / 2, ceiling)
