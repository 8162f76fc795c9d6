"""Runs a server in a background thread, or in the foreground until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import TracebackType

from airflow_provider_pacs.sandbox.model import Engine
from airflow_provider_pacs.sandbox.wire.certificates import Certificate
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan
from airflow_provider_pacs.sandbox.wire.server import Server

_START_SECONDS = 10


class SandboxServer:
    """A server with its event loop in a background thread: `with SandboxServer(engine) as server:
    server.port`.

    Attributes:
        port: where it listens, known once it is entered.
        faults: its fault plan; rules may be added while it runs.
    """

    def __init__(
        self,
        engine: Engine,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Certificate | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.faults = faults or FaultPlan()
        self._engine = engine
        self._certificate = certificate
        self._thread = threading.Thread(target=self._run, name="pacs-sandbox", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._problem: BaseException | None = None

    def __enter__(self) -> SandboxServer:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"the sandbox did not start within {_START_SECONDS} s")
        if self._problem:
            raise self._problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:
            if self._started.is_set():
                raise
            self._problem = problem
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = Server(self._engine, self._certificate, self.faults)
        self.port = await server.start(self.host, self.port)
        self._started.set()
        await self._stop.wait()
        await server.stop()


def serve(
    engine: Engine,
    host: str = "127.0.0.1",
    port: int = 1433,
    certificate: Certificate | None = None,
    faults: FaultPlan | None = None,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the port once clients can connect."""
    asyncio.run(_serve(Server(engine, certificate, faults), host, port, on_ready))


async def _serve(server: Server, host: str, port: int, on_ready: Callable[[int], None] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bound = await server.start(host, port)
    if on_ready:
        on_ready(bound)
    await stop.wait()
    await server.stop()
