"""A window that somebody chose is read again: in any order, any number of times, the same target
(correctness.md A9, cases 119 and 120).
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Backfill, Certificate, RunOutcome
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError, RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.integration.conftest import CountyMaker
from tests.support.county import County, certificate_of, key, new_engine, of, retype

PRECONDITIONS = import_module("airflow_provider_pacs.sync.steps.preconditions")
DAYS = [f"2025-12-{day:02d}" for day in (1, 8, 15, 22, 29)]
WINDOWS = list(pairwise(DAYS))


def backfill(
    county: County, since: str, until: str, entity: str = "property"
) -> tuple[RunOutcome, Certificate]:
    window = Backfill(entity, since, until)
    return steps.backfill(
        county.config,
        county.source,
        county.target,
        window=window,
        trigger="test",
        on_message=lambda line: None,
    )


def stamped(county: County) -> None:
    """Properties 1 to 4, one in each window, loaded; then each changed by a software that leaves the stamp
    alone, so no cursor sees it.
    """
    for number, (since, _) in enumerate(WINDOWS, start=1):
        county.add("property", number, at=f"{since} 06:00:00")
    county.sync()
    county.clock.step(hours=3)
    county.sync()
    county.change("property", 1, 2, 3, 4, at=None, City="Finley")


def cities(county: County) -> dict[str, str]:
    return {row["parcel_number"]: row["city"] for row in county.rows("property").values()}


def images(county: County) -> list[dict[str, Any]]:
    """Every row of the partition to the byte, provenance included."""
    return county.sql(f"SELECT p::text FROM {county.partition('property')} AS p ORDER BY property_id")


def test_a_window_is_read_again(county: County) -> None:
    """Cases 119, 120: [from, to) and nothing else is published and certified, no cursor moves; the same
    window again writes nothing, to the byte.
    """
    stamped(county)
    before = county.state("property")
    published, certificate = backfill(county, "2025-12-08 06:00:00", "2025-12-15 06:00:00")
    assert cities(county) == {
        "1-00001": "Prosser",
        "1-00002": "Finley",
        "1-00003": "Prosser",
        "1-00004": "Prosser",
    }
    assert (of(published, "property").read, of(published, "property").updated, published.state) == (
        1,
        1,
        "published",
    )
    mine = certificate_of(certificate, "property")
    assert (mine.covered, mine.clean, mine.source_rows, mine.target_rows, mine.drift) == (
        "keys",
        True,
        1,
        1,
        0,
    )
    assert county.state("property") == before
    record = county.target.runs.run(certificate.run_id)
    assert (record.kind, record.state) == ("backfill", "succeeded")
    once = images(county)
    published, certificate = backfill(county, "2025-12-08 06:00:00", "2025-12-15 06:00:00")
    assert (of(published, "property").read, of(published, "property").changed, certificate.clean) == (
        1,
        0,
        True,
    )
    assert images(county) == once
    published, certificate = county.sync()
    assert (of(published, "property").mode, certificate.clean) == ("window", True)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.lists(st.sampled_from(WINDOWS), max_size=4),
    last=st.permutations(WINDOWS),
    touched=st.lists(st.integers(1, 4), max_size=3),
)
def test_any_order_gives_the_same_target(
    make_county: CountyMaker, order: list[tuple[str, str]], last: list[tuple[str, str]], touched: list[int]
) -> None:
    """Case 119: windows out of order and more than once, with changes and syncs in between: the newest state
    stays, whatever came after it.
    """
    county = make_county()
    county.pacs("DELETE FROM [dbo].[Property]")
    stamped(county)
    newest = dict.fromkeys(range(1, 5), "Finley")
    for step, (since, until) in enumerate(order):
        backfill(county, since, until)
        if step < len(touched):
            number = touched[step]
            newest[number] = f"Town {step}"
            county.change(
                "property", number, City=newest[number]
            )  # now it lies in no window, and the next sync brings it
            county.clock.step(minutes=2)
            county.sync()
    for since, until in last:
        _, certificate = backfill(county, since, until)
        assert certificate.clean
    assert cities(county) == {f"1-{number:05d}": city for number, city in newest.items()}
    published, certificate = county.reconciled()
    assert (of(published, "property").sample_keys, certificate.clean) == ((), True)


def test_a_bad_row_in_the_window(county: County) -> None:
    """Case 119: a backfill validates like any run: the bad row waits, the others are published, and the
    certificate excuses what waits.
    """
    stamped(county)
    county.change("property", 2, at=None, Acreage=-1.0)
    _, certificate = backfill(county, "2025-12-01", "2026-01-01")
    assert county.quarantine("property") == {key("property", 2): ["F1.5"]}
    mine = certificate_of(certificate, "property")
    assert (mine.clean, mine.source_rows, mine.target_rows, mine.equal, mine.quarantined, mine.kept) == (
        True,
        4,
        4,
        3,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("2025-12-08", "2025-12-08", "no moment lies in"),
        ("2025-12-09", "2025-12-08", "no moment lies in"),
        ("last week", "2025-12-08", r"'last week' or '2025-12-08' is no moment of LastModified \(datetime\)"),
        ("2025-12-01", "2025-12-08 06:00:00.1234567", "is no moment of LastModified"),
    ],
)
def test_a_window_that_is_none(county: County, since: str, until: str, says: str) -> None:
    """Case 119: refused with what was written, before anything is read."""
    stamped(county)
    with pytest.raises(ConfigError, match=says):
        backfill(county, since, until)


def test_what_cant_be_read_by_windows(make_county: CountyMaker) -> None:
    """Case 119: an entity of another county's, one never loaded, a table without a date: each is named, with
    what to do instead.
    """
    county = make_county(engine=new_engine(retype("Property", LastModified=SqlType("varchar", 30))))
    with pytest.raises(ConfigError, match="does not synchronise 'owner'"):
        backfill(county, "2025-12-01", "2025-12-08", entity="owner")
    with pytest.raises(ConfigError, match=r"never loaded.*pacs sync"):
        backfill(county, "2025-12-01", "2025-12-08")
    county.sync()
    with pytest.raises(ConfigError, match=r"no change column of a date type.*pacs sync county_\d+ --full"):
        backfill(county, "2025-12-01", "2025-12-08")


def test_a_sync_and_a_backfill_never_write_at_once(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 119: neither overtakes the other: a backfill that meets a sync at work is refused at once, a sync that meets
    a backfill waits for it, and is refused where that takes too long.
    """
    monkeypatch.setattr(PRECONDITIONS, "WAIT_SECONDS", 0.1)
    stamped(county)
    staged = county.stage()
    with pytest.raises(RetryableError, match="a sync of this county is at work") as refused:
        backfill(county, *WINDOWS[0])
    assert refused.value.code == "PACS-008"
    county.publish(staged)
    county.certify(staged)

    def meanwhile(sql: str) -> None:
        county.source.after_stream = None
        with pytest.raises(RetryableError, match="a backfill of this county is at work"):
            county.sync()

    county.source.after_stream = meanwhile
    _, certificate = backfill(county, *WINDOWS[0])
    assert certificate.clean
    assert cities(county)["1-00001"] == "Finley"
    assert county.sync()[1].clean


def test_a_backfill_that_died_is_overtaken(county: County) -> None:
    """Cases 107, 119: when the process of a backfill is gone, the next sync does not wait for it, and what it had read
    is never published.
    """
    stamped(county)
    request = steps.RunRequest("backfill", "test", window=Backfill("property", *WINDOWS[0]), one_process=True)
    with PostgresTarget.from_url(county.url) as dying:
        plan = steps.plan(county.config, county.source, dying, request)
        steps.extract(county.config, county.source, dying, run_id=plan.run_id, entity="property", attempt=1)
        steps.validate(county.config, dying, run_id=plan.run_id, entity="property")
    county.change("property", 1, City="Benton City")
    county.clock.step(minutes=2)
    assert county.sync()[1].clean
    with pytest.raises(ConflictError):
        county.publish(plan.run_id)
    assert cities(county)["1-00001"] == "Benton City"
