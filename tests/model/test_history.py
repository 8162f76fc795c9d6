"""Any sequence of runs and rollbacks: what a rollback leaves is what was there before, to the byte; and what
`as_of` tells of any moment is the copy of the tables that was kept aside then.

Runs come by the target's ports, without a source, so that hypothesis can afford many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.records import DeleteBounds, RunOutcome, RunPlan
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.conformance.county import OWNER, PROPERTY, WAITING, StagedCounty, key, row
from tests.integration.conftest import pg_server as pg_server
from tests.integration.conftest import pg_url as pg_url

ENTITIES = ("property", "owner")
JOURNAL = {
    "cursors": "SELECT to_jsonb(s) FROM pacs_ops.sync_state AS s WHERE county_id = %s",
    "quarantine": "SELECT to_jsonb(s) FROM pacs_ops.quarantine AS s WHERE county_id = %s AND state = 'open'",
    "pending": "SELECT to_jsonb(s) FROM pacs_ops.pending_delete AS s WHERE county_id = %s AND state = 'pending'",
    "source": "SELECT source_identity FROM pacs_ops.county WHERE county_id = %s",
}
Snapshot = dict[str, list[Any]]
CITIES = st.sampled_from(["Prosser", "Finley", 'O\'Brien "x", (1)', "Ä\\n", ""])


@dataclass(frozen=True)
class Step:
    """What happens next: a run with these rows, or a rollback.

    Attributes:
        properties: number -> city; None is a bad row.
        owners: number -> number of its property.
        gone: properties that are gone at the source.
        full: the run reads everything.
        undo: 'run' the run `back` steps ago, 'onto' to the state after it, or None for a run.
    """

    properties: dict[int, str | None] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    gone: tuple[int, ...] = ()
    full: bool = False
    undo: str | None = None
    back: int = 0


NUMBERS = st.integers(1, 6)
RUNS = st.builds(
    Step,
    properties=st.dictionaries(NUMBERS, st.one_of(st.none(), CITIES, CITIES), max_size=4),
    owners=st.dictionaries(st.integers(11, 14), NUMBERS, max_size=3),
    gone=st.lists(NUMBERS, max_size=4, unique=True).map(tuple),
    full=st.booleans(),
)
ROLLBACKS = st.builds(Step, undo=st.sampled_from(["run", "run", "onto"]), back=st.integers(0, 4))


class History(StagedCounty):
    """A county with history, its runs and what it looked like after each step."""

    target: PostgresTarget

    def begin(self) -> None:
        self.bounds = DeleteBounds(2, 0.0, 0)
        self.config = CountyConfig.model_validate(
            {
                "county": f"county_{self.fips}",
                "fips": self.fips,
                "timezone": "America/Los_Angeles",
                "sync": {"entities": list(ENTITIES)},
                "history": {"enabled": True},
                "delete_guard": {"max_rows": 2, "max_percent": 0.0, "window_days": 0},
            }
        )
        self.seen: list[tuple[str, Snapshot]] = []
        self.kept: list[tuple[datetime, Snapshot]] = []

    def publish(self, plan: RunPlan, *, actor: str = "") -> RunOutcome:
        return self.target.publisher.publish(
            plan.run_id, self.bounds, {"owner": WAITING}, actor=actor, history=True
        )

    def run(self, step: Step, number: int) -> str:
        """A whole run; returns its id."""
        mode = "full" if step.full else "window"
        plan = self.plan(
            *ENTITIES, mode=mode, cursor=f"2026-01-15 05:00:{number:02d}.000", fingerprint=f"f{number}"
        )
        rows = [row(each, city, str(number)) for each, city in step.properties.items()]
        gone = [key(each) for each in step.gone if each not in step.properties]
        self.stage(plan, rows, gone=gone, rejects=[("F9.9", "s.city IS NULL")])
        owners = [(key(each), key(of), f"Owner {each}", str(number)) for each, of in step.owners.items()]
        self.stage(plan, owners, entity="owner")
        self.publish(plan)
        self.issue(plan)
        return plan.run_id

    def undo(self, run_id: str, *, onto: bool) -> str | None:
        """The rollback's run id; None where it was refused, and then nothing may have changed."""
        try:
            proposal = steps.propose_rollback(self.config, self.target, run_id=run_id, onto=onto)
            outcome, certificate = steps.rollback(
                self.config,
                self.target,
                run_id=run_id,
                onto=onto,
                digest=proposal.digest,
                actor="ann",
                trigger="test",
            )
        except ConflictError:
            return None
        assert certificate.state == "rolled_back"
        steps.resume(self.config, self.target, actor="ann")
        return outcome.run_id

    def look(self) -> Snapshot:
        connection = self.target.connection
        whole = {
            name: [value for (value,) in connection.execute(text.encode(), (self.fips,)).fetchall()]
            for name, text in JOURNAL.items()
        }
        for cursor in whole["cursors"]:
            # `pacs resume` after a rollback empties it, so that the next run reads every row.
            cursor.pop("fingerprint", None)
        for entity in ENTITIES:
            table = f"pacs_part.{load_entities()[entity].table}_{self.fips}"
            if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,):
                rows = connection.execute(f"SELECT t::text FROM {table} AS t".encode()).fetchall()
                whole[entity] = [value for (value,) in rows]
            else:
                whole[entity] = []
        return {
            name: sorted(rows, key=lambda row: json.dumps(row, default=str)) for name, rows in whole.items()
        }

    def keep(self, run_id: str) -> None:
        snapshot = self.look()
        self.seen.append((run_id, snapshot))
        (moment,) = self.target.connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
        assert moment is not None
        self.kept.append((moment, snapshot))

    def as_of(self, moment: datetime, entity: str) -> list[str]:
        name = f"pacs_report.{load_entities()[entity].table}_as_of"
        rows = self.target.connection.execute(
            f"SELECT t::text FROM {name}(%s, %s) AS t".encode(), (moment, self.fips)
        ).fetchall()
        return sorted(value for (value,) in rows)


