"""What the state machine of tests/model showed, each as its smallest reproduction."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Backfill
from tests.support.county import County

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
