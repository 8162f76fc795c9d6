"""When a county is reported: what is due, what is handled already, what waits; without Airflow and databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_pacs.sync.config.hours import DAYS, BusinessHours
from airflow_provider_pacs.sync.incremental.strategy import PolledTable
from airflow_provider_pacs.sync.polling import Followed, Polled, PolledEntity, PollPlan, positions
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.triggers.changes import ChangeWatch

PLAN = PollPlan((PolledEntity("property", "rowversion", PolledTable("dbo", "Property")),), {}, 60)
START = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)


@dataclass
class World:
    """A source whose position a test sets, a store, and a clock that only `sleep` moves."""

    position: str = "1"
    now_: datetime = START
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[Polled] = field(default_factory=list)
    events: dict[float, Callable[[], None]] = field(default_factory=dict)
    error: Exception | None = None
    after_row: Callable[[], None] | None = None
    asked: list[float] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    state_reads: int = 0

    def now(self) -> datetime:
        return self.now_

    @property
    def elapsed(self) -> float:
        return (self.now_ - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.now_ += timedelta(seconds=seconds)
        for at in [at for at in self.events if at <= self.elapsed]:
            self.events.pop(at)()
        await asyncio.sleep(0)

    # The source

    async def open(self) -> World:
        self.opened += 1
        return self

    async def row(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...]:
        self.asked.append(self.elapsed)
        if self.error is not None:
            raise self.error
        answer = (self.position, "0") if "MIN_ACTIVE_ROWVERSION" in sql else (1,)
        if self.after_row is not None:
            self.after_row()
        return answer

    async def close(self) -> None:
        self.closed += 1

    # The store

    async def read(self, key: str) -> dict[str, Any] | None:
        self.state_reads += 1
        return self.documents.get(key)

    async def write(self, key: str, document: dict[str, Any]) -> None:
        note = Polled.from_json(document)
        assert note is not None
        self.notes.append(note)
        self.documents[key] = document

    def handle(self, position: str | None = None, lease: float | None = None) -> None:
        """As a task would: it has published what the position stands for."""
        text = self.position if position is None else position
        lease_until = None if lease is None else self.now_ + timedelta(seconds=lease)
        known = dict.fromkeys(positions(PLAN), "0") | {"rowversion:property": text}
        self.documents["followed"] = Followed(PLAN, known, self.now_, self.now_, lease_until).as_json()

    def changes(self, hours: str | None = None) -> ChangeWatch:
        return ChangeWatch(
            "benton_wa",
            self.open,
            self,
            BusinessHours(hours, DAYS, "America/Los_Angeles"),
            5,
            now=self.now,
            sleep=self.sleep,
            uniform=lambda low, high: (low + high) / 2,
        )

    def reports(self, seconds: float, hours: str | None = None) -> list[float]:
        """When the county is reported within so many seconds."""
        return [at for at, _ in self.reported(seconds, hours)]

    def reported(self, seconds: float, hours: str | None = None) -> list[tuple[float, dict[str, Any]]]:
        shown: list[tuple[float, dict[str, Any]]] = []

        async def listen() -> None:
            async for report in self.changes(hours).reports():
                shown.append((self.elapsed, report))

        async def until() -> None:
            task = asyncio.create_task(listen())
            while self.elapsed < seconds and not task.done():
                await asyncio.sleep(0)
            if task.done():
                task.result()
            task.cancel()

        asyncio.run(until())
        return shown


@pytest.fixture
def world() -> World:
    return World()


def test_a_county_that_nobody_has_followed_is_reported_at_once(world: World) -> None:
    ((at, report),) = world.reported(30)
    assert at < 6
    assert report == {"county": "benton_wa", "moved": ["first"], "seen_at": report["seen_at"]}
    assert world.notes[-1].state == "starting"


def test_a_handled_position_is_not_reported(world: World) -> None:
    world.handle()
    assert world.reports(600) == []
    assert world.notes[-1].state == "live"
    assert world.notes[-1].moved_at is None
    assert world.state_reads < 15, "the task's word is read once a minute, not with every poll"
    assert len(world.notes) < 15


def test_a_change_is_reported_within_a_poll_and_names_no_row(world: World) -> None:
    world.handle()
    world.events[60] = lambda: setattr(world, "position", "2")
    ((at, report),) = world.reported(100)
    assert 60 <= at <= 66
    assert report["moved"] == ["rowversion:property"]
    assert "2" not in report["moved"]
    assert world.notes[-1].moved_at is not None


def test_a_report_that_nobody_acts_on_comes_again_each_time_later(world: World) -> None:
    """An event may be lost between the triggerer and the scheduler, and a task may be killed at once."""
    world.handle(position="0")
    first, *others = world.reports(3600)
    assert first < 10
    gaps = [later - earlier for earlier, later in pairwise([first, *others])]
    assert 55 <= gaps[0] <= 75
    assert gaps == sorted(gaps)
    assert max(gaps) <= 620


def test_a_restarted_triggerer_reports_what_was_not_handled(world: World) -> None:
    world.handle(position="0")
    assert len(world.reports(20)) == 1
    world.now_ = START
    assert len(world.reports(20)) == 1, "another watch knows only what the task has stored"


def test_a_county_that_a_task_follows_is_left_to_it(world: World) -> None:
    world.handle(position="0", lease=60)
    polls = len(world.asked)
    assert [at > 60 for at in world.reports(70)] == [True], "its lease ended without the position"
    assert all(at >= 60 for at in world.asked[polls:]), "the task polls, so this side need not"


def test_a_change_that_the_task_handles_meanwhile_is_not_reported(world: World) -> None:
    world.handle()
    world.position = "2"
    world.after_row = world.handle  # between our reading of its word and the report
    assert world.reports(50) == []


def test_a_source_that_is_away_is_asked_ever_later_and_comes_back_by_itself(world: World) -> None:
    world.handle()
    world.error = RetryableError("the line is down")
    world.events[600] = lambda: setattr(world, "error", None)
    world.events[601] = lambda: setattr(world, "position", "2")
    at, *_ = world.reports(700)
    assert 601 <= at <= 670
    away = [moment for moment in world.asked if moment < 600]
    gaps = [later - earlier for earlier, later in pairwise(away)]
    assert len(away) < 25
    assert gaps[0] < 3
    assert max(gaps) <= 60
    assert {note.state for note in world.notes} == {"live", "away"}
    assert world.notes[-1].state == "live"
    assert world.opened > 1, "a connection whose settings were corrected is read again"


def test_a_refused_login_is_not_tried_every_few_seconds(world: World) -> None:
    """The server would lock it."""
    world.handle()
    world.error = ConfigError("Login failed", code="PACS-002")
    assert world.reports(3600) == []
    assert len(world.asked) < 12
    assert (world.notes[-1].state, world.notes[-1].message) == ("refused", "Login failed")


def test_nothing_ends_the_watch_but_airflow(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A watcher's trigger that ends is never started again."""
    world.handle()
    world.error = ValueError("a secret of a driver")
    world.events[100] = lambda: (setattr(world, "error", None), setattr(world, "position", "2"))  # type: ignore[func-returns-value]
    assert len(world.reports(150)) == 1
    assert "a secret" not in caplog.text, "only where it happened is logged"
    assert any(note.message.startswith("the poll failed: ValueError") for note in world.notes)


