"""Cases of the field, section C: inputs that once made a certificate false or walked around the gate."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import KeyTotals
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError, RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.integration.conftest import CountyMaker
from tests.support.county import County, certificate_of, key, of

WINDOW_OFF = {"delete_guard": {"window_days": 0}}
PRECONDITIONS = import_module("airflow_provider_pacs.sync.steps.preconditions")


def pending_of(county: County, entity: str = "property") -> tuple[int, str]:
    """The undecided set, as a decision names it."""
    (pending,) = county.target.approvals.pending(county.fips)
    assert pending.entity == entity
    return pending.pending_id, pending.digest


def approve(county: County, sets: list[tuple[int, str]]) -> Any:
    return steps.approve(county.config, county.source, county.target, sets=sets, actor="ann", trigger="test")


def in_balance(county: County, certificate: Any) -> None:
    """Every row of both sides is in exactly one term."""
    for part in certificate.entities:
        if part.state != "blocked":
            assert (part.source_remainder, part.target_remainder) == (0, 0)


def test_a_blocked_entity_stays_blocked_in_a_reconcile(county: County) -> None:
    """Case C1: half of the rows turn bad: the sync blocks, and so does the reconcile; its certificate says so."""
    county.add("property", *range(200))
    county.sync()
    county.clock.step(hours=3)
    county.change("property", *range(100), YearBuilt=99)
    county.clock.step(minutes=5)
    assert county.sync()[1].state == "blocked"
    before = county.content()
    certificate = county.reconcile()
    assert certificate.state == "blocked"
    assert certificate.blocked == ("property",)
    assert "F4.36" in certificate_of(certificate, "property").message
    assert county.content() == before
    assert certificate.run_state == county.target.runs.run(certificate.run_id).state == "blocked"


def test_a_wrong_mapping_writes_nothing_by_any_way(county: County) -> None:
    """Case C2: a mapping that reads the wrong column blocks; the reconcile after it writes nothing either."""
    county.add("property", *range(100))
    county.sync()
    county.configure(tables={"property": {"columns": {"year_built": "Acreage"}}})
    county.pacs("UPDATE [dbo].[Property] SET [Acreage] = 12")
    before = county.content()
    assert county.sync()[1].state == "blocked"
    assert county.reconcile().state == "blocked"
    assert county.content() == before


def test_a_reconcile_of_an_empty_target_is_validated(county: County) -> None:
    """Case C3: 60 of 100 rows are bad and nothing was loaded yet: blocked, as a first sync would be."""
    county.add("property", *range(40))
    county.add("property", *range(40, 100), YearBuilt=99)
    certificate = county.reconcile()
    assert certificate.state == "blocked"
    assert county.rows("property") == {}


def test_an_approved_row_that_came_back_bad_is_quarantined(make_county: CountyMaker) -> None:
    """Case C4: a row of a pending set comes back with a bad value: it is validated like any other."""
    county = make_county()
    county.add("property", *range(200))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(100))
    assert county.reconcile().state == "pending"
    county.add("property", 5, Acreage=-77)
    (decision,) = approve(county, [pending_of(county)])
    assert (decision.deleted, decision.kept) == (99, 1)
    assert county.quarantine("property") == {key("property", 5): ["F1.5"]}
    assert county.row("property", 5)["acreage"] != -77
    certificate = county.reconcile()
    assert certificate.clean
    assert certificate_of(certificate, "property").quarantined == 1


def test_a_row_that_turned_bad_without_its_stamp_is_counted(county: County) -> None:
    """Case C5: the reconcile quarantines it, and the certificate counts it; the last good version stays."""
    county.add("property", *range(10))
    county.sync()
    county.change("property", 3, at=None, Acreage=-1)
    certificate = county.reconcile()
    part = certificate_of(certificate, "property")
    assert (part.source_rows, part.equal, part.quarantined, part.kept) == (10, 9, 1, 1)
    assert county.quarantine("property") == {key("property", 3): ["F1.5"]}
    in_balance(county, certificate)


@pytest.mark.parametrize("kind", ["reconcile", "sync"])
def test_a_corrected_row_leaves_quarantine_without_its_stamp(county: County, kind: str) -> None:
    """Case C6: a quarantined row is corrected and its stamp does not move: the next run of any kind publishes it."""
    county.add("property", *range(10))
    county.add("property", 10, Acreage=-1)
    county.sync()
    county.clock.step(hours=5)
    county.change("property", 10, at=None, Acreage=1)
    certificate = county.sync()[1] if kind == "sync" else county.reconcile()
    assert certificate.clean
    assert county.row("property", 10)["acreage"] == 1
    assert county.quarantine("property") == {}


def test_quarantine_excuses_an_image_never_a_key(county: County) -> None:
    """Case C6: between publish and certificate the quarantined row changes: the certificate does not excuse it."""
    county.add("property", *range(10))
    county.add("property", 10, Acreage=-1)
    run_id = county.stage()
    county.publish(run_id)
    county.change("property", 10, at=None, Acreage=2)
    part = certificate_of(county.certify(run_id), "property")
    assert part.quarantined == 0
    assert part.missing + part.newer == 1


def test_a_year_that_has_come_is_published(make_county: CountyMaker) -> None:
    """Case C7: a value of next year but one is set aside; when its year has come the next run publishes it."""
    county = make_county(("property", "value"))
    year = county.clock.local().year
    county.add("property", 1)
    county.add("value", 1, TaxYear=year)
    county.add("value", 2, of=1, TaxYear=year + 2)
    county.sync()
    assert county.quarantine("value") == {key("value", 2): ["F3.30"]}
    county.clock.step(days=366)
    certificate = county.sync()[1]
    assert certificate.clean
    assert county.quarantine("value") == {}
    assert key("value", 2) in county.rows("value")


def test_the_workers_clock_decides_nothing(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case C8: a worker that lives in 2021 validates as every other: the year is the source's."""
    import datetime as module

    year = county.clock.local().year
    county.add("property", 1, YearBuilt=year + 2)

    class Past(module.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2021, 1, 1, tzinfo=tz)

    for name in ("plan", "validate", "run"):
        target = import_module(f"airflow_provider_pacs.sync.steps.{name}")
        monkeypatch.setattr(target, "datetime", Past, raising=False)
    assert county.sync()[1].clean
    assert county.quarantine("property") == {}
    assert county.target.runs.run(county.sync()[1].run_id).source_year == year


