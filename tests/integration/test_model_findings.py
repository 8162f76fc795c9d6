"""What the state machine of tests/model showed, each as its smallest reproduction."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Backfill
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key, of

GUARD = {"delete_guard": {"max_rows": 0, "max_percent": 0.0, "window_days": 0}}
MAPPED = {"property": {"columns": {"city": "State"}}}


def test_backfill_under_another_mapping_does_not_outlive_the_mapping(county: County) -> None:
    """A mapping is changed, one window is backfilled under it, and it is changed back before the next sync: the
    rows of the window are read again, though the cursor's own fingerprint is the present one.
    """
    county.add("property", 1, 2, at=county.stamp(hours=9))
    county.add("property", 3, at=county.stamp(minutes=5))
    county.sync()
    county.configure(tables=MAPPED)
    now = county.clock.local()
    window = Backfill("property", str(now - timedelta(hours=12)), str(now))
    steps.backfill(county.config, county.source, county.target, window=window)
    assert county.row("property", 1)["city"] == "WA"

    county.configure()
    certificate = county.sync()[1]

    assert county.row("property", 1)["city"] == "Prosser"
    assert (certificate.state, certificate.covered) == ("clean", "all_rows")


def test_backfill_under_the_present_mapping_leaves_the_cursor_alone(county: County) -> None:
    """The next sync after an ordinary backfill reads its window."""
    county.add("property", 1, 2, at=county.stamp(hours=9))
    county.sync()
    now = county.clock.local()
    window = Backfill("property", str(now - timedelta(hours=12)), str(now))
    steps.backfill(county.config, county.source, county.target, window=window)
    assert county.sync()[1].covered == "window"


def test_pending_deletes_survive_another_set_of_a_window(make_county: CountyMaker) -> None:
    """An owner is gone and waits for a person; another one, moved to a parent that is not there, is read again
    by the next window: the new set holds both, and the certificate says pending, not drift.
    """
    county = make_county(["property", "owner"], sections=GUARD)
    county.add("property", 1, 2)
    county.add("owner", 1, 2)
    county.sync()
    county.remove("owner", 2)
    county.change("owner", 1, PropertyID=key("property", 9))
    county.clock.step(minutes=5)
    assert county.reconcile().state == "pending"

    outcome, certificate = county.sync()

    assert certificate.state == "pending"
    assert of(outcome, "owner").pending_deletes == 2
    assert [(row["row_count"], row["live_count"]) for row in county.pending("owner")] == [(2, 2)]
    assert of(certificate, "owner").pending_deletes == 2