def test_outside_business_hours_no_connection_is_held(world: World) -> None:
    world.handle()
    world.position = "2"
    world.now_ = START  # 10:00 in the county
    assert world.reports(7200 + 30, hours="12:00-18:00") == [pytest.approx(7200, abs=70)]
    assert all(at >= 7200 for at in world.asked)
    assert world.notes[0].state == "closed"


def test_what_somebody_wrote_into_the_store_is_not_executed(world: World) -> None:
    """The store can be written by whoever may write Airflow's assets: names are quoted, types are checked."""
    world.handle()
    table = world.documents["followed"]["plan"]["entities"][0]
    table["strategy"] = "last_modified"
    table["table"] |= {"column": "x", "change_type": "datetime)) FROM t; DROP TABLE t; --"}
    with pytest.raises(ConfigError, match="can't be used"):
        Followed.from_json(world.documents["followed"])
    (_, report), *_ = world.reported(20)
    assert report["moved"] == ["first"], "a task makes the plan anew"


@pytest.mark.parametrize("away", [True, False])
def test_delays_are_drawn_at_random_and_bounded(world: World, away: bool) -> None:
    drawn: list[tuple[float, float]] = []
    changes = world.changes()
    changes._uniform = lambda low, high: drawn.append((low, high)) or high  # type: ignore[func-returns-value,return-value]
    delays = [changes.delay(n, away=away) for n in range(1, 2000)]
    assert delays == sorted(delays)
    assert max(delays) == (60 if away else 900)
    assert all(low == high / 2 for low, high in drawn)
