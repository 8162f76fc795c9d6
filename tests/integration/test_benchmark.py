"""The benchmark itself, small: it runs, does what it measures, and writes the figures that others read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import only_the_sandbox

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_benchmark_writes_its_figures(tmp_path: Path) -> None:
    only_the_sandbox("the benchmark measures with its own")
    command = [
        sys.executable,
        "tests/benchmarks/run.py",
        "--rows",
        "2000",
        "--rounds",
        "1",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads((tmp_path / "sync_2k.json").read_text("utf-8"))
    assert {
        "full_2k_checked_to_limit",
        "full_2k_rows_per_s",
        "delta_1pct_s",
        "peak_mb",
        "stages",
        "machine",
        "versions",
    } <= set(figures)
    assert (
        set(figures["stages"]["full"])
        == set(figures["stages"]["delta"])
        == {"start and end", "read", "validated", "published", "certified"}
    )
