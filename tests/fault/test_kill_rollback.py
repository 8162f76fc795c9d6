"""A rollback is killed at every moment that can be told apart from outside: the target is as before it or as after
it, never anything else, and the next call ends it (case 104).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.fault.processes import Run, until
from tests.fault.target import Postgres, Target
from tests.model.test_history import History, Snapshot, Step

pytestmark = pytest.mark.timeout(900)  # a machine may be busy

BEFORE = {
    "the county is claimed": "pacs_ops.county",
    "the run is recorded": "pacs_ops.run_entity",
    "the staged images are validated": "pacs_ops.quality_result",
    "runs are marked in publish": "pacs_ops.change_log_state",
    "rows are back, the cursor is not": "pacs_ops.sync_state",
    "all is back, the hold is not there": "pacs_ops.county_hold",
}
"""Moment -> the table whose lock the rollback waits for then; nothing of it is committed."""
AFTER = {"it is published, and not certified": "pacs_ops.certificate"}
FAST = "rows are back, the cursor is not"
MOMENTS = [
    pytest.param(table, what in AFTER, id=what, marks=() if what == FAST else pytest.mark.slow)
    for what, table in (BEFORE | AFTER).items()
]


@pytest.fixture(scope="module")
def mistaken(postgres: Postgres) -> Iterator[tuple[str, History, str, Snapshot]]:
    """A database with a county whose last run was a mistake; that run; what was there before it."""
    name = postgres.create()
    with PostgresTarget.from_url(postgres.url(name)) as target:
        target.migrate()
        county = History(target)
        county.begin()
        county.run(Step(dict.fromkeys(range(1, 6), "Prosser"), {11: 1, 12: 2}, full=True), 0)
        county.run(Step({3: None}), 1)
        before = county.look()
        wrong = county.run(Step({1: "Finley", 3: "Pasco", 6: "Pasco"}, {12: 1, 13: 6}, gone=(4,)), 2)
        assert county.look() != before
    yield name, county, wrong, before
    postgres.drop(name)


def look(target: Target, fips: str) -> Snapshot:
    with PostgresTarget.from_url(target.url) as opened:
        return History(opened, fips=fips).look()


def start(target: Target, county: History, wrong: str, folder: Path) -> Run:
    name = f"county_{county.fips}"
    (folder / f"{name}.yaml").write_text(
        f'fips: "{county.fips}"\ntimezone: America/Los_Angeles\nsync: {{entities: [property, owner]}}\n'
        "history: {enabled: true}\n"
    )
    words = ["airflow_provider_pacs.cli", "rollback", name, wrong, "--apply", "--by", "ann"]
    environment = {**os.environ, "AIRFLOW__PACS__COUNTIES_PATH": str(folder), "PACS_TARGET_URL": target.url}
    return Run(words, environment, folder)


@pytest.mark.parametrize(("table", "is_done"), MOMENTS)
def test_a_killed_rollback_leaves_one_of_two_states(
    postgres: Postgres,
    mistaken: tuple[str, History, str, Snapshot],
    tmp_path: Path,
    table: str,
    is_done: bool,
) -> None:
    """Case 104: kill -9; the rows, the journal and the hold are those of before or those of after."""
    name, county, wrong, before = mistaken
    target = Target(postgres, postgres.create(name))
    published, stages = look(target, county.fips), target.stages()
    with target.locked(f"LOCK TABLE {table} IN SHARE MODE"), start(target, county, wrong, tmp_path) as run:
        until(f"the rollback waits for {table}", lambda: target.waits_in(table), alive=run)
        run.signal(signal.SIGKILL)
        run.wait()
    until("the target has let the transaction go", target.is_left_alone)
    assert look(target, county.fips) == (before if is_done else published)
    assert target.rows("SELECT count(*) FROM pacs_ops.county_hold") == [(int(is_done),)]
    with start(target, county, wrong, tmp_path) as again:
        assert again.wait() == 0, again.output()
        assert "rolled_back" in again.out
    assert look(target, county.fips) == before
    assert {state for _, _, state in target.certificates(county.fips)} == {"rolled_back"}
    assert target.rows("SELECT state FROM pacs_ops.sync_run WHERE run_id = %s", wrong) == [("rolled_back",)]
    assert target.rows("SELECT count(*) FROM pacs_ops.county_hold WHERE resumed_at IS NULL") == [(1,)]
    assert target.stages() == stages, "the rollbacks leave no staging table"
    postgres.drop(target.database)
