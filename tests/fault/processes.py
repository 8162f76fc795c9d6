"""Processes under test, and how to wait for what they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

ROOT = Path(__file__).parents[2]


def until(what: str, probe: Callable[[], Any], *, alive: Run | None = None, seconds: float = 120.0) -> Any:
    """Poll until `found` returns something true, and return it.

    A run that ends meanwhile, or too long a wait, fails the test.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := probe():
            return result
        if alive is not None and alive.process.poll() is not None:
            raise AssertionError(f"the run ended before this was seen: {what}\n{alive.output()}")
        time.sleep(0.02)
    raise AssertionError(f"not seen within {seconds} s: {what}" + (f"\n{alive.output()}" if alive else ""))


class Run:
    """A process under test."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        name = uuid4().hex[:8]
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=out, stderr=err
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 240.0) -> int:
        return self.process.wait(seconds)

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8")

    def output(self) -> str:
        return f"exit status {self.process.poll()}\n{self.out}\n{self.err}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
