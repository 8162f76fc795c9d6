"""PACS_TEST_MSSQL_URL: the tests of this folder run unchanged against the server that it names.

Here it names a served sandbox, taken for genuine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.support.server import VARIABLE, MssqlServer, only_the_sandbox, sandbox

ROOT = Path(__file__).parents[2]
HERE = "tests/integration"
A_FEW = {
    "test_windows.py::test_a_transaction_open_for_longer_than_the_overlap": "passed",
    "test_drift.py::test_a_renamed_column": "passed",
    "test_drift.py::test_a_catalog_that_nobody_may_read": "passed",
    "test_deletes.py::test_too_many_deletes_wait_for_a_person": "passed",
    "test_identity_and_rowversion.py::test_a_rowversion_window_waits_for_open_writers": "passed",
    "test_six_clients.py::test_what_a_client_decodes_is_what_was_inserted[pyodbc]": "passed",
    "test_bad_input.py::test_check_finds_it_before_a_sync_and_says_it_in_json[wrong password]": "passed",
    "test_bad_input.py::test_check_finds_it_before_a_sync_and_says_it_in_json[untrusted CA]": "only with the sandbox",
    "test_faults_and_clock.py::test_after_a_cancel_the_session_goes_on": "only with the sandbox",
}
"""One of each kind: an open writer, changed tables, many rows, rowversion, a client in another process, a
login of its own, what stays here.
"""
LEFT_OUT = ("only with the sandbox: ", "is not installed")


@dataclass(frozen=True)
class Child:
    """What came of a pytest in a process of its own: per test `passed`, or why it was skipped or failed; and
    how often it called on the server.
    """

    outcomes: dict[str, str]
    sessions: int
    left: int
    said: str


@pytest.fixture(scope="module")
def taken_for_genuine() -> Iterator[MssqlServer]:
    only_the_sandbox("the switch itself is tested with one")
    with sandbox("America/Los_Angeles", None) as address:
        yield MssqlServer(address, genuine=True)


def run_there(server: MssqlServer, tests: Sequence[str], report: Path, pg_server: str) -> Child:
    """Run tests in a process for which the variable names the server."""
    address = server.address
    url = f"mssql://{address.user}:{quote(address.password or '', safe='')}@{address.host}:{address.port}/{address.database}"
    environment = {
        **os.environ,
        VARIABLE: f"{url}?trust_server_certificate=yes&query_timeout=60",
        "PACS_TEST_SERVER_URL": pg_server,
    }
    environment.pop("AIRFLOW_HOME", None)  # one of its own
    before = last_session(server)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    sessions = last_session(server) - before
    with closing(server.connect()) as connection:
        left = connection.execute(
            "SELECT COUNT(*) FROM sys.databases WHERE name LIKE 'pacs_test%'"
        ).fetchval()
    return Child(outcomes(report), sessions, left, (done.stdout + done.stderr)[-6000:])


def last_session(server: MssqlServer) -> int:
    """The sandbox counts its sessions and never begins again."""
    with closing(server.connect()) as connection:
        return int(connection.execute("SELECT @@SPID").fetchval())


def outcomes(report: Path) -> dict[str, str]:
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"
        lines = [
            child.get("message") or child.tag
            for child in case
            if child.tag in ("skipped", "failure", "error")
        ]
        results[name] = lines[0] if lines else "passed"
    return results


def test_a_few_of_each_kind_run_against_the_server_that_is_named(
    taken_for_genuine: MssqlServer, tmp_path: Path, pg_server: str
) -> None:
    """They are the same tests, they reach the named server, and they leave nothing there."""
    ran = run_there(
        taken_for_genuine, [f"{HERE}/{name}" for name in A_FEW], tmp_path / "report.xml", pg_server
    )
    assert {name: result.partition(":")[0] for name, result in ran.outcomes.items()} == A_FEW, ran.said
    assert ran.sessions > 5 * len(A_FEW)
    assert ran.left == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "tests",
    [(HERE, "-m", "not slow"), (f"{HERE}/test_simulation.py", "-m", "slow")],
    ids=["all", "eight offices"],
)
def test_every_integration_test_runs_against_the_server_that_is_named(
    taken_for_genuine: MssqlServer, tests: tuple[str, ...], tmp_path: Path, pg_server: str
) -> None:
    """Each passes, or says why it needs the sandbox. Slow: the whole folder once more, over the wire."""
    ran = run_there(taken_for_genuine, tests, tmp_path / "report.xml", pg_server)
    wrong = {
        name: result
        for name, result in ran.outcomes.items()
        if result != "passed" and not any(reason in result for reason in LEFT_OUT)
    }
    assert wrong == {}, ran.said
    passed = sum(result == "passed" for result in ran.outcomes.values())
    print(f"{passed} passed, {len(ran.outcomes) - passed} left out, {ran.sessions} sessions")
    assert passed > 0.8 * len(ran.outcomes)
    assert ran.left == 0