def only(snapshot: Snapshot, entity: str) -> dict[str, str]:
    """Row by key, of a snapshot's rows as PostgreSQL writes them."""
    return {text.split(",")[1]: text for text in snapshot[entity]}


def play(county: History, sequence: list[Step]) -> dict[str, int]:
    """Carry the sequence out and check every rollback in it; returns how many did what."""
    county.begin()
    county.target.connection.execute(
        "INSERT INTO pacs_ops.county_grant VALUES (session_user, '*') ON CONFLICT DO NOTHING"
    )
    done = {"runs": 0, "undone": 0, "onto": 0, "older": 0, "refused": 0}
    county.keep(county.run(Step(dict.fromkeys(range(1, 6), "Prosser"), {11: 1, 12: 2}, full=True), 0))
    empty: Snapshot = {name: [] for name in county.seen[0][1]} | {"source": [None]}
    for number, step in enumerate(sequence, start=1):
        before = county.seen[-1][1]
        if step.undo is None:
            county.keep(county.run(step, number))
            done["runs"] += 1
            continue
        place = max(len(county.seen) - 1 - step.back, 0)
        run_id = county.seen[place][0]
        made = county.undo(run_id, onto=step.undo == "onto")
        after = county.look()
        if made is None:
            assert after == before, "a refused rollback changes nothing"
            done["refused"] += 1
            continue
        newest = place == len(county.seen) - 1
        if step.undo == "onto":
            assert after == county.seen[place][1], "the state is the one that the run left"
            done["onto"] += 1
        elif newest:
            assert after == (county.seen[place - 1][1] if place else empty), "as before the newest run"
            done["undone"] += 1
        else:
            assert_rows_of_the_run_are_as_before(county, place, before, after)
            done["older"] += 1
        county.keep(made)
    for moment, snapshot in county.kept:
        for entity in ENTITIES:
            assert county.as_of(moment, entity) == sorted(snapshot[entity]), f"{entity} as of {moment}"
    return done


