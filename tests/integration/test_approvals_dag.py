"""`pacs_<county>_approvals` under a real scheduler: pending deletes start it, a person answers through Airflow's
API, they are applied once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import dict_row

from airflow_provider_pacs.sandbox.demo.bring_up import DemoCounty, Running, everything_up, own_folder

COUNTY, FIPS = "benton_wa", "53005"
SYNC, RECONCILE, APPROVALS = f"pacs_{COUNTY}", f"pacs_{COUNTY}_reconcile", f"pacs_{COUNTY}_approvals"
COUNTY_FILE = f"""
county: {COUNTY}
source:
  profile: generic
sync: {{cron: null, reconcile_cron: null, entities: [property], retries: 2, retry_delay_seconds: 5}}
delete_guard: {{max_rows: 1, max_percent: 0}}
"""
DAG_FILE = (
    "from airflow_provider_pacs.dag_builder import "
    "build_county_dags\n\nglobals().update(build_county_dags())\n"
)
_DELETE = """
import sys
from pathlib import Path
from airflow_provider_pacs.sandbox.commands import call
from airflow_provider_pacs.sandbox.site import Endpoint
place = Endpoint.read(Path(sys.argv[1]))
chosen = call(place, f"SELECT TOP ({int(sys.argv[2])}) CONVERT(varchar(36), PropertyID) AS k FROM [dbo].[Property] ORDER BY ParcelNumber")
for row in chosen:
    call(place, "DELETE FROM [dbo].[Property] WHERE PropertyID = ?", row["k"])
"""
SECONDS = 300
QUIET_SECONDS = 12
"""Seconds that a question has stood before it is answered: Airflow 3.3 can fail one that is answered at once.
"""
# A real Airflow has to start (about a minute) and then runs seven DAG runs.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * 25)]


@dataclass
class Site:
    """A running Airflow with one county, and words for what happens there."""

    running: Running

    def delete(self, rows: int) -> None:
        """The county's software deletes some properties, by a process of its own: the driver's settings
        belong to it.
        """
        command = [sys.executable, "-c", _DELETE, str(self.running.folder / "sandbox"), str(rows)]
        subprocess.run(command, check=True)

    def run(self, dag_id: str, run_id: str) -> str:
        """Start a run and wait for its end; returns its state."""
        return self.running.api.run(dag_id, run_id, {}, SECONDS, lambda end: None).state

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.running.api._call(method, f"/api/v2/dags/{path}", body)

    def approvals(self) -> list[dict[str, Any]]:
        """Runs of the approvals DAG, oldest first."""
        return sorted(self.api("GET", f"{APPROVALS}/dagRuns")["dag_runs"], key=lambda run: run["queued_at"])

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        return self.api("GET", f"{APPROVALS}/dagRuns/{quote(run_id)}/taskInstances/{task_id}")

    def asked(self, number: int) -> str:
        """The id of the approvals run with this number, whose question has stood long enough to be answered."""

        def waits() -> bool:
            runs = self.approvals()
            return (
                len(runs) > number
                and self.task(runs[number]["dag_run_id"], "decide")["state"] == "awaiting_input"
            )

        wait(waits, f"run {number} of {APPROVALS} does not ask")
        time.sleep(QUIET_SECONDS)
        return str(self.approvals()[number]["dag_run_id"])

    def answer(self, run_id: str, option: str) -> None:
        """What a person does on the page Required Actions."""
        path = f"{APPROVALS}/dagRuns/{quote(run_id)}/taskInstances/decide/-1/hitlDetails"
        self.api("PATCH", path, {"chosen_options": [option], "params_input": {}})

    def ended(self, run_id: str) -> str:
        """The run's state once it has one."""
        last: dict[str, Any] = {}

        def over() -> bool:
            last.update(self.api("GET", f"{APPROVALS}/dagRuns/{quote(run_id)}"))
            return last["state"] in {"success", "failed"}

        wait(over, f"{run_id} does not end")
        return str(last["state"])

    def sql(self, text: str) -> list[dict[str, Any]]:
        """Rows from the platform database, on a connection of its own."""
        with psycopg.connect(self.running.postgres.url("terrafusion"), row_factory=dict_row) as connection:
            return connection.execute(text.encode()).fetchall()

    def tombstones(self) -> list[dict[str, Any]]:
        """Every deleted property, to the byte."""
        return self.sql("SELECT * FROM pacs.property WHERE _deleted_at IS NOT NULL ORDER BY property_id")

    def sets(self) -> list[tuple[str, int]]:
        """(state, rows) of each pending set, oldest first."""
        return [
            (row["state"], row["row_count"])
            for row in self.sql("SELECT state, row_count FROM pacs_ops.pending_delete ORDER BY pending_id")
        ]

    def decisions(self) -> list[str]:
        """The audit rows of decisions, oldest first."""
        return [
            row["action"]
            for row in self.sql(
                "SELECT action FROM pacs_ops.audit WHERE action LIKE 'deletes.%' ORDER BY seq"
            )
        ]