def test_owners_that_move_to_a_quarantined_parent_wait_for_a_person(make_county: CountyMaker) -> None:
    """Case C9: every owner moves to a parent in quarantine: the delete guard counts these tombstones too."""
    county = make_county(("property", "owner"))
    county.add("property", *range(200))
    county.add("owner", *range(200))
    county.add("property", 500, Acreage=-1)
    county.sync()
    county.change("owner", *range(200), at=None, PropertyID=key("property", 500))
    certificate = county.reconcile()
    assert len(county.rows("owner")) == 200
    assert certificate.state == "pending"
    assert certificate_of(certificate, "owner").waiting == 200
    (pending,) = county.pending("owner")
    assert pending["row_count"] == 200
    in_balance(county, certificate)


def test_moved_children_count_for_the_guard_in_a_sync(make_county: CountyMaker) -> None:
    """Case C10: 95 of 2,000 children move to a waiting parent, the guard allows 40."""
    county = make_county(("property", "owner"), sections=WINDOW_OFF)
    county.add("property", *range(2000))
    county.add("owner", *range(2000))
    county.add("property", 5000, Acreage=-1)
    county.sync()
    county.clock.step(hours=3)
    county.change("owner", *range(95), PropertyID=key("property", 5000))
    county.clock.step(minutes=5)
    outcome, certificate = county.sync()
    assert of(outcome, "owner").deleted == 0
    assert of(outcome, "owner").pending_deletes == 95
    assert len(county.rows("owner")) == 2000
    assert certificate.state == "pending"
    in_balance(county, certificate)


