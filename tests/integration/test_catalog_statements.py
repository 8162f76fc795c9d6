"""The source's catalog is asked once per table and only by `plan`: the later steps execute what is stored."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, County

_CATALOG = re.compile(r"\bsys\.\w+|\bINFORMATION_SCHEMA\.\w+", re.IGNORECASE)
KINDS: list[steps.RunRequest] = [
    steps.RunRequest("sync", "test"),
    steps.RunRequest("sync", "test", "full"),
    steps.RunRequest("reconcile", "test", "full"),
]


def catalog_statements(county: County) -> Counter[str]:
    """What was asked of the catalog since `asked` was cleared: statement -> times."""
    return Counter(sql for sql in county.source.asked if _CATALOG.search(sql))


def loaded(make_county: CountyMaker, *entities: str) -> County:
    """A county with some rows, synchronised once."""
    county = make_county(entities)
    for entity in ENTITIES:
        county.add(entity, 1, 2, 3)
    county.sync()
    county.clock.step(hours=1)
    county.source.asked.clear()
    return county


@pytest.mark.parametrize("request_", KINDS, ids=lambda each: f"{each.kind}-{each.mode}")
def test_no_step_after_plan_asks_the_catalog(make_county: CountyMaker, request_: steps.RunRequest) -> None:
    county = loaded(make_county, *ENTITIES)
    county.change("property", 1)
    plan = steps.plan(county.config, county.source, county.target, request_)
    assert catalog_statements(county), "plan asks, or this test sees nothing"
    county.source.asked.clear()
    for entity in plan.entities:
        county.extract(plan.run_id, entity.entity)
        assert county.validate(plan.run_id, entity.entity)
    county.publish(plan.run_id)
    assert county.certify(plan.run_id).clean
    assert len(county.source.asked) >= len(ENTITIES), "the source was read"
    assert not catalog_statements(county)


def _asked_by_plan(county: County, request_: steps.RunRequest) -> Counter[tuple[str, Any]]:
    asked: Counter[tuple[str, Any]] = Counter()
    ask = county.source.query

    def counted(sql: str, params: Any = ()) -> Any:
        if _CATALOG.search(sql):
            asked[sql, tuple(params)] += 1
        return ask(sql, params)

    county.source.query = counted  # type: ignore[method-assign]
    steps.plan(county.config, county.source, county.target, request_)
    return asked


@pytest.mark.parametrize("request_", KINDS, ids=lambda each: f"{each.kind}-{each.mode}")
def test_plan_asks_the_catalog_one_round_per_table(
    make_county: CountyMaker, request_: steps.RunRequest
) -> None:
    """No question is asked twice, and four tables cost four rounds of the same questions as one table's."""
    single = _asked_by_plan(loaded(make_county, "property"), request_)
    two = _asked_by_plan(loaded(make_county, "property", "owner"), request_)
    four = _asked_by_plan(loaded(make_county, *ENTITIES), request_)
    for asked in (single, two, four):
        assert [question for question, times in asked.items() if times > 1] == []
    per_table = len(two) - len(single)
    assert 0 < per_table <= 5
    assert len(four) - len(two) == 2 * per_table