def wait(done: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end, complaint
        time.sleep(0.5)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Everything up, the county loaded once. Not below pytest's temporary folder: see `pg_server`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(prefix="pacs-approvals-", ignore_cleanup_errors=True) as name:
        folder, dags = Path(name).resolve() / "site", Path(name).resolve() / "dags"
        (dags / "counties").mkdir(parents=True)
        (dags / "counties" / f"{COUNTY}.yaml").write_text(COUNTY_FILE, "utf-8")
        (dags / "pacs_counties.py").write_text(DAG_FILE, "utf-8")
        try:
            with (
                own_folder(folder),
                everything_up(
                    folder, (DemoCounty(COUNTY, "generic", "tiny"),), dags, lambda line: None
                ) as running,
            ):
                for dag_id in (SYNC, RECONCILE, APPROVALS):
                    running.api.unpause(dag_id)
                made = Site(running)
                assert made.run(SYNC, "load") == "success"
                yield made
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def test_a_pending_set_is_approved_once_and_another_is_refused(site: Site) -> None:
    """Stories of domain.md G9: pending deletes start the DAG by themselves; an approval applies them exactly
    once, and never others than were shown.
    """
    site.delete(3)
    assert site.run(RECONCILE, "finds_three_gone") == "success"
    assert (site.sets(), site.tombstones()) == ([("pending", 3)], [])

    first = site.asked(0)
    assert site.api("GET", f"{APPROVALS}/dagRuns/{quote(first)}")["run_type"] == "asset_triggered"
    site.answer(first, "Approve")
    assert site.ended(first) == "success"
    applied = site.tombstones()
    assert (len(applied), site.sets(), site.decisions()) == (3, [("applied", 3)], ["deletes.applied"])
    (decided,) = site.sql("SELECT decided_by FROM pacs_ops.pending_delete")
    assert decided["decided_by"], "who decided is known"

    # The same answer once more: Airflow refuses it, and a task that is cleared and run again finds the set
    # decided.
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.answer(first, "Approve")
    assert refused.value.code == 409
    refused.value.close()
    site.api(
        "POST",
        f"{APPROVALS}/clearTaskInstances",
        {"dry_run": False, "dag_run_id": first, "task_ids": ["apply"], "only_failed": False},
    )
    wait(lambda: site.task(first, "apply")["state"] == "failed", "the cleared task does not fail")
    assert (site.tombstones(), site.sets(), site.decisions()) == (
        applied,
        [("applied", 3)],
        ["deletes.applied"],
    )

    # A set that another run replaced while the question stood: the answer was about other rows, so it applies
    # nothing.
    site.delete(3)
    assert site.run(RECONCILE, "finds_three_more_gone") == "success"
    second = site.asked(1)
    site.delete(2)
    assert site.run(RECONCILE, "finds_five_gone") == "success"
    assert site.sets() == [("applied", 3), ("replaced", 3), ("pending", 5)]
    site.answer(second, "Approve")
    assert site.ended(second) == "failed"
    assert site.task(second, "apply")["state"] == "failed"
    assert (site.tombstones(), site.sets()[-1], site.decisions()) == (
        applied,
        ("pending", 5),
        ["deletes.applied"],
    )

    # The next question shows the new set; its answer counts.
    third = site.asked(2)
    site.answer(third, "Reject")
    assert site.ended(third) == "success"
    assert (site.tombstones(), site.sets()[-1], site.decisions()) == (
        applied,
        ("rejected", 5),
        ["deletes.applied", "deletes.rejected"],
    )
