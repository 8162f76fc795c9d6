"""A driver's blocking call comes in, its result goes out, and the caller can be interrupted meanwhile.

A signal handler of Python runs only between byte codes of the main thread, so a task that waits inside a
driver hears SIGTERM when the driver returns, which for a blocked statement may be never. Calls therefore run
on a thread of their own; it is a daemon, so a process that ends does not wait for it, and the connection that
breaks then ends the statement at the server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from airflow_provider_pacs.sync.runtime.errors import RetryableError

T = TypeVar("T")
_LOOK = 0.2
"""Seconds between two looks at whether the thread was stopped; a result is taken at once."""


class DriverThread:
    """Runs calls one after the other on one thread, because a connection must not be used by two at a
    time.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[
            tuple[Callable[[], Any], SimpleQueue[tuple[Any, BaseException | None]]] | None
        ] = SimpleQueue()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def call(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns, and raises what it raises.

        Raises:
            RetryableError: the thread was stopped before or while the call ran.
        """
        if self.stopped:
            raise RetryableError("The read was cancelled.", remedy="Start it again with a fresh reader.")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pacs-source", daemon=True)
            self._thread.start()
        reply: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._calls.put((work, reply))
        while True:
            try:
                result, error = reply.get(timeout=_LOOK)
            except Empty:
                if self.stopped:
                    raise RetryableError(
                        "The read was cancelled.", remedy="Start it again with a fresh reader."
                    ) from None
                continue
            if error is not None:
                try:
                    raise error
                finally:
                    # its traceback holds this frame: what failed, a connection maybe, would stay open until
                    # somebody collects garbage
                    del error
            return result  # type: ignore[no-any-return]  # the reply to our own `work`

    def stop(self) -> None:
        """Ends the thread once its present call returns, and waiting callers now."""
        self._stopped.set()
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None and not self.stopped:
            work, reply = item
            try:
                reply.put((work(), None))
            except BaseException as error:  # handed over to the caller, whatever it is
                reply.put((None, error))
            del item, work, reply