def assert_rows_of_the_run_are_as_before(
    county: History, place: int, before: Snapshot, after: Snapshot
) -> None:
    """Of an older run: its rows are what they were before it, every other row stays."""
    for entity in ENTITIES:
        old = only(county.seen[place - 1][1], entity) if place else {}
        own = only(county.seen[place][1], entity)
        touched = {each for each in {*old, *own} if old.get(each) != own.get(each)}
        was, is_ = only(before, entity), only(after, entity)
        assert {each: is_.get(each) for each in touched} == {each: old.get(each) for each in touched}
        rest = {each for each in {*was, *is_} if each not in touched}
        assert {each: is_.get(each) for each in rest} == {each: was.get(each) for each in rest}


@pytest.fixture(scope="module")
def target(pg_url: str) -> Iterator[PostgresTarget]:
    with PostgresTarget.from_url(pg_url) as opened:
        opened.migrate()
        opened.connection.execute("SET synchronous_commit = off")
        yield opened


SEQUENCES = st.lists(st.one_of(RUNS, RUNS, ROLLBACKS), min_size=2, max_size=6)
LONG = st.lists(st.one_of(RUNS, RUNS, ROLLBACKS), min_size=5, max_size=20)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(
    max_examples=8,
    phases=(Phase.generate,),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=QUIET,
)
@given(sequence=SEQUENCES)
def test_rollbacks_leave_what_was_there_before(target: PostgresTarget, sequence: list[Step]) -> None:
    play(History(target), sequence)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=QUIET)
@given(sequence=LONG)
def test_rollbacks_leave_what_was_there_before_in_long_sequences(
    target: PostgresTarget, sequence: list[Step]
) -> None:
    play(History(target), sequence)


def test_a_sequence_with_everything_in_it(target: PostgresTarget) -> None:
    """What the random sequences must contain to prove anything: each kind of rollback, done and refused."""
    done = play(
        History(target),
        [
            Step({1: "Finley", 2: None, 6: "Prosser"}, {13: 6}, gone=(3,)),
            Step({4: "Finley"}),
            Step(undo="run", back=1),  # an older run: its rows were not touched since
            Step({1: "Pasco"}, {11: 2}),
            Step({2: "Prosser"}, gone=(4, 5)),
            Step(undo="run", back=1),  # refused or done by what the last run touched
            Step(gone=(1, 2, 4)),  # more than the guard allows: pending
            Step({1: "Pasco"}, gone=(2, 4, 5)),  # another set replaces it
            Step(undo="run", back=0),
            Step(undo="run", back=0),  # the rollback itself
            Step(undo="onto", back=4),
            Step({3: "Prosser", 1: None}, full=True),
            Step(undo="run", back=0),
            Step(undo="onto", back=50),
        ],
    )
    assert done["undone"] >= 3
    assert done["onto"] == 2
    assert done["older"] + done["refused"] >= 2


def test_as_of_is_the_copy_kept_aside_after_each_of_20_runs(target: PostgresTarget) -> None:
    """Issue 19: twenty runs, twenty moments; a moment before the first run shows no row."""
    sequence = [
        Step(
            {1 + number % 5: f"City {number}", 1 + number % 3: None if number % 4 == 0 else "Kahlotus"},
            {11 + number % 4: 1 + number % 5},
            gone=(1 + (number * 2) % 6,),
            full=number % 7 == 0,
        )
        for number in range(20)
    ]
    county = History(target)
    done = play(county, sequence)
    assert done["runs"] == 20
    assert len(county.kept) == 21
    changed = {json.dumps(snapshot[entity]) for _, snapshot in county.kept for entity in ENTITIES}
    assert len(changed) > 20, "the runs changed something"
    (early,) = target.connection.execute(
        "SELECT min(at) - interval '1 microsecond' FROM pacs_ops.change_set WHERE county_id = %s",
        (county.fips,),
    ).fetchone() or (None,)
    assert early is not None
    assert [county.as_of(early, entity.name) for entity in (PROPERTY, OWNER)] == [[], []]
