"""The simulation of an assessor's office for the strategies that read a feed: hours of edits, late commits and
crashes, and an administrator who cleans up, stops jobs and switches journals off meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from importlib import import_module

import pytest

from airflow_provider_pacs.sync.runtime.errors import RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.integration.conftest import CountyMaker
from tests.integration.test_simulation import (
    EVERY,
    THE_HOUR_REPEATS,
    Office,
    poll_with_crashes,
    truth_of,
)
from tests.support.county import County, county_config, new_engine
from tests.support.feeds import INSTANCE, capture, drop_capture, start_capturing
from tests.support.harris import HarrisCounty, HarrisPacs
from tests.support.pacs import Writer
from tests.support.server import only_the_sandbox

NEXT_RUN = import_module("airflow_provider_pacs.sync.steps.next_run")
STANDS_STILL = "PACS-009"
CAPTURE_POLLS, HARRIS_POLLS = 18, 10
SEEDS = range(8)


class Administrator:
    """Whoever runs SQL Server: changes are cleaned up, the capture job lags or stops, an instance is replaced."""

    def __init__(self, county: County, chance: random.Random) -> None:
        self._county, self._random, self._instances = county, chance, [INSTANCE]

    def work(self, poll: int) -> None:
        """What they do between two runs."""
        if self._random.random() < 0.25:
            self._county.pacs(f"EXEC sandbox.cdc_lag @seconds = {self._random.choice([0, 0, 20, 90])}")
        if self._random.random() < 0.2:
            self._county.pacs(f"EXEC sandbox.cdc_cleanup @minutes = {self._random.choice([5, 25, 60])}")
        if self._random.random() < 0.15:
            self._county.pacs("EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
        elif self._random.random() < 0.8:
            self._county.pacs("EXEC sys.sp_cdc_start_job @job_type = N'capture'")
        if self._random.random() < 0.1:
            self._replace(f"{INSTANCE}_{poll}")

    def finish(self) -> None:
        """All jobs run, and nothing lags."""
        self._county.pacs("EXEC sandbox.cdc_lag @seconds = 0")
        self._county.pacs("EXEC sys.sp_cdc_start_job @job_type = N'capture'")

    def _replace(self, name: str) -> None:
        """A second instance appears; the older one goes some time later."""
        if len(self._instances) == 2:
            drop_capture(self._county, self._instances.pop(0))
        else:
            capture(self._county, instance=name)
            self._instances.append(name)


def simulate_capture(county: County, seed: int, polls: int = CAPTURE_POLLS) -> dict[str, int]:
    """Three hours by CDC; returns what is missing, stale and extra before a reconcile, and whether both
    certificates at the end are clean.
    """
    chance = random.Random(seed)
    county.clock.set_utc(THE_HOUR_REPEATS - timedelta(minutes=min(polls * EVERY / 2, polls * EVERY - 75)))
    county.add("property", *range(200), at="2026-10-30 12:00:00.000")
    start_capturing(county)
    county.sync()
    office, administrator = Office(county, chance), Administrator(county, chance)
    refused = 0
    for poll in range(polls):
        office.work(poll)
        administrator.work(poll)
        try:
            poll_with_crashes(county, chance)
        except RetryableError as error:
            if error.code != STANDS_STILL:
                raise
            refused += 1
    office.finish()
    administrator.finish()
    county.clock.step(minutes=2)
    county.sync()
    truth = truth_of(county)
    ours = {key: (row["city"], row["is_active"]) for key, row in county.rows("property").items()}
    published, certificate = county.sync()
    assert county.plan_of(published.run_id, "property").strategy == "cdc"
    compared = county.sql(
        "SELECT count(*) AS n FROM pacs_ops.run_entity JOIN pacs_ops.sync_run USING (run_id) "
        "WHERE county_id = %s AND mode = 'full'",
        county.fips,
    )[0]["n"]
    clean = certificate.clean and county.reconcile().clean
    return {
        "rows": len(truth),
        "missing": len(set(truth) - set(ours)),
        "stale": sum(ours[key] != row for key, row in truth.items() if key in ours),
        "ghosts": len(set(ours) - set(truth)),
        "clean": int(clean),
        "refused": refused,
        "compared": compared,
    }


def check(counted: dict[str, int]) -> None:
    assert {name: counted[name] for name in ("missing", "stale", "ghosts", "clean")} == {
        "missing": 0,
        "stale": 0,
        "ghosts": 0,
        "clean": 1,
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_eight_offices_lose_nothing_by_cdc(
    make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Cases 95, 96, 97, 98, 100, 101, 102: eight seeds, the autumn hour among them."""
    only_the_sandbox("sp_cdc_enable_db needs sysadmin")
    county = make_county(engine=new_engine())
    monkeypatch.setattr(NEXT_RUN, "CATCH_UP_SECONDS", 1.5)
    monkeypatch.setattr(NEXT_RUN.time, "sleep", lambda seconds: county.clock.step(seconds=5))
    counted = simulate_capture(county, seed)
    print("cdc", seed, counted)
    check(counted)


