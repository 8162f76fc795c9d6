"""`make ui`: the whole demo with a real Airflow, its figures counted a second time, its ports, and that
nothing of it stays behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from airflow_provider_pacs.sandbox.demo.command import main
from airflow_provider_pacs.sandbox.demo.processes import marked
from tests.support.server import only_the_sandbox

ROOT = Path(__file__).parents[2]
MINUTES = 20
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * (MINUTES + 5))]


# What the first run reads of property, owner, structure and value; and how the second one does.
READ = {"generic": [12_400, 18_600, 14_800, 62_000], "harris_pacs_9": [11_438, 17_406, 14_800, 33_995]}
MODES = {"generic": {"changes"}, "harris_pacs_9": {"changes", "full"}}


@dataclass(frozen=True)
class Kept:
    profile: str
    folder: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module", params=READ)
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """A demo whose runs are done and that stays up. Not below pytest's temporary folder: see `pg_server`."""
    only_the_sandbox("the demo brings its own")
    with tempfile.TemporaryDirectory(prefix="pacs-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        command = [
            sys.executable,
            "-m",
            "airflow_provider_pacs.sandbox.demo",
            "--profile",
            request.param,
            "--keep",
            "--dir",
            str(folder),
        ]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            end = time.monotonic() + 60 * MINUTES
            while not (folder / "summary.json").exists():
                assert process.poll() is None, "the demo ended by itself"
                assert time.monotonic() < end, "the demo takes too long"
                time.sleep(0.5)
            yield Kept(request.param, folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_all_runs_succeed_and_the_last_certificate_is_clean(kept: Kept) -> None:
    summary = json.loads((kept.folder / "summary.json").read_text("utf-8"))
    assert (summary["ok"], summary["clean"], summary["size"]) == (True, True, "seed")
    assert {(run["run"], run["airflow_state"], run["state"]) for run in summary["runs"]} == {
        ("full", "success", "succeeded"),
        ("incremental", "success", "succeeded"),
        ("reconcile", "success", "succeeded"),
    }
    assert [entity["read"] for entity in summary["runs"][0]["entities"]] == READ[kept.profile]
    assert {entity["mode"] for entity in summary["runs"][1]["entities"]} == MODES[kept.profile]


def test_a_second_program_counts_the_same(kept: Kept) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/integration/verify_summary.py"), str(kept.folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_everything_listens_on_this_machine_only(kept: Kept) -> None:
    places = {
        connection.laddr.ip
        for process in marked(kept.folder)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert places == {"127.0.0.1"}


def test_a_second_demo_in_the_same_folder_is_refused(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["--dir", str(kept.folder)]) == 2
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert "already runs" in capsys.readouterr().out


def test_after_the_end_nothing_runs_and_the_runs_verdict_is_the_exit_status(kept: Kept) -> None:
    assert marked(kept.folder)
    kept.process.send_signal(signal.SIGTERM)
    assert kept.process.wait(60) == 0
    assert marked(kept.folder) == []
    seen = [
        process.info for process in psutil.process_iter(["name", "cmdline"])
    ]  # one that has just ended has neither
    assert not any(
        "postgres" in (match["name"] or "") and str(kept.folder) in " ".join(match["cmdline"] or ())
        for match in seen
    )
