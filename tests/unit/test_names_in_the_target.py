"""PostgreSQL cuts names after 63 bytes, and two long ones may become one: none of ours comes near."""

from __future__ import annotations

from itertools import product

import pytest

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.steps.source_rows import stage_name
from airflow_provider_pacs.sync.target.postgres.stage_tables import rows_view

RUN = "3f2a9c1e-0000-4000-8000-00000000000f"
LONGEST = 63


def test_every_staging_table_and_its_view_have_names_of_their_own() -> None:
    """Case 83: whatever entity, try and purpose."""
    purposes = ["", "_fresh"]
    staged = [
        stage_name(RUN, entity, attempt, purpose)
        for entity, attempt, purpose in product(load_entities(), (0, 1, 9_999), purposes)
    ]
    names = [*staged, *map(rows_view, staged)]
    assert len({name.encode()[:LONGEST] for name in names}) == len(names)
    assert all(name.startswith(f"stage_{RUN.replace('-', '')}_") for name in staged)


@pytest.mark.parametrize("entity", sorted(load_entities()))
def test_published_tables_have_short_names(entity: str) -> None:
    """Case 83: the entity's table and the county's partition of it are named by us, not by the source."""
    made = load_entities()[entity]
    assert len(f"{made.table}_99999".encode()) <= LONGEST
    assert all(len(name.encode()) <= LONGEST for name in made.column_names)


def test_a_name_that_would_be_cut_keeps_its_end_apart() -> None:
    """Case 83: PostgreSQL would cut what tells two tries of an entity with a longer name apart."""
    names = [stage_name(RUN, "assessment_history", attempt, "_fresh") for attempt in (99_998, 99_999)]
    seen = {rows_view(name).encode()[:LONGEST] for name in names}
    assert len(seen) == 2
    assert all(len(rows_view(name).encode()) <= LONGEST for name in names)