class Assessors:
    """A county's people in PACS 9.0, with its journal now and then switched off for a machine or a table."""

    def __init__(self, county: HarrisCounty, chance: random.Random) -> None:
        self._county, self._random = county, chance
        self._known = county.plain(60)
        self._late: list[tuple[int, Writer]] = []
        self._off: list[str] = []

    def work(self, poll: int) -> None:
        """Ten minutes."""
        county = self._county
        for _ in range(EVERY // 2):
            county.clock.step(minutes=2)
            self._commit(poll)
            county.pacs(self._edit(self._random.choice(self._known)))
        if self._random.random() < 0.5:
            writer = county.writer()
            writer.begin()
            writer.execute(self._edit(self._known.pop()))  # nobody else's: no lock is waited for here
            self._late.append((poll + self._random.choice([1, 2]), writer))
        if self._random.random() < 0.3:
            self._supplement(poll)
        if self._random.random() < 0.3:
            self._switch()

    def finish(self) -> None:
        """Everybody goes home, every journal is on."""
        self._commit(10_000)
        self._county.pacs("; ".join([*self._off, "DELETE FROM chg_log_user"]))

    def _edit(self, key: int) -> str:
        layer = f"prop_id = {key} AND prop_val_yr = 2026 AND sup_num = 0"
        acres, number = self._random.randint(1, 999), self._random.randint(1, 9999)
        return self._random.choice(
            [
                f"UPDATE dbo.property_val SET legal_acreage = {acres} WHERE {layer}",
                f"UPDATE dbo.situs SET situs_num = '{number}' WHERE prop_id = {key}",
                f"UPDATE dbo.property SET geo_id = 'G-{number}' WHERE prop_id = {key}",
                f"UPDATE dbo.imprv SET actual_year_built = {1900 + acres % 120} WHERE {layer}",
                f"DELETE FROM dbo.imprv WHERE {layer} AND imprv_id % 7 = {number % 7}",
            ]
        )

    def _supplement(self, poll: int) -> None:
        """As PACS makes it: with the journal off, and on again before the next run."""
        key = self._known.pop()
        self._county.pacs("EXEC SetMachineLogChanges 0")
        self._county.supplement(key, 2026, poll + 1, group=700 + poll, legal_acreage=poll + 0.5)
        self._county.pacs("EXEC SetMachineLogChanges 1")

    def _switch(self) -> None:
        if self._off:
            self._county.pacs(self._off.pop())
            return
        table = self._random.choice(["property_val", "imprv"])
        self._county.pacs(f"INSERT INTO pacs_trigger_enable VALUES ('{table}', 0)")
        self._off.append(f"DELETE FROM pacs_trigger_enable WHERE szTableName = '{table}'")

    def _commit(self, poll: int) -> None:
        for due, writer in list(self._late):
            if due <= poll:
                writer.commit()
                self._late.remove((due, writer))


@pytest.fixture(scope="module")
def pacs() -> Iterator[HarrisPacs]:
    only_the_sandbox("the generated PACS 9.0 county is made inside the sandbox's engine")
    engine = HarrisPacs()
    engine.writer().execute("EXEC sandbox.change_log @on = 1")
    yield engine
    engine.close()


def content(county: HarrisCounty) -> dict[str, dict[str, object]]:
    """The live rows of every entity by source key, without the keys that are the county's own."""
    return {
        entity: {
            key: {
                name: value
                for name, value in row.items()
                if not name.startswith("_") and not name.endswith("_id")
            }
            for key, row in county.keyed(entity).items()
        }
        for entity in county.config.sync.entities
    }


def simulate_journal(county: HarrisCounty, other: HarrisCounty, chance: random.Random) -> dict[str, int]:
    """Hours of a county that is read by its journal, laid beside another that is read whole at the end."""
    if chance.random() < 0.5:
        county.source.denied = ("dm_tran_database_transactions",)
    county.sync()
    assessors = Assessors(county, chance)
    for poll in range(HARRIS_POLLS):
        assessors.work(poll)
        with suppress(RetryableError):
            poll_with_crashes(county, chance)
    assessors.finish()
    county.clock.step(minutes=2)
    _, certificate = county.sync()
    other.sync()
    mine, truth = content(county), content(other)
    keys = [(entity, key) for entity, rows in truth.items() for key in rows]
    return {
        "rows": len(keys),
        "missing": sum(key not in mine[entity] for entity, key in keys),
        "stale": sum(
            mine[entity].get(key, row) != row for entity, key in keys for row in [truth[entity][key]]
        ),
        "ghosts": sum(len(mine[entity].keys() - truth[entity].keys()) for entity in truth),
        "clean": int(certificate.clean and county.reconcile().clean),
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_eight_offices_lose_nothing_by_the_journal(
    pacs: HarrisPacs, pg_url: str, quick_rules: None, seed: int
) -> None:
    """PACS's own journal: late numbers, supplements behind its back, switches; compared with a county that was
    read whole.
    """
    chance = random.Random(seed)
    entities = ("property", "structure")
    tables = {entity: {"mode": "change_log"} for entity in entities}

    def opened(target: PostgresTarget, **sections: object) -> HarrisCounty:
        config = county_config(entities, source={"profile": "harris_pacs_9"}, **sections)
        return HarrisCounty(pacs, pacs.clock, target, pg_url, config)  # type: ignore[arg-type]

    with PostgresTarget.from_url(pg_url) as key, PostgresTarget.from_url(pg_url) as two:
        county = opened(key, tables=tables, delete_guard={"max_percent": 100.0})
        counted = simulate_journal(county, opened(two), chance)
        print("change_log", seed, counted)
        check(counted)
        assert {county.state(entity).strategy for entity in entities} == {"change_log"}
    pacs.end_sessions()
