"""PACS's own journal: which tables it covers, and that no table of an entity is left to nobody."""

from __future__ import annotations

import re

import pytest

from airflow_provider_pacs.sync.profiles import load_profile, load_tables
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.schema.journal import read_journal
from tests.unit.schema.test_captures import Server

EVENTS = ("INSERT", "UPDATE", "DELETE")
SETTINGS = {"pacs_system", "imprv_type", "imprv_det_type"}
"""Tables whose contents decide about every row: another value of a setting reads all of them again."""


def journal(events: tuple[str, ...] = EVENTS, audited: tuple[str, ...] = ("prop_id", "geo_id")) -> Server:
    return Server(
        change_log_keys=[],
        chg_log_user=[{"number": 0}],
        pacs_tables=[{"name": "property"}],
        chg_log_columns=[{"table_name": "property", "name": name} for name in audited],
        trigger_events=[{"table_name": "property", "event": event} for event in events],
    )


def test_a_table_with_its_triggers_is_a_feed() -> None:
    (feed,) = read_journal(journal(), "dbo")  # type: ignore[arg-type]
    assert (feed.strategy, feed.table, feed.lack) == ("change_log", "property", None)
    assert feed.columns == {"prop_id", "geo_id"}


@pytest.mark.parametrize("missing", EVENTS)
def test_without_one_of_its_triggers_a_table_is_none(missing: str) -> None:
    """A trigger that was disabled writes nothing."""
    kept = tuple(event for event in EVENTS if event != missing)
    (feed,) = read_journal(journal(kept), "dbo")  # type: ignore[arg-type]
    assert missing in str(feed.lack)


def test_a_source_without_a_journal_has_no_feed() -> None:
    assert read_journal(Server(), "dbo") == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("supplements", ["latest", "accepted", "base"])
@pytest.mark.parametrize("entity", ["property", "owner", "value", "structure"])
def test_every_table_of_an_entity_is_journalled_compared_or_a_setting(entity: str, supplements: str) -> None:
    """Tables without a trigger (`prop_supp_assoc`) change unseen, unless their contents are compared."""
    table = load_tables("harris_pacs_9", options={"supplements": supplements, "future_layer": True})[entity]
    selection = render(table)
    assert selection.journal is not None
    journalled = {each.table for each in selection.journal.tables}
    compared = {
        name for probe in selection.journal.probes for name in re.findall(r"\[dbo\]\.\[(\w+)\]", probe.sql)
    }
    read = {each.table for each in selection.tables}
    assert read <= journalled | compared | SETTINGS
    assert not {"prop_supp_assoc", "wash_prop_owner_val", "property_profile"} & journalled
    assert set(load_profile("harris_pacs_9")["journal"]) >= journalled
