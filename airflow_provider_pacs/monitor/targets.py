"""County configs come in; each distinct target is asked once, side by side, and one that is down costs one
short wait, not one per county.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_pacs.hooks.target import target_params
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.target.postgres.read import OpsReader

T = TypeVar("T")
SIDE_BY_SIDE = 8
REST_SECONDS = 10.0
"""A target that could not be reached is left alone this long; requests in between are told the same."""

_lock = threading.Lock()
_down: dict[str, tuple[float, PacsError]] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one target said: an answer or an error."""

    connection: str
    seconds: float
    error: PacsError | None = None


def ask(connection: str, question: Callable[[OpsReader], T]) -> T | None:
    """Put a question to one target; None where its journal's tables do not exist yet.

    Raises:
        PacsError: it can't be reached, or can't answer in time.
    """
    with _lock:
        until, error = _down.get(connection, (0.0, None))
    if error is not None and time.monotonic() < until:
        raise error
    try:
        with OpsReader(target_params(_stored(connection))) as reader:
            answer = question(reader) if reader.is_ready() else None
    except PacsError as fresh:
        if isinstance(fresh, RetryableError):
            with _lock:
                _down[connection] = (time.monotonic() + REST_SECONDS, fresh)
        raise
    with _lock:
        _down.pop(connection, None)
    return answer


def ask_each(
    configs: Iterable[CountyConfig], question: Callable[[OpsReader, list[str]], T]
) -> dict[str, tuple[Asked, T | None]]:
    """Put a question about its counties (FIPS codes) to each distinct target."""
    wanted: dict[str, list[str]] = {}
    for config in configs:
        wanted.setdefault(config.target.connection, []).append(config.fips)

    def one(connection: str) -> tuple[Asked, T | None]:
        began = time.monotonic()
        try:
            answer = ask(connection, lambda reader: question(reader, wanted[connection]))
        except PacsError as error:
            return Asked(connection, time.monotonic() - began, error), None
        return Asked(connection, time.monotonic() - began), answer

    if not wanted:
        return {}
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(wanted)), thread_name_prefix="pacs-page") as pool:
        return dict(zip(wanted, pool.map(one, wanted), strict=True))


def forget() -> None:
    """Forget which targets were down."""
    with _lock:
        _down.clear()


def _stored(connection: str) -> Connection:
    try:
        return Connection.get_connection_from_secrets(connection)
    except AirflowNotFoundException:
        raise ConfigError(
            f"the connection {connection!r} is not defined in Airflow",
            remedy=f"add a postgres connection {connection!r}",
        ) from None
