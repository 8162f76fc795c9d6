"""A county that is followed -> an event of its asset `pacs://<county>/changes` when its source has moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_pacs.sync.config.hours import BusinessHours
from airflow_provider_pacs.triggers.state import AssetWatchState, TargetWatchState, WatchState
from airflow_provider_pacs.triggers.watch import ChangeWatch, Source

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig


class PacsChangeTrigger(BaseEventTrigger):
    """Poll one county: one small statement, on one connection, on the triggerer's event loop.

    An event says that the source moved and never what changed. Arguments are all that decides about a poll;
    connections are looked up when they are needed.

    Args:
        county: the county's slug.
        fips: its FIPS code.
        source_connection: id of the connection of its PACS.
        target_connection: id of the target's connection; asked only before Airflow 3.3.
        target_tls: the county's `target.tls`.
        poll_seconds: seconds between two polls.
        hours: a span of the day, e.g. `07:00-18:00`; None for the whole day.
        days: days of the week on which a span begins.
        timezone: the county's IANA zone.
    """

    def __init__(
        self,
        *,
        county: str,
        fips: str,
        source_connection: str,
        target_connection: str,
        target_tls: str,
        poll_seconds: int,
        hours: str | None,
        days: Sequence[str],
        timezone: str,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.county, self.fips = county, fips
        self.source_connection = source_connection
        self.target_connection, self.target_tls = target_connection, target_tls
        self.poll_seconds, self.hours, self.days, self.timezone = poll_seconds, hours, list(days), timezone
        self._changes: ChangeWatch | None = None

    @classmethod
    def of(cls, config: CountyConfig) -> PacsChangeTrigger:
        """The trigger of a county."""
        return cls(
            county=config.county,
            fips=config.fips,
            source_connection=config.source.connection,
            target_connection=config.target.connection,
            target_tls=config.target.tls,
            poll_seconds=config.realtime.poll_seconds,
            hours=config.realtime.hours,
            days=config.realtime.days,
            timezone=config.timezone,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("county", "fips", "source_connection", "target_connection", "target_tls", "poll_seconds")
        arguments = {name: getattr(self, name) for name in (*names, "hours", "days", "timezone")}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self._changes = ChangeWatch(
            self.county,
            self._open_source,
            self._state(),
            BusinessHours(self.hours, tuple(self.days), self.timezone),  # type: ignore[arg-type]
            self.poll_seconds,
        )
        try:
            async for report in self._changes.reports():
                yield TriggerEvent(report)  # type: ignore[no-untyped-call]
        finally:
            await self._changes.close()

    async def cleanup(self) -> None:
        if self._changes is not None:
            await self._changes.close()

    def _state(self) -> WatchState:
        store = getattr(self, "asset_state_store", None)  # Airflow 3.3 puts it here
        if store is not None:
            return AssetWatchState(store)
        return TargetWatchState(self.target_connection, self.target_tls, self.county, self.fips)

    async def _open_source(self) -> Source:
        from airflow_provider_pacs.hooks.pacs import PacsHook

        hook = PacsHook(
            pacs_conn_id=self.source_connection, county=self.county, application_name="pacs-changes"
        )
        return await hook.get_async_reader()