@pytest.mark.parametrize("later", [timedelta(minutes=5), timedelta(hours=7)])
def test_a_clock_that_steps_back_loses_nothing(county: County, later: timedelta) -> None:
    """Case C11: the source's clock steps back a day and a row changes: the cursor follows the clock."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=-24)
    county.clock.step(minutes=2)
    county.change("property", 1, City="Finley")
    county.clock.step(seconds=later.total_seconds())
    assert county.sync()[1].clean
    assert county.row("property", 1)["city"] == "Finley"
    county.change("property", 2, City="Benton City")
    county.clock.step(hours=30)
    assert county.sync()[1].clean
    assert county.row("property", 2)["city"] == "Benton City"


@pytest.mark.parametrize(
    "changed",
    [
        {"sync": {"clock": "utc"}},
        {"timezone": "America/New_York"},
        {"tables": {"property": {"extra": {"c": "City"}}}},
    ],
)
def test_what_gives_a_row_its_meaning_is_in_the_fingerprint(county: County, changed: dict[str, Any]) -> None:
    """Case C12: another clock, zone or mapping means a full read."""
    county.add("property", 1)
    county.sync()
    county.clock.step(hours=3)
    county.configure(**changed)
    outcome, certificate = county.sync()
    assert of(outcome, "property").mode == "full"
    assert certificate.clean


def test_a_late_try_changes_nothing(county: County) -> None:
    """Case C15: attempt 1 ends while attempt 2 is validated: what it staged never goes live."""
    county.add("property", 1)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    runs = county.target.runs
    runs.begin_extract(plan.run_id, "property", 1)
    county.change("property", 1, at=None, Acreage=-5)
    county.extract(plan.run_id, "property", attempt=2)
    county.change("property", 1, at=None, Acreage=5)
    county.extract(plan.run_id, "property", attempt=3)
    county.validate(plan.run_id, "property")
    late = {"table": "stage_late", "mode": "full", "read": 1, "staged": 1, "seconds": 0.1}
    with pytest.raises(ConflictError, match="another try"):
        runs.end_extract(plan.run_id, "property", attempt=1, expected=KeyTotals(1, None), **late)  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match="another try"):
        runs.begin_extract(plan.run_id, "property", 2)
    county.publish(plan.run_id)
    assert county.row("property", 1)["acreage"] == 5


def test_a_verdict_counts_for_its_table_alone(county: County) -> None:
    """Case C15: a table that was not validated is not published, whatever the state says."""
    county.add("property", 1)
    run_id = county.stage()
    row = county.plan_of(run_id, "property")
    county.sql(
        "UPDATE pacs_ops.run_entity SET stage_table = stage_table || 'x' WHERE run_id = %s", row.run_id
    )
    outcome = county.publish(run_id)
    assert of(outcome, "property").state == "failed"
    assert county.certify(run_id).state == "blocked"
    assert county.rows("property") == {}


def test_counts_that_agree_for_the_wrong_reason(county: County) -> None:
    """Case C16: two hard deletes and two inserts within the lag: the rows too many are found in the same run."""
    county.add("property", *range(10))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", 0, 1)
    county.add("property", 10, 11, at=county.stamp(seconds=10))
    outcome, certificate = county.sync()
    assert of(outcome, "property").deleted == 2
    assert certificate.clean
    part = certificate_of(certificate, "property")
    assert (part.source_rows, part.target_rows) == (10, 10)
    in_balance(county, certificate)


def test_a_delete_and_a_backdated_insert_do_not_cancel_out(county: County) -> None:
    """Case C16: one row goes, another comes with an old stamp: the sum of the keys shows it."""
    county.add("property", *range(10))
    county.sync()
    county.clock.step(hours=20)
    county.remove("property", 0)
    county.add("property", 10, at=county.stamp(hours=100))
    outcome, certificate = county.sync()
    assert (of(outcome, "property").deleted, of(outcome, "property").inserted) == (1, 1)
    assert certificate.clean


def test_a_key_that_repeats_in_a_window_blocks_as_in_a_full_run(make_county: CountyMaker) -> None:
    """Case C18: the same key twice in one window: the rule that the full run applies."""
    from tests.support.county import new_engine, retype
    from tests.support.server import only_the_sandbox

    only_the_sandbox("a table without its primary key is made inside the sandbox's engine")
    from dataclasses import replace

    table = replace(retype("Property"), primary_key=())
    county = make_county(engine=new_engine(table))
    county.add("property", *range(60))
    county.sync()
    county.clock.step(hours=3)
    county.add("property", 100, at=county.stamp(), City="One")
    county.add("property", 100, at=county.stamp(), City="Two")
    county.clock.step(minutes=5)
    certificate = county.sync()[1]
    assert certificate.state == "blocked"
    assert "F1.1-unique" in certificate_of(certificate, "property").message
    assert key("property", 100) not in county.rows("property")
    assert county.reconcile().state == "blocked"


def test_a_cleared_entity_is_published_later_in_its_run(make_county: CountyMaker) -> None:
    """Case C19: an extract fails for good, is cleared and succeeds: publish goes on where it stopped."""
    county = make_county(("property", "owner"))
    county.add("property", 1)
    county.add("owner", 1)
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    county.extract(plan.run_id, "property")
    county.validate(plan.run_id, "property")
    first = county.publish(plan.run_id)
    assert of(first, "owner").state == "failed"
    assert county.certify(plan.run_id).state == "blocked"
    county.extract(plan.run_id, "owner", attempt=2)
    county.validate(plan.run_id, "owner")
    again = county.publish(plan.run_id)
    assert not again.already_published
    assert len(county.rows("owner")) == 1
    certificate = county.certify(plan.run_id)
    assert certificate.clean
    assert county.target.runs.run(plan.run_id).state == "succeeded"
    assert county.publish(plan.run_id).already_published


def test_a_sync_waits_for_an_approval(make_county: CountyMaker) -> None:
    """Case C20: a sync that starts while an approval is at work lets it finish."""
    county = make_county(sections={"delete_guard": {"max_rows": 5, "max_percent": 1.0}})
    county.add("property", *range(60))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(30))
    assert county.reconcile().state == "pending"
    sets = [pending_of(county)]
    started, go_on = threading.Event(), threading.Event()

    def slowly(sql: str) -> None:
        started.set()
        go_on.wait(10)

    reader = county.engine.reader()
    reader.before_stream = slowly
    decided: list[Any] = []
    with PostgresTarget.from_url(county.url) as other:
        thread = threading.Thread(
            target=lambda: decided.extend(
                steps.approve(county.config, reader, other, sets=sets, actor="ann", trigger="test")
            )
        )
        thread.start()
        assert started.wait(10)
        threading.Timer(1.0, go_on.set).start()
        began = time.monotonic()
        certificate = county.sync()[1]
        waited = time.monotonic() - began
        thread.join(10)
    assert waited >= 0.5
    assert decided[0].deleted == 30
    assert certificate.clean
    assert len(county.rows("property")) == 30


def test_a_sync_gives_up_on_a_run_that_does_not_end(
    make_county: CountyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case C20: it says what is at work, and that it may be tried again; a run whose process is gone holds nobody."""
    monkeypatch.setattr(PRECONDITIONS, "WAIT_SECONDS", 0.3)
    county = make_county()
    county.add("property", 1)
    county.sync()
    with PostgresTarget.from_url(county.url) as other:
        steps.plan(
            county.config, county.source, other, steps.RunRequest("reconcile", "test", one_process=True)
        )
        with pytest.raises(RetryableError, match="a reconcile of this county is at work") as refused:
            county.sync()
        assert refused.value.code == "PACS-008"
    time.sleep(0.5)
    assert county.sync()[1].clean


