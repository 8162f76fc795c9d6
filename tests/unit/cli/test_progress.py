"""Progress of long steps: one line that is rewritten on a terminal, plain lines in a pipe, nothing in JSON."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from airflow_provider_pacs.cli.invocation import Invocation
from airflow_provider_pacs.cli.progress import (
    PIPE_SECONDS,
    ProgressReporter,
    duration,
    progress_text,
    report_progress,
)

CLEAR = "\r\x1b[K"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_line_says_rows_speed_and_the_time_that_is_left() -> None:
    """Case F12: long reads were silent."""
    assert progress_text("property", 120_000, 5, 600_000) == (
        "property: 120,000 of 600,000 rows, 24,000 rows/s, 20 s left"
    )
    assert progress_text("property", 120_000, 5, None) == "property: 120,000 rows, 24,000 rows/s"
    assert progress_text("owner", 0, 0, 10) == "owner: 0 of 10 rows, 0 rows/s"
    assert progress_text("owner", 12, 1, 10).endswith("0 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_terminal_gets_one_line_that_is_rewritten() -> None:
    stream, clock = Terminal(), Clock()
    reporter = ProgressReporter("synchronising", stream=stream, clock=clock)
    for step in range(1, 4):
        clock.now = step
        reporter.on_progress("property", step * 1_000, step, 4_000)
    reporter.on_message("property: validated")
    reporter.stop()
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.endswith(f"{CLEAR}property: validated\n{CLEAR}")
    assert f"{CLEAR}property: 3,000 of 4,000 rows, 1,000 rows/s, 1 s left" in written


def test_a_terminal_shows_that_a_silent_step_is_at_work() -> None:
    stream, clock = Terminal(), Clock()
    reporter = ProgressReporter("checking benton_wa", stream=stream, clock=clock)
    clock.now = 12
    reporter.redraw()
    assert stream.getvalue() == f"{CLEAR}checking benton_wa: 12 s"


def test_a_pipe_gets_plain_lines_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    reporter = ProgressReporter("synchronising", stream=stream, clock=clock)
    for step in range(1, 26):
        clock.now = step
        reporter.on_progress("property", step * 100, step, None)
        reporter.redraw()
    reporter.stop()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{int(PIPE_SECONDS) * n * 100:,}" for n in (1, 2)]
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_line_is_never_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps can't be taken away again."""
    monkeypatch.setenv("COLUMNS", "20")
    stream, clock = Terminal(), Clock()
    reporter = ProgressReporter("x" * 200, stream=stream, clock=clock)
    reporter.redraw()
    assert len(stream.getvalue().removeprefix(CLEAR)) == 19


def test_a_reader_that_has_gone_does_not_end_the_work() -> None:
    """Case F12: `pacs sync ... 2>&1 | head` must not stop the sync in the middle."""
    reporter = ProgressReporter("synchronising", stream=ClosedPipe())
    reporter.on_message("one")
    reporter.on_message("two")
    reporter.stop()


def test_messages_hold_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    invocation = Invocation()
    invocation.secrets.add("recognisable")
    with report_progress(invocation, "x") as progress:
        progress.on_message("password recognisable")
        logging.getLogger("airflow_provider_pacs.sync").warning("and recognisable here")
    assert stream.getvalue() == "password ***\nand *** here\n"


@pytest.mark.parametrize(("verbose", "json", "lines"), [(False, False, 1), (True, False, 2), (True, True, 0)])
def test_log_lines_come_by_verbosity_and_never_beside_json(
    verbose: bool, json: bool, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logger = logging.getLogger("airflow_provider_pacs.sync.steps")
    with report_progress(Invocation(verbose=verbose, json=json), "x"):
        logger.info("a step")
        logger.warning("a warning")
    assert len(stream.getvalue().splitlines()) == lines
    logger.warning("after the block")
    assert len(stream.getvalue().splitlines()) == lines
