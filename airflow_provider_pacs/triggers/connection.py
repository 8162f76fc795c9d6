"""A county's connection -> an event when its PACS answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_pacs.sync.runtime.errors import PacsError, RetryableError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.async_reader import AsyncReader


class PacsConnectionTrigger(BaseTrigger):
    """Ask for one row until there is one, on the triggerer's event loop.

    Its event has `status`: `success`, or `failed` with `code` and `message` where trying again can't help.

    Args:
        county: the county's slug.
        source_connection: id of the connection of its PACS.
        poll_seconds: seconds between two attempts.
    """

    def __init__(self, *, county: str, source_connection: str, poll_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.county, self.source_connection, self.poll_seconds = county, source_connection, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("county", "source_connection", "poll_seconds")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            try:
                reader = await self._open()
                async with reader:
                    await reader.row("SELECT 1 AS one")
            except RetryableError as error:
                self.log.info("%s: %s", self.county, error.message)
            except PacsError as error:
                yield TriggerEvent({"status": "failed", "code": error.code, "message": str(error)})  # type: ignore[no-untyped-call]
                return
            else:
                yield TriggerEvent({"status": "success"})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_seconds)

    async def _open(self) -> AsyncReader:
        from airflow_provider_pacs.hooks.pacs import PacsHook

        hook = PacsHook(pacs_conn_id=self.source_connection, county=self.county)
        return await hook.get_async_reader()