def test_many_small_runs_do_not_delete_what_one_may_not(county: County) -> None:
    """Case C21: 99 of 100 rows go over four nights, 25 a night: a rolling window holds them."""
    county.add("property", *range(100))
    county.sync()
    states = []
    for night in range(4):
        county.clock.step(hours=24)
        county.remove("property", *range(night * 25, min(night * 25 + 25, 99)))
        states.append(county.sync()[1].state)
    assert states[0] == "clean"
    assert states[1:] == ["pending"] * 3
    assert len(county.rows("property")) == 75
    (pending,) = county.pending("property")
    assert pending["row_count"] == 74


def test_an_unclean_certificate_fails_the_run(county: County) -> None:
    """Case C23: certify raises after it has stored what it says, and the run ends as the same word."""
    county.add("property", 1, 2)
    run_id = county.stage()
    county.publish(run_id)
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'X' WHERE property_id = %s", key("property", 1)
    )
    with pytest.raises(steps.CertificateError, match="1 differing") as raised:
        steps.certify(county.config, county.source, county.target, run_id=run_id)
    assert raised.value.certificate.state == county.target.runs.run(run_id).state == "drift"
    stored = county.target.certifier.of_run(run_id)
    assert stored is not None
    assert stored.state == "drift"
    assert certificate_of(stored, "property").sample_keys == (f"differing:{key('property', 1)}",)


