"""The delete guard, and the small records a run returns."""

from __future__ import annotations

import json

import pytest

from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.records import (
    Certificate,
    DeleteBounds,
    EntityCertificate,
    EntityOutcome,
    ReadPlan,
    RunOutcome,
    RunPlan,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable


@pytest.mark.parametrize(
    ("gone", "live", "earlier", "empty", "refused"),
    [
        (0, 0, 0, True, False),
        (0, 1000, 500, False, False),
        (25, 60, 0, False, False),
        (26, 60, 0, False, True),
        (200, 10_000, 0, False, False),
        (201, 10_000, 0, False, True),
        (1, 5, 0, True, True),
        (5, 60, 20, False, False),
        (6, 60, 20, False, True),
    ],
)
def test_the_guard(gone: int, live: int, earlier: int, empty: bool, refused: bool) -> None:
    """Cases 39, 40, 41: the larger of both bounds, over the run and its days; an empty source passes never."""
    bounds = DeleteBounds(25, 2.0)
    assert bounds.refuses(gone, live, earlier=earlier, source_is_empty=empty) is refused


def entity_certificate(**changes: object) -> EntityCertificate:
    return EntityCertificate(**{"entity": "owner", "covered": "all_rows", "state": "clean", **changes})  # type: ignore[arg-type]


def certificate(*parts: EntityCertificate) -> Certificate:
    return Certificate("r", "53005", "sync", "all_rows", parts)


def test_a_certificate_is_clean_only_as_a_whole() -> None:
    """Its worst entity says what the whole says; a certificate of nothing is no proof."""
    clean = entity_certificate()
    assert certificate(clean).clean
    assert certificate(clean).run_state == "succeeded"
    for state in ("pending", "drift", "blocked"):
        whole = certificate(clean, entity_certificate(state=state))
        assert not whole.clean
        assert whole.state == whole.run_state == state
    both = certificate(entity_certificate(state="drift"), entity_certificate(entity="value", state="blocked"))
    assert (both.state, both.blocked) == ("blocked", ("value",))
    assert not certificate().clean


def test_a_row_in_no_term_is_drift() -> None:
    """An arithmetic that does not come out is never called clean."""
    exact = entity_certificate(source_rows=5, target_rows=5, equal=4, quarantined=1, kept=1)
    assert exact.drift == 0
    assert entity_certificate(source_rows=6, target_rows=5, equal=5).drift == 1
    assert entity_certificate(source_rows=5, target_rows=6, equal=5).drift == 1
    assert entity_certificate(source_rows=5, target_rows=5, equal=3, differing=2).drift == 2


def test_results_are_small_and_hold_no_values() -> None:
    """Rows never cross XCom: what a step returns is counts, keys of what differs, and JSON."""
    parts = (entity_certificate(sample_keys=("extra_in_target:7",), state="drift", extra_in_target=1),)
    document = certificate(*parts).as_dict()
    assert json.loads(json.dumps(document))["entities"]["owner"]["sample_keys"] == ["extra_in_target:7"]
    assert document["state"] == "drift"
    run = RunOutcome(
        "r",
        "53005",
        "published",
        (EntityOutcome("owner", "blocked", "full"), EntityOutcome("value", "published", "full")),
    )
    assert [part.entity for part in run.blocked] == ["owner"]
    assert json.loads(json.dumps(run.as_dict()))["entities"]["value"]["state"] == "published"
    table = ResolvedTable(load_tables("generic")["owner"], {})
    plan = RunPlan(
        "r",
        "53005",
        1,
        "sync",
        (ReadPlan(table, "full", "compare", "first load", None, None, None, "m", "s"),),
    )
    assert json.loads(json.dumps(plan.as_dict()))["entities"]["owner"]["reason"] == "first load"


def test_a_plan_is_the_same_after_it_was_stored() -> None:
    """The later steps execute the stored plan: nothing of it may change on its way through JSON."""
    table = ResolvedTable(load_tables("generic")["owner"], {})
    plan = ReadPlan(
        table,
        "keys",
        "last_modified",
        "why",
        "lo",
        "hi",
        "datetime",
        "f",
        "s",
        {"OwnerID": "int"},
        ("Zone",),
        probes_deletes=False,
        compares=True,
        keys=("1", "2"),
        pending_ids=(7,),
        cursor="c",
    )
    assert ReadPlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_rates() -> None:
    assert EntityOutcome("owner", "staged", "full", read=100, seconds=2.0).rows_per_second == 50
    assert EntityOutcome("owner", "staged", "full", read=100).rows_per_second == 0
    assert EntityOutcome("owner", "published", "full", inserted=1, updated=2, deleted=3).changed == 6
