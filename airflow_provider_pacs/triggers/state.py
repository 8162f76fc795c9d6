"""Where the position of a followed county is kept: in Airflow's asset state store, and before Airflow 3.3 in
schema `pacs_ops` of the target.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_pacs.sync.target.port import RealtimeKey

try:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors
except ImportError:  # before Airflow 3.3
    AssetStateStoreAccessors = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from airflow_provider_pacs.sync.steps import FollowedState
    from airflow_provider_pacs.sync.target.port import Target

HAS_ASSET_STATE = AssetStateStoreAccessors is not None
FOLLOWED: RealtimeKey = "followed"
POLLED: RealtimeKey = "polled"


class WatchState(Protocol):
    """What the trigger reads and writes, awaited."""

    async def read(self, key: RealtimeKey) -> dict[str, Any] | None: ...

    async def write(self, key: RealtimeKey, document: dict[str, Any]) -> None: ...


class AssetWatchState:
    """In the state of the asset that the trigger watches."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def read(self, key: RealtimeKey) -> dict[str, Any] | None:
        document = await self._store.aget(key)
        return document if isinstance(document, dict) else None

    async def write(self, key: RealtimeKey, document: dict[str, Any]) -> None:
        await self._store.aset(key, document)


class TargetWatchState:
    """In the target, through a short connection in a thread: it is asked about once a minute.

    Args:
        connection: id of the target's connection.
        tls: the county's `target.tls`.
        county: its slug.
        fips: its FIPS code.
    """

    def __init__(self, connection: str, tls: str, county: str, fips: str) -> None:
        self._place, self._fips = (connection, tls, county), fips

    async def read(self, key: RealtimeKey) -> dict[str, Any] | None:
        return await asyncio.to_thread(self._read, key)

    async def write(self, key: RealtimeKey, document: dict[str, Any]) -> None:
        await asyncio.to_thread(self._write, key, document)

    def _read(self, key: RealtimeKey) -> dict[str, Any] | None:
        from airflow_provider_pacs.hooks.target import open_target

        with open_target(*self._place) as target:
            return target.realtime.read(self._fips, key)

    def _write(self, key: RealtimeKey, document: dict[str, Any]) -> None:
        from airflow_provider_pacs.hooks.target import open_target

        with open_target(*self._place) as target:
            target.realtime.write(self._fips, key, document)


class AssetFollowed:
    """A task's view of the asset's state."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self) -> dict[str, Any] | None:
        document = self._store.get(FOLLOWED)
        return document if isinstance(document, dict) else None

    def write(self, document: dict[str, Any]) -> None:
        self._store.set(FOLLOWED, document)


class TargetFollowed:
    """A task's view of the target's table."""

    def __init__(self, target: Target, fips: str) -> None:
        self._target, self._fips = target, fips

    def read(self) -> dict[str, Any] | None:
        return self._target.realtime.read(self._fips, FOLLOWED)

    def write(self, document: dict[str, Any]) -> None:
        self._target.realtime.write(self._fips, FOLLOWED, document)


def followed_of_task(context: Context, asset: Asset, target: Target, fips: str) -> FollowedState:
    """Where a realtime task keeps what the trigger reads."""
    if HAS_ASSET_STATE:
        return AssetFollowed(context["asset_state_store"][asset])
    return TargetFollowed(target, fips)
