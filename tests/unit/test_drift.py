"""Schema drift: what counts as added, dropped, widened, and what stops a run (cases 44 to 48, 55)."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.schema.drift import find_drift, widens

WIDER = [
    ("varchar(50)", "varchar(200)"),
    ("varchar(50)", "varchar(max)"),
    ("varchar(50)", "nvarchar(50)"),
    ("char(10)", "varchar(10)"),
    ("varchar(10)", "char(10)"),
    ("varchar(max)", "text"),
    ("int", "bigint"),
    ("tinyint", "int"),
    ("real", "float"),
    ("decimal(14, 4)", "decimal(18, 4)"),
    ("datetime", "datetime2(7)"),
    ("smalldatetime", "datetime"),
]
NARROWER = [
    ("varchar(200)", "varchar(50)"),
    ("varchar(max)", "varchar(8000)"),
    ("nvarchar(50)", "varchar(50)"),
    ("bigint", "int"),
    ("decimal(18, 4)", "decimal(18, 6)"),
    ("decimal(18, 4)", "decimal(18, 2)"),
    ("datetime2(7)", "datetime"),
    ("int", "varchar(20)"),
    ("datetime", "varchar(30)"),
]


@pytest.mark.parametrize(("old", "new"), WIDER)
def test_every_value_still_fits(old: str, new: str) -> None:
    """Case 47: what only grows, goes on."""
    assert widens(old, new)


@pytest.mark.parametrize(("old", "new"), NARROWER)
def test_some_value_may_no_longer_fit(old: str, new: str) -> None:
    """Cases 47, 48: what shrinks or changes its kind, stops."""
    assert not widens(old, new)


def test_drift_tells_what_happened_and_the_order_is_nothing() -> None:
    """Cases 44, 45, 55: added and dropped columns are reported, another order is no drift."""
    drift = find_drift(
        {"a": "int", "b": "varchar(10)", "c": "bigint"}, {"d": "bit", "b": "varchar(20)", "a": "int"}
    )
    assert (drift.added, drift.dropped, drift.widened, drift.changed) == (
        ("d",),
        ("c",),
        ("b: varchar(10) -> varchar(20)",),
        (),
    )
    assert not find_drift({"a": "int", "b": "bit"}, {"b": "bit", "a": "int"})


def test_an_unknown_side_is_no_drift() -> None:
    assert not find_drift({}, {"a": "int"})
    assert not find_drift({"a": "int"}, {})
