"""How long a committed change takes to be seen in PostgreSQL, by another process, through a real scheduler and
triggerer; with every check and the certificate.

Three parts, each into `build/bench/realtime.json`: changes after an idle time, with the time split by stage;
changes in a burst, while a task lingers, under one county and under several at once; and what the polls of many
counties cost on one event loop. Nothing here asserts a time: walls depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from airflow_provider_pacs.triggers.trigger import ChangeWatch  # noqa: E402

from airflow_provider_pacs.sync.config.hours import DAYS, BusinessHours  # noqa: E402
from airflow_provider_pacs.sync.incremental.strategy import PolledTable  # noqa: E402
from airflow_provider_pacs.sync.polling import (  # noqa: E402
    Followed,
    PolledEntity,
    PollPlan,
    poll_query,
    read_position,
)
from airflow_provider_pacs.sync.source.address import SourceAddress  # noqa: E402
from airflow_provider_pacs.sync.source.async_reader import AsyncReader  # noqa: E402
from tests.support.live_airflow import LiveAirflow, live_airflow  # noqa: E402

_OBSERVER = """import sys, time
import psycopg
seen = set()
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    print("ready", flush=True)
    while True:
        rows = connection.execute("SELECT county_id, city FROM pacs.property WHERE property_id = %s", (sys.argv[2],)).fetchall()
        now = time.time()
        for row in rows:
            if row not in seen:
                seen.add(row)
                print(now, *row, sep="\\t", flush=True)
        time.sleep(0.02)
"""
_STAGES = (
    ("the poll sees it", "commit", "seen"),
    ("event to DAG run", "seen", "queued"),
    ("DAG run to task start", "queued", "started"),
    ("task start to a claimed plan", "started", "planned"),
    ("read, validate, publish", "planned", "published"),
)
OBSERVED = 7


class Observer:
    """Another process that reads the platform's database; when it first saw a city in a county."""

    def __init__(self, live: LiveAirflow, number: int) -> None:
        key = f"00000000-0000-4000-8000-{number:012d}"
        command = [sys.executable, "-c", _OBSERVER, live.postgres.url("terrafusion"), key]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready"
        self.seen: dict[tuple[str, str], float] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, county, city = line.rstrip("\n").split("\t")
            self.seen[county, city] = float(at)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Count, median, 95th percentile and largest."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return (
        {"n": len(ordered), "p50": at(0.5), "p95": at(0.95), "max": round(ordered[-1], 2)}
        if ordered
        else {"n": 0}
    )


def burst(live: LiveAirflow, changes: int, label: str) -> dict[str, Any]:
    """Changes seconds apart, while tasks linger; the first one wakes them and is not counted."""
    observer = Observer(live, OBSERVED)
    try:
        live.change(OBSERVED, f"{label} first")
        live.await_city(OBSERVED, f"{label} first", 120)
        committed = {}
        for number in range(changes):
            time.sleep(random.uniform(0.3, 2.0))
            committed[f"{label} {number}"] = live.change(OBSERVED, f"{label} {number}")
        live.await_city(OBSERVED, f"{label} {changes - 1}", 120)
        time.sleep(0.3)
    finally:
        observer.close()
    # A county may skip a value that the next change overwrote before it was read.
    waits = []
    for fips in live.fips.values():
        for number, (_, at) in enumerate(committed.items()):
            later = [
                observer.seen[fips, city]
                for city in list(committed)[number:]
                if (fips, city) in observer.seen
            ]
            waits.append(min(later) - at)
    return {"seconds": spread(waits), "changes": changes, "counties": len(live.fips)}


def after_idle(live: LiveAirflow, changes: int) -> dict[str, Any]:
    """Changes that find no task at work."""
    observer = Observer(live, OBSERVED)
    commits: dict[str, float] = {}
    try:
        for number in range(changes):
            live.await_("an idle county", live.idle, 180)
            time.sleep(random.uniform(0.0, 3.0))
            commits[f"idle {number}"] = live.change(OBSERVED, f"idle {number}")
            live.await_city(OBSERVED, f"idle {number}", 120)
        time.sleep(0.3)
        live.await_("the last certificate", live.idle, 120)
    finally:
        observer.close()
    waits = {
        city: observer.seen[fips, city] - at for city, at in commits.items() for fips in live.fips.values()
    }
    stages: dict[str, list[float]] = {name: [] for name, *_ in _STAGES}
    certified = []
    for at in commits.values():
        moments = _moments(live, at)
        for name, begin, end in _STAGES:
            stages[name].append(moments[end] - moments[begin])
        certified.append(moments["certified"] - moments["commit"])
    return {
        "seconds": spread(list(waits.values())),
        "stages": {name: spread(values) for name, values in stages.items()},
        "certified": spread(certified),
    }


def _moments(live: LiveAirflow, commit: float) -> dict[str, float]:
    """What happened when after a commit, by Airflow's and the journal's own records."""
    since = datetime.fromtimestamp(commit, UTC)
    ((queued, started, extra),) = live.metadata(
        "SELECT r.queued_at, t.start_date, e.extra FROM dag_run AS r JOIN task_instance AS t USING (dag_id, run_id) "
        "JOIN dagrun_asset_event AS d ON d.dag_run_id = r.id JOIN asset_event AS e ON e.id = d.event_id "
        "WHERE r.queued_at > %s ORDER BY r.queued_at LIMIT 1",
        since,
    )
    ((planned, published, finished),) = live.target(
        "SELECT started_at, published_at, finished_at FROM pacs_ops.sync_run WHERE kind = 'realtime' AND started_at > %s "
        "ORDER BY started_at LIMIT 1",
        since,
    )
    document = extra if isinstance(extra, dict) else json.loads(extra)
    return {
        "commit": commit,
        "seen": datetime.fromisoformat(document["payload"]["seen_at"]).timestamp(),
        "queued": queued.timestamp(),
        "started": started.timestamp(),
        "planned": planned.timestamp(),
        "published": published.timestamp(),
        "certified": finished.timestamp(),
    }


