"""How far a long step is: one line that is rewritten on a terminal, plain lines where output is piped."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from airflow_provider_pacs.cli.invocation import Invocation

TERMINAL_SECONDS = 0.2
PIPE_SECONDS = 10.0
"""How often a line is rewritten on a terminal, and printed elsewhere."""
_CLEAR = "\r\x1b[K"


class ProgressReporter:
    """What the engine reports while it works, on standard error.

    The engine calls `on_message` for a line to keep and `on_progress` while rows go through a step. Between
    these calls a terminal shows for how long the present step has been at work.

    Args:
        activity: what the command does, until the first row comes, e.g. `checking benton_wa`.
        stream: where to write; standard error by default.
        mask: takes passwords out of a message.
        silent: print nothing (`--json`).
        clock: seconds that only go forward; for tests.
    """

    def __init__(
        self,
        activity: str,
        *,
        stream: TextIO | None = None,
        mask: Callable[[str], str] = str,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._mask, self._silent, self._clock = mask, silent, clock
        self._terminal = not silent and self._stream.isatty()
        self._activity, self._since = activity, clock()
        self._status = ""
        self._printed_at = clock()
        self._lock = threading.RLock()
        self._stopped = threading.Event()

    def on_message(self, message: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._write(f"{_CLEAR if self._terminal else ''}{self._mask(message)}\n")
            self._since, self._status = self._clock(), ""

    def on_progress(self, entity: str, rows: int, seconds: float, expected_rows: int | None = None) -> None:
        """Show how far an entity's rows are.

        Args:
            entity: canonical entity name.
            rows: rows that went through so far.
            seconds: since the first.
            expected_rows: how many there will be; None where nobody knows.
        """
        with self._lock:
            self._activity = entity
            self._status = progress_text(entity, rows, seconds, expected_rows)
            wait = TERMINAL_SECONDS if self._terminal else PIPE_SECONDS
            if self._clock() - self._printed_at >= wait:
                self._show(self._status)

    def redraw(self) -> None:
        """Rewrite the terminal's line; where there is no terminal, do nothing."""
        if self._terminal:
            with self._lock:
                waited = self._clock() - self._since
                self._show(self._status or f"{self._activity}: {waited:,.0f} s")

    def start(self) -> None:
        """Say what begins; on a terminal a thread then keeps the line alive."""
        if self._terminal:
            threading.Thread(target=self._keep_alive, name="pacs-progress", daemon=True).start()

    def stop(self) -> None:
        """Take the line away: what is printed next begins on a clean one."""
        self._stopped.set()
        with self._lock:
            if self._terminal:
                self._write(_CLEAR)
            self._silent = True

    def _keep_alive(self) -> None:
        while not self._stopped.wait(1.0):
            self.redraw()

    def _show(self, text: str) -> None:
        self._printed_at = self._clock()
        if self._terminal:
            width = shutil.get_terminal_size((80, 24)).columns
            self._write(f"{_CLEAR}{self._mask(text)[: max(width - 1, 1)]}")
        else:
            self._write(f"{self._mask(text)}\n")

    def _write(self, text: str) -> None:
        """Write, until nobody reads any more: a reader that has gone must not end the work."""
        if self._silent:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._silent = True


class _LogLines(logging.Handler):
    """Prints log lines between the rewritten ones."""

    def __init__(self, reporter: ProgressReporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.on_message(self.format(record))


@contextmanager
def report_progress(invocation: Invocation, activity: str) -> Iterator[ProgressReporter]:
    """Show the progress of the block's work on standard error, and the engine's log lines between.

    With `--json` nothing is printed: standard output holds the one document, and a caller that reads both
    streams gets no surprise.
    """
    reporter = ProgressReporter(activity, mask=invocation.secrets.mask, silent=invocation.json)
    handler = _LogLines(reporter)
    handler.setLevel(logging.INFO if invocation.verbose else logging.WARNING)
    logger = logging.getLogger("airflow_provider_pacs")
    before = logger.level
    if not invocation.json:
        logger.addHandler(handler)
        if invocation.verbose:
            logger.setLevel(logging.INFO)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.stop()
        logger.removeHandler(handler)
        logger.setLevel(before)


def progress_text(entity: str, rows: int, seconds: float, expected_rows: int | None) -> str:
    """`property: 120,000 of 500,000 rows, 24,000 rows/s, 16 s left`."""
    speed = rows / seconds if seconds > 0 else 0.0
    parts = [
        f"{entity}: {rows:,}{f' of {expected_rows:,}' if expected_rows is not None else ''} rows",
        f"{speed:,.0f} rows/s",
    ]
    if expected_rows is not None and speed > 0:
        parts.append(f"{duration(max(expected_rows - rows, 0) / speed)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
