"""A county that is followed: which changes move its position, and that a position is kept only with its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.polling import Followed, moved, poll_query, read_position
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError, RetryableError
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County, Pacs

REALTIME = {"enabled": True, "poll_seconds": 5, "linger_seconds": 60}


@dataclass
class Ticks:
    """A clock that only `sleep` moves; what happens at which second of it."""

    moment: datetime = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)
    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.moment

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        due = [at for at in self.events if self.elapsed >= at]
        for at in due:
            self.events.pop(at)()

    @property
    def elapsed(self) -> float:
        return (self.moment - self.began).total_seconds()


@dataclass
class Kept:
    """Where a task's `Followed` is kept in a test; `history` is every document."""

    history: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> dict[str, Any] | None:
        return self.history[-1] if self.history else None

    def write(self, document: dict[str, Any]) -> None:
        self.history.append(document)

    @property
    def followed(self) -> Followed:
        return Followed.from_json(self.history[-1])


def follow(county: County, kept: Kept, ticks: Ticks | None = None) -> steps.FollowOutcome:
    ticks = ticks or Ticks()
    return steps.follow(
        county.config, county.source, county.target, kept, trigger="test", now=ticks.now, sleep=ticks.sleep
    )


@pytest.fixture
def versioned(make_county: CountyMaker, versioned_engine: Pacs) -> County:
    """A followed county whose table has a rowversion column, with two published properties."""
    county = make_county(engine=versioned_engine, keep_engine=True, sections={"realtime": REALTIME})
    county.add("property", 1, 2)
    county.sync()
    return county


def position(county: County) -> dict[str, str]:
    plan = steps.poll_plan(county.config, county.source)
    (row,) = county.source.query(poll_query(plan).sql)
    return read_position(plan, list(row.values()))


def test_a_change_moves_the_position_and_nothing_else_does(versioned: County) -> None:
    before = position(versioned)
    assert moved(before, position(versioned)) == ()
    versioned.change("property", 1, at=None, City="Kennewick")
    assert moved(before, position(versioned)) == ("rowversion:property",)


def test_an_open_writer_moves_the_position_when_it_ends(versioned: County) -> None:
    """Case 6: what is not committed can't be read, and the position says so."""
    before = position(versioned)
    writer = versioned.writer()
    writer.begin()
    writer.execute(versioned.change_statement("property", 1, at=None, City="Kennewick"))
    assert moved(before, position(versioned)) == ()
    writer.commit()
    assert moved(before, position(versioned)) == ("rowversion:property",)


def test_a_burst_is_synchronised_while_the_task_lingers(versioned: County) -> None:
    kept, ticks = Kept(), Ticks()

    def change(city: str) -> Callable[[], None]:
        return lambda: versioned.change("property", 1, at=None, City=city)

    seen: list[str] = []
    ticks.events = {
        10: change("Benton City"),
        12: lambda: seen.append(versioned.row("property", 1)["city"]),
        50: change("Richland"),
        52: lambda: seen.append(versioned.row("property", 1)["city"]),
    }
    outcome = follow(versioned, kept, ticks)
    assert seen == ["Benton City", "Richland"]
    assert (outcome.runs, outcome.busy) == (3, False)
    assert 110 <= ticks.elapsed < 120, "it lingers from the last run on"
    assert kept.followed.position == position(versioned)
    assert kept.followed.lease_until is None, "whoever ends gives the county back"


def test_a_position_is_kept_only_with_its_rows(versioned: County) -> None:
    """A task that is killed, or whose run fails, leaves the old position: the trigger starts another."""
    kept = Kept()
    follow(versioned, kept)
    old = kept.followed.position
    versioned.change("property", 1, at=None, City="Kennewick")
    versioned.source.before_stream = lambda sql: (_ for _ in ()).throw(RetryableError("the line is down"))
    with pytest.raises(RetryableError, match="the line is down"):
        follow(versioned, kept)
    versioned.source.before_stream = None
    assert kept.followed.position == old
    follow(versioned, kept)
    assert kept.followed.position == position(versioned) != old
    assert versioned.row("property", 1)["city"] == "Kennewick"


def test_a_change_during_a_run_is_the_next_runs(versioned: County) -> None:
    """The position is read before the plan: what comes while a run reads moves it again."""
    kept = Kept()

    def meanwhile(sql: str) -> None:
        versioned.source.before_stream = None
        versioned.change("property", 2, at=None, City="Late")

    versioned.source.before_stream = meanwhile
    outcome = follow(versioned, kept)
    assert outcome.runs == 2
    assert versioned.row("property", 2)["city"] == "Late"


def test_a_stamp_moves_the_position_when_a_run_can_read_it(make_county: CountyMaker) -> None:
    """With LastModified alone a run's bound stays behind the clock: so does the position."""
    county = make_county(sections={"realtime": REALTIME})
    county.add("property", 1)
    county.add("property", 2, at=county.stamp(hours=1))
    county.sync()
    before = position(county)
    county.change("property", 1, City="Kennewick")
    assert moved(before, position(county)) == ()
    county.clock.step(seconds=61)
    assert moved(before, position(county)) == ("last_modified:property",)
    follow(county, Kept())
    assert county.row("property", 1)["city"] == "Kennewick"


