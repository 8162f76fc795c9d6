"""One thread per connection for blocking engine calls, which a client's attention can interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CANCEL_AGAIN_SECONDS = 0.1


class CancelledByClientError(Exception):
    """The client sent ATTENTION (or went away) while its request ran."""


class EngineThread:
    """Runs the calls of one connection one after another in its own thread."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._running: asyncio.Future[Any] | None = None
        self._interruption: asyncio.Task[None] | None = None
        self.attention = asyncio.Event()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the thread.

        Raises:
            CancelledByClientError: attention came before or while it ran; its own error is the cause then.
        """
        if self.attention.is_set():
            raise CancelledByClientError
        try:
            result = await self.call_always(function, *args, **kwargs)
        except Exception as problem:
            if self.attention.is_set():
                raise CancelledByClientError from problem
            raise
        if self.attention.is_set():
            raise CancelledByClientError
        return result

    async def call_always(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the thread whether or not there is attention: for what cleans up."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))
        self._running = future
        future.add_done_callback(self._ended)
        # A cancelled task does not stop the thread: the call counts as running until it really ends, so that
        # it can be interrupted.
        return await asyncio.shield(future)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        if self._running is future:
            self._running = None
        if not future.cancelled():
            future.exception()

    def interrupt(self, cancel: Callable[[], None]) -> None:
        """Raise attention and keep cancelling while a call runs: one cancel could come just before the engine
        starts.
        """
        self.attention.set()
        if self._running is not None and self._interruption is None:
            self._interruption = asyncio.get_running_loop().create_task(self._cancel_until_idle(cancel))

    async def _cancel_until_idle(self, cancel: Callable[[], None]) -> None:
        while (running := self._running) is not None:
            await asyncio.get_running_loop().run_in_executor(None, cancel)
            await asyncio.wait({running}, timeout=_CANCEL_AGAIN_SECONDS)

    async def finish(self) -> None:
        """Wait for an interruption under way, so that it can't strike the next request."""
        if interruption := self._interruption:
            self._interruption = None
            await interruption

    async def pause(self, seconds: float) -> None:
        """Sleep.

        Raises:
            CancelledByClientError: attention came.
        """
        try:
            await asyncio.wait_for(self.attention.wait(), seconds)
        except TimeoutError:
            return
        raise CancelledByClientError

    def close(self) -> None:
        """Let the thread end after the call that runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)