def polls(live: LiveAirflow, counties: int, poll_seconds: float, seconds: float) -> dict[str, Any]:
    """The polls of many counties on one event loop, in a process of their own."""
    command = [
        sys.executable,
        __file__,
        "--polls-only",
        live.endpoint.url(),
        str(counties),
        str(poll_seconds),
    ]
    done = subprocess.run(
        [*command, str(seconds)],
        env={**os.environ, **live.endpoint.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


CONNECTIONS = 32
"""Connections that the measured polls share: one sandbox stands in for as many servers as there are counties, and
slows down with its own number of sessions, which is nothing of the product's.
"""


class Measured:
    """A source that notes how much later than planned each answer comes."""

    poll_seconds = 5.0
    lags: list[float] = []  # noqa: RUF012 - one list for all

    def __init__(self, reader: AsyncReader) -> None:
        self._reader = reader
        self._last: float | None = None

    async def row(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...]:
        answer = await self._reader.row(sql, params)
        now = time.monotonic()
        if self._last is not None:
            self.lags.append(now - self._last - self.poll_seconds)
        self._last = now
        return answer

    async def close(self) -> None:
        pass


class Kept:
    """A state that knows one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    async def read(self, key: str) -> dict[str, Any] | None:
        return self.document

    async def write(self, key: str, document: dict[str, Any]) -> None:
        pass


async def _trigger(reader: Measured, document: dict[str, Any], poll_seconds: float) -> None:
    async def opened() -> Measured:
        return reader

    trigger = ChangeWatch(
        "bench",
        opened,
        Kept(document),
        BusinessHours(None, DAYS, "UTC"),
        poll_seconds,
        uniform=lambda low, high: random.uniform(low, high) if low == 0 else 1.0,
    )
    try:
        async for _ in trigger.reports():
            pass
    finally:
        await trigger.close()


async def _polls_only(url: str, counties: int, poll_seconds: float, seconds: float) -> dict[str, Any]:
    """`polls` in its own process: real watches over the real driver, each with a state of its own."""
    address = SourceAddress.from_url(url)
    plan = PollPlan((PolledEntity("property", "rowversion", PolledTable("dbo", "LiveProperty")),), {}, 60)
    Measured.poll_seconds = poll_seconds
    async with AsyncReader(address) as reader:
        position = read_position(plan, await reader.row(poll_query(plan).sql))
    document = Followed(plan, position).as_json()
    readers = [AsyncReader(replace(address, login_timeout=120)) for _ in range(min(CONNECTIONS, counties))]
    for each in readers:
        await each.row("SELECT 1 AS one")
    sources = [Measured(readers[number % len(readers)]) for number in range(counties)]
    tasks = [asyncio.create_task(_trigger(each, document, poll_seconds)) for each in sources]
    await asyncio.sleep(poll_seconds * 2)
    Measured.lags.clear()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.sleep(seconds)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    lags, threads = list(Measured.lags), threading.active_count()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(each.close() for each in readers))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "counties": counties,
        "poll_seconds": poll_seconds,
        "connections": len(readers),
        "polls": len(lags),
        "cpu_percent_of_a_core": round(100 * cpu / wall, 1),
        "cpu_ms_per_poll": round(1000 * cpu / max(len(lags), 1), 2),
        "lag_seconds": spread(lags),
        "threads": threads,
        "peak_mb": round(after.ru_maxrss / 1024),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the JSON, print it."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--polls-only"]:
        print(json.dumps(asyncio.run(_polls_only(words[1], int(words[2]), float(words[3]), float(words[4])))))
        return 0
    parser = argparse.ArgumentParser(description="Latency of committed changes through a real Airflow.")
    parser.add_argument("--idle", type=int, default=20, help="changes after an idle time (default 20)")
    parser.add_argument("--burst", type=int, default=100, help="changes in a burst (default 100)")
    parser.add_argument("--counties", type=int, default=17, help="counties at once (default 17)")
    parser.add_argument(
        "--polled", type=int, default=254, help="counties whose polls are measured (default 254)"
    )
    parser.add_argument("--rows", type=int, default=1000, help="rows of the table (default 1,000)")
    parser.add_argument("--seconds", type=float, default=60, help="how long polls are measured (default 60)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args(words)
    report: dict[str, Any] = {"load_before": os.getloadavg(), "cores": os.cpu_count(), "rows": arguments.rows}
    realtime = {"poll_seconds": 2, "linger_seconds": 6}
    with tempfile.TemporaryDirectory(prefix="pacs-realtime-", ignore_cleanup_errors=True) as name:
        with live_airflow(Path(name), rows=arguments.rows, realtime=realtime) as live:
            report["burst"] = burst(live, arguments.burst, "one")
            report["after_idle"] = after_idle(live, arguments.idle)
            report["polls"] = polls(live, arguments.polled, 5.0, arguments.seconds)
    if arguments.counties > 1:
        with tempfile.TemporaryDirectory(prefix="pacs-realtime-", ignore_cleanup_errors=True) as name:
            realtime = {"poll_seconds": 2, "linger_seconds": 30}
            settings = {"AIRFLOW__CORE__PARALLELISM": str(arguments.counties + 1)}
            with live_airflow(
                Path(name), arguments.counties, rows=arguments.rows, realtime=realtime, settings=settings
            ) as live:
                report["burst_of_many"] = burst(live, max(arguments.burst // 5, 5), "many")
    report["load_after"] = os.getloadavg()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "realtime.json"
    file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1), f"\n{file}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
