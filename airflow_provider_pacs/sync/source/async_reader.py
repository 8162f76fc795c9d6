"""Small questions to SQL Server without a thread per county: an address -> rows, awaited.

SQLAlchemy's async engine over aioodbc: pyodbc's calls run in a few threads that all readers of the process
share, and each call has a time limit of its own. Whether a server can be reached at all is found out on the
event loop, before a thread is taken.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import pyodbc

from airflow_provider_pacs.sync.source.drivers import with_allowed_driver
from airflow_provider_pacs.sync.source.errors import classify
from airflow_provider_pacs.sync.source.reach import LONGEST_SECONDS, unknown_host, unreachable
from airflow_provider_pacs.sync.source.session import prepare

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from airflow_provider_pacs.sync.source.address import SourceAddress

THREADS, LOGINS = 16, 8
"""Calls of the driver at one time, whatever the number of counties, and how many of them may be logins: a
server that is slow to let us in keeps no other county from being polled.
"""
ANSWER_SECONDS = 15
"""How long the server may take to answer; a poll that takes longer is none."""
pyodbc.pooling = False  # a pooled connection keeps the session settings of whoever had it before


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="pacs-poll")


_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _logins() -> asyncio.Semaphore:
    """The turn to log in, on this event loop."""
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(LOGINS))


class AsyncReader:
    """One connection to one county's PACS, opened when it is first needed.

    Args:
        address: where, and how to log in.
    """

    def __init__(self, address: SourceAddress) -> None:
        self._address = address
        self._engine: AsyncEngine | None = None
        self._call: asyncio.Task[tuple[Any, ...]] | None = None

    async def row(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...]:
        """The first row of a statement.

        Raises:
            PacsError: as `source/errors.py` maps the driver's error. The connection is dropped, and the next
                question opens another one.
        """
        # Whoever is cancelled while the driver works must not close the connection under its thread.
        self._call = asyncio.create_task(self._row(sql, params))
        return await asyncio.shield(self._call)

    async def _row(self, sql: str, params: Sequence[object]) -> tuple[Any, ...]:
        from sqlalchemy.exc import DBAPIError

        try:
            if self._engine is None:
                async with _logins():
                    await reach(self._address)
                    self._engine = self._make_engine()
                    return await self._ask(self._engine, sql, params)
            return await self._ask(self._engine, sql, params)
        except DBAPIError as error:
            await self._dispose()
            cause = error.orig or error
            raise classify(cause, where=self._address.text, driver=self._address.odbc_driver) from cause
        except pyodbc.Error as error:
            await self._dispose()
            raise classify(error, where=self._address.text, driver=self._address.odbc_driver) from error

    @staticmethod
    async def _ask(engine: AsyncEngine, sql: str, params: Sequence[object]) -> tuple[Any, ...]:
        async with engine.connect() as connection:
            answer = await connection.exec_driver_sql(sql, tuple(params))
            return tuple(answer.one())

    def _make_engine(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        address = with_allowed_driver(self._address)
        return create_async_engine(
            address.sqlalchemy_url("aioodbc"),
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=0,
            pool_reset_on_return=None,
            connect_args={
                "autocommit": True,
                "timeout": address.login_timeout,
                "executor": _threads(),
                "after_created": lambda raw: self._prepare(address, raw),
            },
        )

    async def _prepare(self, address: SourceAddress, raw: pyodbc.Connection) -> None:
        """Time limit and session settings of a fresh connection, in the thread that opened it."""

        def make_ready() -> None:
            raw.timeout = min(address.query_timeout or ANSWER_SECONDS, ANSWER_SECONDS)
            prepare(address, raw.execute)

        await asyncio.get_running_loop().run_in_executor(_threads(), make_ready)

    async def close(self) -> None:
        """Close the connection, once a call under way is through; again is allowed."""
        call, self._call = self._call, None
        if call is not None:
            await asyncio.wait([call])
            if not call.cancelled():
                call.exception()  # it was raised in `row`, or nobody waits for it any more
        await self._dispose()

    async def _dispose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def reach(address: SourceAddress) -> None:
    """Open and close a TCP connection, before the driver does; as `reach.reach`, on the event loop.

    Raises:
        UnknownHostError: DNS knows no such name.
        UnreachableError: DNS did not answer, the port is closed, or nothing answers there.
    """
    if "\\" in address.host and address.port is None:
        return  # SQL Server Browser names the port, over UDP
    host, port = address.host.split("\\")[0], address.port or 1433
    seconds = min(float(address.login_timeout or LONGEST_SECONDS), LONGEST_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except socket.gaierror as error:
        raise unknown_host(address, host, error) from None
    except TimeoutError:
        raise unreachable(address, port, seconds, [OSError(errno.ETIMEDOUT, "")]) from None
    except OSError as error:
        raise unreachable(address, port, seconds, [error]) from None
    writer.close()