def test_a_retry_of_certify_finds_its_input(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case C14: certify fails half-way and is tried again: the damage is still seen."""
    county.add("property", 1, 2)
    run_id = county.stage()
    county.publish(run_id)
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'X' WHERE property_id = %s", key("property", 1)
    )

    def fails(*_: Any, **__: Any) -> Any:
        raise RetryableError("the target went away")

    with monkeypatch.context() as patched:
        patched.setattr(type(county.target.certifier), "issue", fails)
        with pytest.raises(RetryableError):
            steps.certify(county.config, county.source, county.target, run_id=run_id)
    assert certificate_of(county.certify(run_id), "property").differing == 1


def test_hard_deletes_go_in_the_same_run(county: County) -> None:
    """Deliver 3: rows that are gone without a trace leave with the next incremental run, its certificate clean."""
    county.add("property", *range(300))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(20))
    county.change("property", 50, City="Finley")
    county.clock.step(minutes=5)
    outcome, certificate = county.sync()
    assert (of(outcome, "property").mode, of(outcome, "property").deleted) == ("window", 20)
    assert certificate.clean
    assert certificate.covered == "window"
    again, _ = county.reconciled()
    assert of(again, "property").changed == 0


def test_a_certificate_has_control_totals_of_both_sides(make_county: CountyMaker) -> None:
    """Certificate v2: counts and sums by tax year as SQL Server and as PostgreSQL compute them."""
    county = make_county(("property", "value"))
    county.add("property", *range(3))
    county.add("value", 1, of=1, TaxYear=2024, MarketValue=100.25)
    county.add("value", 2, of=1, TaxYear=2025, MarketValue=50)
    county.add("value", 3, of=2, TaxYear=2025, MarketValue=25.5)
    certificate = county.sync()[1]
    part = certificate_of(certificate, "value")
    assert set(part.source_control or {}) == {"2024", "2025"}
    assert part.source_control is not None
    assert part.target_control is not None
    for year, total in (("2024", 100.25), ("2025", 75.5)):
        assert float(part.source_control[year]["market_value"]) == total
        assert float(part.target_control[year]["market_value"]) == total
        assert part.source_control[year]["rows"] == part.target_control[year]["rows"]
    (row,) = county.sql(
        "SELECT * FROM pacs_report.certificate WHERE county_id = %s AND entity = 'value'", county.fips
    )
    assert (row["state"], row["covered"]) == ("clean", "all_rows")


def test_a_weak_connection_is_audited_in_every_run(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case E11: what protects less than it could, at either end, stands in the audit of the run; a strict county refuses it."""
    weak = ("sslmode=require: the server's certificate is not verified",)
    monkeypatch.setattr(type(county.target), "weak_settings", property(lambda self: weak))
    county.add("property", 1)
    outcome, _ = county.sync()
    (row,) = county.sql(
        "SELECT object, details FROM pacs_ops.audit WHERE run_id = %s AND action = 'tls.weak'", outcome.run_id
    )
    assert (row["object"], row["details"]) == ("target", {"settings": list(weak)})
    county.configure(target={"tls": "strict"})
    with pytest.raises(ConfigError, match="weaker than the county's file allows"):
        county.sync()


def test_a_small_delta_is_measured_by_the_size_of_its_entity(county: County) -> None:
    """Case F8: all of eight changed rows are bad, which is no wrong mapping where four hundred are good."""
    county.add("property", *range(400))
    county.sync()
    county.clock.step(hours=3)
    county.change("property", *range(8), Acreage=-1)
    county.clock.step(minutes=5)
    part = certificate_of(county.sync()[1], "property")
    assert (part.state, part.covered) == ("clean", "window")
    assert set(county.quarantine("property")) == {key("property", n) for n in range(8)}


def test_a_window_and_a_whole_read_have_one_arithmetic(county: County) -> None:
    """Case F9: the same rows on both sides are the same numbers, however much of them a run read."""
    county.add("property", *range(60), at=county.stamp(hours=9))
    county.add("property", 60, Acreage=-1, at=county.stamp(hours=9))
    county.add("property", 61, at=county.stamp(minutes=3))
    whole = certificate_of(county.sync()[1], "property")
    county.clock.step(hours=3)
    window = certificate_of(county.sync()[1], "property")
    assert (whole.covered, window.covered) == ("all_rows", "window")
    names = ("source_rows", "target_rows", "equal", "quarantined", "newer", "drift")
    assert [getattr(window, name) for name in names] == [getattr(whole, name) for name in names]
    assert (window.source_rows, window.equal, window.quarantined) == (62, 61, 1)
