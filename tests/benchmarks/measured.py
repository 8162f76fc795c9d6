"""A command -> how long it took, what CPU it cost in its own process and at both ends, how large it became."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from places import ROOT, Postgres, Sandbox, cpu_seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One command, from start to end.

    Attributes:
        elapsed: seconds.
        client: CPU seconds of the command's own processes.
        sandbox: CPU seconds that the sandbox spent meanwhile.
        postgres: CPU seconds that PostgreSQL spent meanwhile.
        peak_mb: largest resident set of the command's process.
        started: time.time() at the start.
        out: standard output.
        errors: standard error.
    """

    elapsed: float
    client: float
    sandbox: float
    postgres: float
    peak_mb: float
    started: float
    out: str
    errors: str


def run(command: Sequence[str], environment: Mapping[str, str], pg: Postgres, source: Sandbox) -> Run:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    before = cpu_seconds(source.process), cpu_seconds(pg.process)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started, elapsed = time.time(), time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - elapsed
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        texts = out.read(), errors.read()
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command[:4])} ... ended with {process.returncode}: "
            f"{texts[1][-2000:]}{texts[0][-2000:]}"
        )
    client = usage.ru_utime + usage.ru_stime
    after = cpu_seconds(source.process), cpu_seconds(pg.process)
    return Run(
        elapsed, client, after[0] - before[0], after[1] - before[1], usage.ru_maxrss / 1024, started, *texts
    )


def copied(
    pg: Postgres, source: Sandbox, url: str, before: str, copy_out: str, copy_in: str, after: str
) -> Run:
    """`psql -c COPY TO | psql -c COPY FROM`, with statements before and after it on the clock."""
    psql = [str(pg.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
    first = " ".join([_quoted(psql), "-c", _quoted([copy_out])])
    second = " ".join(
        [_quoted(psql), *(["-c", _quoted([before])] if before else []), "-c", _quoted([copy_in])]
    )
    second += f" -c {_quoted([after])}" if after else ""
    return run(["bash", "-o", "pipefail", "-c", f"{first} | {second}"], {**os.environ}, pg, source)


def _quoted(words: Sequence[str]) -> str:
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, min and max."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """The runs of one measurement, summed up."""
    return {
        "wall_s": spread([run.elapsed for run in runs]),
        "client_cpu_s": spread([run.client for run in runs]),
        "sandbox_cpu_s": spread([run.sandbox for run in runs]),
        "postgres_cpu_s": spread([run.postgres for run in runs]),
        "peak_mb": spread([run.peak_mb for run in runs], 1),
        "runs": len(runs),
    }


def read_text(file: Path, default: str = "") -> str:
    """A file's text, or a default where this machine has no such file."""
    return file.read_text("utf-8") if file.exists() else default
