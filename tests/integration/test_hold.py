"""A county on hold: no run is planned, a run at work ends without publishing, until somebody resumes."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError
from tests.support.county import County


def put_on_hold(county: County, reason: str = "wrong mapping, ticket 4711") -> None:
    steps.hold(county.config, county.target, reason=reason, actor="ann")


def test_a_county_on_hold_refuses_every_run_and_says_why(county: County) -> None:
    county.add("property", 1)
    county.sync()
    county.add("property", 2)
    put_on_hold(county)
    for run in (county.sync, county.reconcile):
        with pytest.raises(
            ConflictError, match=r"on hold since .* by ann: wrong mapping, ticket 4711"
        ) as stop:
            run()
        assert (stop.value.code, "pacs resume" in stop.value.remedy) == ("PACS-011", True)
    assert len(county.rows("property")) == 1
    assert county.sql("SELECT count(*) AS n FROM pacs_ops.sync_run WHERE county_id = %s", county.fips) == [
        {"n": 1}
    ]
    lifted = steps.resume(county.config, county.target, actor="bob")
    assert (lifted.held_by, lifted.resumed_by) == ("ann", "bob")
    county.sync()
    assert len(county.rows("property")) == 2
    audited = county.sql(
        "SELECT action, details ->> 'by' AS by FROM pacs_ops.audit WHERE county_id = %s AND action LIKE 'county.%%' "
        "ORDER BY seq",
        county.fips,
    )
    assert [(row["action"], row["by"]) for row in audited] == [
        ("county.held", "ann"),
        ("county.resumed", "bob"),
    ]


def test_a_run_at_work_does_not_publish_once_the_county_is_on_hold(county: County) -> None:
    county.add("property", 1)
    run_id = county.stage()
    put_on_hold(county)
    with pytest.raises(ConflictError, match="on hold"):
        county.publish(run_id)
    assert county.rows("property") == {}
    steps.resume(county.config, county.target, actor="ann")
    county.publish(run_id)
    assert len(county.rows("property")) == 1


def test_a_county_may_be_held_before_its_first_run_and_keeps_its_first_reason(county: County) -> None:
    put_on_hold(county, "the vendor restores the database tonight")
    put_on_hold(county, "another reason")
    standing = county.target.holds.current(county.fips)
    assert standing is not None
    assert standing.reason == "the vendor restores the database tonight"
    with pytest.raises(ConflictError, match="on hold"):
        county.sync()


def test_a_hold_needs_a_reason_and_a_lifting_a_hold(county: County) -> None:
    with pytest.raises(ConfigError, match="needs a reason"):
        put_on_hold(county, "  ")
    with pytest.raises(ConflictError, match="not on hold"):
        steps.resume(county.config, county.target, actor="ann")
