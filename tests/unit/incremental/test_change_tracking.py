"""Which tables Change Tracking fits, what its bounds mean, and what its statements ask for."""

from __future__ import annotations

import re

import pytest

from airflow_provider_pacs.sync.incremental import choose
from airflow_provider_pacs.sync.incremental.change_tracking import ChangeTracking
from airflow_provider_pacs.sync.incremental.strategy import SourceFacts, lost_because
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.features import TableFeed
from airflow_provider_pacs.sync.schema.joined import render

TABLE = ResolvedTable(load_tables("generic")["property"], {})
HARRIS = load_tables("harris_pacs_9")["property"]
FINE = {"off": 0, "behind": 0, "expired": 0, "began": 0, "feed": "1/0/2"}


def facts(*key: str, lack: str | None = None) -> SourceFacts:
    return SourceFacts(feeds=(TableFeed("change_tracking", "DBO", "property", lack, key=key),))


def test_it_fits_a_table_that_is_tracked_by_the_mapped_key() -> None:
    assert ChangeTracking().supports(TABLE, facts("propertyid")).table == TABLE
    assert choose(TABLE, facts("PropertyID"), enable_cdc=True)[0] == "change_tracking"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (SourceFacts(), "nobody knows whether Change Tracking is on for dbo.Property"),
        (facts("PropertyID", lack="it is off"), "it is off"),
        (facts("Number"), r"names the rows of dbo\.Property by \(Number\), not by PropertyID"),
        (facts("PropertyID", "Part"), "by .PropertyID, Part., not by"),
    ],
)
def test_it_fits_no_other(source: SourceFacts, why: str) -> None:
    """Cases 50, D16: a deleted row shows its primary key only, so another mapped key would never be found."""
    support = ChangeTracking().supports(TABLE, source)
    assert support.table is None
    assert re.search(why, support.reason)


def test_a_joined_entity_needs_all_its_tables() -> None:
    selection = render(HARRIS)
    table = ResolvedTable(HARRIS, {}, selection)
    feeds = [
        TableFeed("change_tracking", track.schema, track.table, key=track.key) for track in selection.tracks
    ]
    fits = ChangeTracking().supports(table, SourceFacts(feeds=tuple(feeds)))
    assert fits.table is not None
    assert fits.table.selection is not None
    assert fits.table.selection.probes == ()
    lacking = ChangeTracking().supports(table, SourceFacts(feeds=tuple(feeds[1:])))
    assert lacking.table is None
    assert selection.tracks[0].table in lacking.reason


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"off": 1, "behind": 1}, "off"),
        ({"behind": 1}, "restored"),
        ({"expired": 1}, "expired"),
        ({"began": 1}, "began"),
        ({"feed": "1/7/3"}, "switched off and on"),
    ],
)
def test_a_feed_that_is_lost_says_why(changed: dict[str, object], word: str) -> None:
    """Cases 85, 87: never "nothing new"."""
    assert lost_because(ChangeTracking(), FINE, "1/0/2") is None
    assert word in str(lost_because(ChangeTracking(), FINE | changed, "1/0/2"))
