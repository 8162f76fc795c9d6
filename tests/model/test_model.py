"""The engine against a model of the source: whatever happens, a certificate that is issued is true.

What is excused, each with its reason (nothing else is):

- A change whose stamp lies before the next window (`unseen`): stamps are what a window reads by, so an update
  that moves no stamp, or commits later than the overlap, shows in the next full read. Only a row that is
  published and not in quarantine can be unseen: keys are counted, and quarantine is read again, in every run.
- A row stamped after the run's bound, or written after the run read it (`newer`): the next run's.
- Drift where a row was written between the run's read and its certificate: the certificate need not know that
  somebody wrote there since, and the word is the safe one.
- Coverage `keys` (backfill, approval) speaks of its own rows only.
- A published child whose parent was deleted stays (case 114), and waits in quarantine too: a certificate counts
  it once, a reconcile as waiting, any other as equal.
- Quarantined and waiting rows outside a window are counted together in the term `quarantined`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from airflow_provider_pacs.sync.quality import model as quality_model
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, publisher
from tests.model.faults import CachedCatalog, Fault, failing_cursor
from tests.model.machine import GUARD, CountyMachine, Figures
from tests.model.oracle import look
from tests.model.source_model import ENTITIES
from tests.support.county import County, Pacs, counted_rules, county_config, empty

STEPS = 80
FLOOR = 4
"""Bad rows, or children that begin to wait, that block an entity: tables here have a dozen rows."""


@pytest.fixture
def machine(
    pacs_engine: Pacs, pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], type[CountyMachine]]:
    """A machine over the shared ends, with the figures of this test."""
    validation = import_module("airflow_provider_pacs.sync.steps.validate")
    monkeypatch.setattr(validation, "validate_stage", counted_rules)
    monkeypatch.setattr(import_module("airflow_provider_pacs.sync.steps.run"), "warm_up", lambda: None)
    monkeypatch.setattr(import_module("airflow_provider_pacs.sync.steps.preconditions"), "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(quality_model, "BLOCK_FLOOR", FLOOR)
    monkeypatch.setattr(publisher, "ORPHAN_FLOOR", FLOOR)
    fault, kept = Fault(), {}

    def county() -> County:
        pacs_engine.end_sessions()
        empty(pacs_engine)
        target = PostgresTarget.from_url(pg_url)
        target.connection.execute("SET synchronous_commit = off")
        target.connection.cursor_factory = failing_cursor(target.connection.cursor_factory, fault)
        config = county_config(
            ENTITIES,
            sync={"clock_offset_minutes": 0},
            delete_guard={"max_rows": GUARD, "max_percent": 0.0},
        )
        made = County(pacs_engine, pacs_engine.clock, target, pg_url, config)
        made.source.before_query = made.source.before_stream = fault.statement
        monkeypatch.setattr(made.source._inner, "query", CachedCatalog(made.source._inner.query, kept))
        return made

    def make() -> type[CountyMachine]:
        return type(
            "Machine",
            (CountyMachine,),
            {"make_county": staticmethod(county), "fault": fault, "figures": Figures()},
        )

    return make


def _run(machine: type[CountyMachine], examples: int, **profile: Any) -> Figures:
    phases = (Phase.generate, Phase.shrink) if os.environ.get("PACS_MODEL_SHRINK") else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=phases,
            verbosity=Verbosity(os.environ.get("PACS_MODEL_VERBOSITY", "normal")),
            suppress_health_check=list(HealthCheck),
            **profile,
        ),
    )
    return machine.figures


def test_a_mapping_that_changes_after_the_plan_is_the_next_runs(
    machine: Callable[[], type[CountyMachine]],
) -> None:
    """The run goes by its stored plan and says so; the run after it publishes by the new file."""
    state = machine()()
    state.begin_with(rows=5)
    state.plan(kind="full", back=1)
    state.configure(what="mapping")
    state.stage()
    state.finish()
    assert {row["city"] for row in look(state.county, "property").live.values()} == {"Prosser"}
    state.run_through(kind="sync")
    assert {row["city"] for row in look(state.county, "property").live.values()} == {"WA"}
    state.teardown()


@pytest.mark.timeout(900)
def test_two_thousand_steps(machine: Callable[[], type[CountyMachine]]) -> None:
    """Always the same steps, so that a failure is somebody's change."""
    figures = _run(machine(), 48, derandomize=True)
    print(figures)
    assert figures.rules >= 2_000
    assert figures.crashes > 10


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_fifty_thousand_steps(
    machine: Callable[[], type[CountyMachine]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Other steps every time; the seed is printed, and PACS_MODEL_SEED repeats it."""
    number = int(os.environ.get("PACS_MODEL_SEED", 0)) or secrets.randbelow(2**32)
    steps = int(os.environ.get("PACS_MODEL_STEPS", 50_000))
    made = machine()
    with capsys.disabled():
        print(f"\nseed {number}")
        seed(number)(made)
        figures = _run(made, -(-steps // (STEPS - 25)))
        print(figures)
    assert figures.rules >= steps * 0.9
