"""The delete guard, and the small records a run returns."""

from __future__ import annotations

import json

import pytest

from airflow_provider_pacs.sync.records import (
    CertificateOutcome,
    EntityCertificate,
    EntityOutcome,
    EntityPlan,
    RunOutcome,
    RunPlan,
)
from airflow_provider_pacs.sync.target.postgres.apply import Guard


@pytest.mark.parametrize(
    ("gone", "live", "earlier", "empty", "held"),
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
def test_the_guard(gone: int, live: int, earlier: int, empty: bool, held: bool) -> None:
    """Cases 39, 40, 41: the larger of both bounds, over the whole run; an empty source passes never."""
    assert Guard(25, 2.0).holds(gone, live, earlier=earlier, source_is_empty=empty) is held


def certificate(**changes: object) -> EntityCertificate:
    values = dict.fromkeys(
        (
            "source_rows",
            "target_rows",
            "quarantined",
            "late",
            "missing",
            "differing",
            "ghosts",
            "repaired",
            "held",
            "remaining",
        ),
        0,
    )
    return EntityCertificate(
        **{"entity": "owner", "scope": "full", "clean": True, "upper": None, **values, **changes}
    )  # type: ignore[arg-type]


def test_a_certificate_is_clean_only_as_a_whole() -> None:
    def outcome(*parts: EntityCertificate, held_back: tuple[str, ...] = ()) -> CertificateOutcome:
        return CertificateOutcome("r", "53005", "full", "succeeded", parts, held_back=held_back)

    assert outcome(certificate()).clean
    assert not outcome(certificate(), certificate(clean=False)).clean
    assert not outcome(certificate(), held_back=("value",)).clean


def test_results_are_small_and_hold_no_keys() -> None:
    """Rows never cross XCom: what a step returns is counts, and JSON."""
    told = CertificateOutcome(
        "r",
        "53005",
        "full",
        "succeeded",
        (certificate(sample_keys=("ghost:secret",), source_digest=b"\x01"),),
    ).as_dict()
    assert "secret" not in json.dumps(told)
    assert told["entities"]["owner"]["source_digest"] == "01"
    run = RunOutcome(
        "r",
        "53005",
        "published",
        (EntityOutcome("owner", "blocked", "full"), EntityOutcome("value", "published", "full")),
    )
    assert [part.entity for part in run.held_back] == ["owner"]
    assert json.loads(json.dumps(run.as_dict()))["entities"]["value"]["state"] == "published"
    plan = RunPlan(
        "r",
        "53005",
        1,
        "sync",
        (EntityPlan("owner", "full", "compare", "first load", None, None, None, "m", "s"),),
    )
    assert json.loads(json.dumps(plan.as_dict()))["entities"]["owner"]["reason"] == "first load"


def test_rates() -> None:
    assert EntityOutcome("owner", "staged", "full", read=100, seconds=2.0).rows_per_second == 50
    assert EntityOutcome("owner", "staged", "full", read=100).rows_per_second == 0
    assert EntityOutcome("owner", "published", "full", inserted=1, updated=2, deleted=3).changed == 6