def test_a_stamp_years_ahead_hides_no_change(make_county: CountyMaker) -> None:
    county = make_county(sections={"realtime": REALTIME})
    county.add("property", 1)
    county.add("property", 2, at=county.stamp(hours=1))
    county.add("property", 3, at="2099-01-01 00:00:00")
    before = position(county)
    county.change("property", 1, City="Kennewick")
    county.clock.step(seconds=61)
    assert moved(before, position(county)) == ("last_modified:property",)


def test_what_no_poll_can_see_is_swept(versioned: County) -> None:
    before = position(versioned)
    versioned.clock.step(minutes=versioned.config.realtime.sweep_minutes)
    assert moved(before, position(versioned)) == ("sweep",)


def test_an_entity_that_is_read_whole_is_left_out_and_named(make_county: CountyMaker) -> None:
    county = make_county(ENTITIES, sections={"realtime": REALTIME, "tables": {"owner": {"mode": "compare"}}})
    county.add("property", 1)
    county.add("owner", 1)
    kept = Kept()
    follow(county, kept)
    assert set(kept.followed.plan.left_out) == {"owner"}
    assert len(county.rows("property")) == 1
    assert county.rows("owner") == {}
    county.sync()
    assert len(county.rows("owner")) == 1


def test_a_county_without_any_feed_is_refused_with_what_to_do(make_county: CountyMaker) -> None:
    county = make_county(sections={"realtime": REALTIME, "tables": {"property": {"mode": "compare"}}})
    with pytest.raises(ConfigError, match="no entity can be followed: property") as refusal:
        follow(county, Kept())
    assert "pacs check" in refusal.value.remedy


def test_a_county_on_hold_is_not_followed(versioned: County) -> None:
    kept = Kept()
    steps.hold(versioned.config, versioned.target, reason="new year layer", actor="ada")
    with pytest.raises(ConflictError, match="on hold"):
        follow(versioned, kept)
    assert kept.followed.position is None
    steps.resume(versioned.config, versioned.target, actor="ada")
    assert follow(versioned, kept).runs == 1


def test_another_run_at_work_is_let_finish(versioned: County) -> None:
    """The nightly run is at work: nothing of it is disturbed, and the position stays for later."""
    kept = Kept()
    run_id = versioned.stage()
    outcome = follow(versioned, kept)
    assert (outcome.runs, outcome.busy) == (0, True)
    assert kept.followed.position is None
    failures = "SELECT count(*) AS n FROM pacs_ops.audit WHERE county_id = %s AND action = 'run.failed'"
    assert versioned.sql(failures, versioned.fips) == [{"n": 0}], "nobody is alarmed by a run that waits"
    versioned.publish(run_id)
    assert versioned.certify(run_id).clean


def test_lingering_ends_with_business_hours(make_county: CountyMaker, versioned_engine: Pacs) -> None:
    hours = {**REALTIME, "linger_seconds": 600, "hours": "07:00-10:01"}
    county = make_county(engine=versioned_engine, keep_engine=True, sections={"realtime": hours})
    ticks = Ticks()  # 10:00 in the county
    follow(county, Kept(), ticks)
    assert 60 <= ticks.elapsed < 70


def test_rules_are_evaluated_by_their_predicates(versioned: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same definitions as in a scheduled run, without the start of Great Expectations."""
    from importlib import import_module

    def refused(*_: object) -> None:
        raise AssertionError("Great Expectations was asked")

    monkeypatch.setattr(import_module("airflow_provider_pacs.sync.steps.validate"), "validate_stage", refused)
    versioned.change("property", 1, at=None, ParcelNumber="")
    follow(versioned, Kept())
    results = versioned.sql(
        "SELECT rule_id, unexpected FROM pacs_ops.quality_result AS q JOIN pacs_ops.sync_run AS r USING (run_id) "
        "WHERE r.county_id = %s AND r.kind = 'realtime' AND NOT q.success",
        versioned.fips,
    )
    assert any(row["unexpected"] == 1 for row in results)


def findings(county: County) -> dict[str, Any]:
    from airflow_provider_pacs.sync.preflight import examine

    report = examine(county.config, county.source, county.target)
    return {each.id: each for each in report.findings if each.id.startswith("realtime")}


def test_a_check_says_what_has_to_be_switched_on(make_county: CountyMaker) -> None:
    county = make_county(ENTITIES, sections={"realtime": REALTIME, "tables": {"owner": {"mode": "compare"}}})
    shown = findings(county)
    assert {name: each.state for name, each in shown.items()} == {
        "realtime.property": "ok",
        "realtime.owner": "warn",
        "realtime.value": "ok",
        "realtime.structure": "ok",
    }
    assert "--change-tracking" in shown["realtime.owner"].remedy
    assert "60 s after its stamp" in shown["realtime.property"].text
    assert "CREATE INDEX [IX_LastModified] ON [dbo].[Property]" in shown["realtime.property"].remedy


def test_a_check_of_a_county_that_is_not_followed_says_nothing_of_it(county: County) -> None:
    assert findings(county) == {}


def test_a_table_with_a_rowversion_needs_nothing(versioned: County) -> None:
    (shown,) = findings(versioned).values()
    assert (shown.state, shown.remedy) == ("ok", "")
