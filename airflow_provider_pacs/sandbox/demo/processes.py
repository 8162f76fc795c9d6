"""Runs commands in process groups of their own, each with its log, and ends them all.

The mark is an environment variable. Children inherit it, also those that leave their process group, so it
finds what a killed demo left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK = "PACS_DEMO_FOLDER"
_TERM_SECONDS, _KILL_SECONDS = 12, 5


class ProcessEnded(Exception):
    """A process that should run has ended, or one that should work has failed; the text says which and shows
    the end of its log.
    """


@dataclass(slots=True)
class Processes:
    """The processes of one folder.

    Attributes:
        folder: its path marks every process.
        environment: what every process gets.
    """

    folder: Path
    environment: Mapping[str, str]
    _started: dict[str, tuple[subprocess.Popen[bytes], Path]] = field(default_factory=dict)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own; its output goes to `<folder>/<name>.log`."""
        log = self.folder / f"{name}.log"
        settings = {**self.environment, **(environment or {}), MARK: str(self.folder)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=settings,
                cwd=self.folder,
                start_new_session=True,
            )
        self._started[name] = (process, log)
        return process

    def finish(self, name: str, seconds: float) -> str:
        """Wait for a command that ends by itself and give what it wrote.

        Raises:
            ProcessEnded: it failed.
            TimeoutError: it did not end in time.
        """
        process, log = self._started[name]
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{name} did not end within {seconds:.0f} s; its log: {log}") from error
        del self._started[name]
        if status:
            raise ProcessEnded(f"{name} failed with status {status}:\n{_end_of(log)}")
        return log.read_text("utf-8", "replace")

    def check(self) -> None:
        """Make sure that everything started still runs.

        Raises:
            ProcessEnded: something has ended.
        """
        for name, (process, log) in self._started.items():
            if (status := process.poll()) is not None:
                raise ProcessEnded(f"{name} ended by itself with status {status}:\n{_end_of(log)}")

    def stop(self) -> list[str]:
        """Stop every group, first kindly, then for certain; gives the commands that are still alive (none,
        one hopes).
        """
        for process, _ in self._started.values():
            _signal_group(process.pid, signal.SIGTERM)
        psutil.wait_procs(list(marked(self.folder)), timeout=_TERM_SECONDS)
        stop_marked(self.folder, signal.SIGTERM, 2)
        left = stop_marked(self.folder, signal.SIGKILL, _KILL_SECONDS) if marked(self.folder) else []
        self._reap()
        return left

    def _reap(self) -> None:
        """No child of ours stays, not even one that wrote its title over its mark, as Airflow's do."""
        for process, _ in self._started.values():
            try:
                process.wait(_KILL_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(process.pid, signal.SIGKILL)
                process.wait(_KILL_SECONDS)
        self._started.clear()


def marked(folder: Path) -> list[psutil.Process]:
    """The living processes that were started for a folder, by anyone; never this one."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _bears_mark(process, str(folder))
    ]


def stop_marked(folder: Path, number: signal.Signals, seconds: float) -> list[str]:
    """Signal each process of a folder, wait, and give the commands of those still alive."""
    result = marked(folder)
    for process in result:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    _, alive = psutil.wait_procs(result, timeout=seconds)
    return [command for process in alive for command in _command(process)]


def _bears_mark(process: psutil.Process, value: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == value
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False  # gone in between, or somebody else's


def _command(process: psutil.Process) -> Iterator[str]:
    with contextlib.suppress(psutil.NoSuchProcess):
        yield f"{process.pid} {' '.join(process.cmdline())[:120]}"


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _end_of(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
