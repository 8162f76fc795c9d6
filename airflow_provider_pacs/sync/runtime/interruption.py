"""SIGTERM or SIGINT comes in; one exception goes out, in the main thread, that stops the source's statement,
rolls back and ends the process in time.

A wait for either database ends on it: the source's driver thread cancels its statement, psycopg cancels
the target's, and the open transaction rolls back on the exception's way out (correctness.md, case 108).
A driver that does not come back from C cannot hold the process up: a timer ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 20.0
"""From the signal to the end of the process, whatever still blocks."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end.

    It is a KeyboardInterrupt because for that one psycopg cancels the statement under way.

    Attributes:
        status: the exit status that the process ends with.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"Interrupted by {number.name}")
        self.status = 130 if number is signal.SIGINT else 1


@contextmanager
def interruptible(grace: float = GRACE_SECONDS) -> Iterator[None]:
    """Turn the first SIGTERM or SIGINT in the block into `Interrupted` and ignore later ones.

    Does nothing outside the main thread.

    Raises:
        Interrupted: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        stop = Interrupted(signal.Signals(number))
        timer = threading.Timer(grace, _end, (stop,))
        timer.daemon = True
        timer.start()
        raise stop

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(stop: Interrupted) -> None:
    print(
        f"{stop}; a database did not answer the cancel, so the connections were cut.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(stop.status)
