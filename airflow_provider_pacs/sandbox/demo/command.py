"""`make demo`: a county's PACS goes through a real Airflow into a real PostgreSQL, and one table shows
the result.

A sandbox PACS, an embedded PostgreSQL (target and Airflow's metadata) and Airflow's four components run as
processes of this one; whatever happens, they are stopped at the end. Figures are read back from schema
pacs_ops, not remembered. Exit status: 0 all runs succeeded and the last certificate is clean, 1 not so, 2
usage, 130 interrupted before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_provider_pacs.sandbox.counties.profiles import GENERIC, KINDS
from airflow_provider_pacs.sandbox.demo import run_summaries, several
from airflow_provider_pacs.sandbox.demo.airflow_api import RunFailed
from airflow_provider_pacs.sandbox.demo.bring_up import (
    DemoCounty,
    NotOurs,
    Running,
    everything_up,
    own_folder,
)
from airflow_provider_pacs.sandbox.demo.dag_runs import night_at, run_dag
from airflow_provider_pacs.sandbox.demo.processes import ProcessEnded, marked

ROOT = Path(__file__).parents[3]
COUNTY = "benton_wa"
DAG, RECONCILE = f"pacs_{COUNTY}", f"pacs_{COUNTY}_reconcile"
_WIDTH = 140


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    size: str
    profile: str
    keep: bool
    folder: Path
    counties: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    options = _options(argv)
    # The table is wide: a narrow terminal wraps its lines rather than leaving figures out.
    console = Console(
        highlight=False, soft_wrap=True, width=max(shutil.get_terminal_size((_WIDTH, 40)).columns, _WIDTH)
    )
    if not (ROOT / "dags" / "counties" / f"{COUNTY}.yaml").is_file():
        console.print(f"The demo runs from a checkout: there is no dags/counties/{COUNTY}.yaml in {ROOT}.")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        with own_folder(options.folder):
            return _demo(options, console)
    except BlockingIOError:
        console.print(
            f"A demo already runs in {options.folder}: stop it (Ctrl-C there), or name another folder with "
            "--dir."
        )
        return 2
    except NotOurs as error:
        console.print(str(error), markup=False)
        return 2
    except Interrupted:
        console.print("Interrupted.")
        return 130


def _options(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_pacs.sandbox.demo",
        description="A county through real Airflow into PostgreSQL.",
    )
    parser.add_argument(
        "--size", default="seed", help="size of the sandbox PACS: tiny, seed (default), benton"
    )
    parser.add_argument(
        "--counties",
        type=int,
        default=1,
        choices=(1, several.COUNTIES),
        help="3: a generic county and two on PACS 9.0, in two time zones and on three schedules, and one "
        "report over them",
    )
    parser.add_argument(
        "--profile",
        default=GENERIC,
        choices=list(KINDS),
        help=f"which tables the sandbox PACS has (default {GENERIC})",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--dir",
        default=Path("build/demo"),
        type=Path,
        help="folder for logs, databases and summary.json (default build/demo)",
    )
    result = parser.parse_args(argv)
    profiles = {GENERIC, several.HARRIS} if result.counties > 1 else {result.profile}
    for profile in sorted(profiles):
        try:
            KINDS[profile].check(result.size)
        except ValueError as error:
            parser.error(f"argument --size: {error}")
    return Options(result.size, result.profile, result.keep, result.dir.resolve(), result.counties)


def _interrupt(number: int, frame: object) -> None:
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # stopping takes its bounded time; a second Ctrl-C must not leave things behind
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted


def _demo(options: Options, console: Console) -> int:
    started = time.monotonic()

    def message(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:10.1f} s[/]  {line}")

    what = f"{options.counties} sandbox PACS" if options.counties > 1 else f"sandbox PACS, {options.profile},"
    message(f"{what} ({options.size}) and PostgreSQL start")
    try:
        counties = (
            several.counties(options.size)
            if options.counties > 1
            else (DemoCounty(COUNTY, options.profile, options.size),)
        )
        with everything_up(options.folder, counties, ROOT / "dags", message) as running:
            message(f"Airflow is healthy: [bold]{running.api.address}[/]")
            if options.counties > 1:
                status = several.show(counties, running, console)
            else:
                status = _show(options, running, console)
            if options.keep:
                _wait_for_the_end(running, console)
    except (ProcessEnded, TimeoutError, OSError) as error:
        console.print(f"[bold red]failed:[/] {type(error).__name__}:", end=" ")
        console.print(str(error), markup=False)
        console.print(f"Logs: {options.folder}")
        return 1
    if left := marked(options.folder):
        console.print(f"[bold red]Left running:[/] {[process.pid for process in left]}")
        return 1
    return status


def _show(options: Options, running: Running, console: Console) -> int:
    """The three runs with a night between them; then the table and summary.json."""
    started_at = datetime.now(UTC)
    done: list[run_summaries.DemoRun] = []
    night: dict[str, Any] = {}
    try:
        for dag_id in (DAG, RECONCILE):
            running.api.unpause(dag_id)
        done.append(run_dag(running, console, "full", DAG, {"mode": "full"}))
        night = night_at(running, console, "sandbox")
        done.append(run_dag(running, console, "incremental", DAG, {"mode": "auto"}))
        done.append(run_dag(running, console, "reconcile", RECONCILE, {}))
    except RunFailed as failure:
        done.append(failure.args[1])
        console.print(failure.args[0], markup=False)
    runs = run_summaries.read_runs(running.postgres.url("terrafusion"), done) if done else []
    clean = len(runs) == 3 and run_summaries.is_clean(runs[-1])
    ok = clean and all(run["airflow_state"] == "success" for run in runs)
    total = time.monotonic() - running.started
    summary = {
        "version": run_summaries.VERSION,
        "ok": ok,
        "clean": clean,
        "county_id": runs[0]["county_id"] if runs else None,
        "size": options.size,
        "profile": options.profile,
        "started_at": started_at.isoformat(timespec="seconds"),
        "seconds": {"setup": round(running.setup_seconds, 1), "total": round(total, 1)},
        "night": night,
        "runs": runs,
    }
    file = running.folder / "summary.json"
    file.write_text(json.dumps(summary, indent=1, default=str), "utf-8")
    console.print(run_summaries.table_of(runs))
    outcome = "[bold green]In step: the last certificate is clean.[/]" if ok else "[bold red]Not in step.[/]"
    console.print(f"{outcome} {total:.0f} s in all. The same figures: {file}")
    return 0 if ok else 1


def _wait_for_the_end(running: Running, console: Console) -> None:
    console.print(f"Airflow stays up: [bold]{running.api.address}[/]  Ctrl-C stops everything.")
    never = threading.Event()
    with contextlib.suppress(Interrupted):  # the runs are done: their verdict counts
        while not never.wait(1.0):  # until a signal, or until something dies
            running.processes.check()
