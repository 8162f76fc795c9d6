"""Columns beyond the canonical ones -> JSON that holds each value as it is (case 44)."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sync.entities import EXTRA, Entity, EntityColumn, load_entities, promoted_column
from airflow_provider_pacs.sync.mapping.batches import REJECT, map_batch
from airflow_provider_pacs.sync.mapping.extra import (
    added_since,
    alias,
    carrying,
    json_column,
    refuse_uncarried,
)
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn


def test_promoted_names_leave_the_json_and_get_their_types() -> None:
    """Those that this county promotes; a column that another county promoted stays in this one's JSON."""
    entity = load_entities()["property"].with_promoted(
        [promoted_column("lots", "integer"), promoted_column("zone", "text")]
    )
    batch = batch_of(pa.array(["7", "x", None]), pa.array(["R1", "R2", "R3"]))
    mapped = map_batch(batch, entity, ["lots", "zone"], {"lots"})
    assert mapped.schema.names == ["lots", "extra", REJECT]
    assert mapped.column("lots").to_pylist() == ["7", None, None]
    assert mapped.column("extra").to_pylist() == ['{"zone":"R1"}', '{"zone":"R2"}', '{"zone":"R3"}']
    assert mapped.column(REJECT).to_pylist() == [None, "{MAP.lots}", None]
    both = map_batch(batch, entity, ["lots", "zone"], {"lots", "zone"})
    assert both.column("extra").to_pylist() == [None] * 3


def test_the_promoted_columns_stand_before_extra_and_change_no_recorded_definition() -> None:
    """`entity_property` is a migration with a digest over this text."""
    entity = load_entities()["property"]
    wider = entity.with_promoted([promoted_column("zone", "text")])
    assert wider.column_names == (*entity.column_names[:-1], "zone", "extra")
    assert wider.mapped_names == entity.mapped_names
    assert "promoted" not in repr(entity)


def test_a_promotion_is_part_of_the_mapping_and_none_changes_none() -> None:
    """Every county's tables would be read whole again otherwise."""
    plain = load_tables("generic", {"property": {"extra": {"zone": "Z"}}})["property"]
    same = load_tables("generic", {"property": {"extra": {"zone": "Z"}, "promote": {}}})["property"]
    promoted = load_tables("generic", {"property": {"extra": {"zone": "Z"}, "promote": {"zone": "text"}}})[
        "property"
    ]
    assert plain.fingerprint == same.fingerprint
    assert plain.fingerprint != promoted.fingerprint


def test_a_promoted_column_of_a_joined_entity_is_read_like_extra() -> None:
    tables = load_tables(
        "harris_pacs_9", {"property": {"extra": {"zone": "p.zoning"}, "promote": {"zone": "text"}}}
    )
    assert (tables["property"].extra, tables["property"].promoted) == (
        (("zone", "p.zoning"),),
        (("zone", "text"),),
    )


def batch_of(*arrays: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(arrays), names=[alias(number) for number in range(len(arrays))])


def carried(array: pa.Array) -> Any:
    """The first value as JSON tells it; numbers as Decimal."""
    texts, bad = json_column(batch_of(array), ["x"])
    assert bad is not None
    assert not any(bad.to_pylist())
    return json.loads(texts[0].as_py(), parse_float=Decimal)["x"]


def resolved(extra: dict[str, str] | None = None, **types: str) -> ResolvedTable:
    """The generic Property with more columns; `extra` is what the county's file carries."""
    table = load_tables("generic", {"property": {"extra": extra or {}}})["property"]
    known = {source: "varchar" for _, source in table.columns} | types
    return ResolvedTable(
        table, {name: SourceColumn(name, kind, 16, 0, 0, True) for name, kind in known.items()}
    )


def test_every_entity_ends_in_extra() -> None:
    for entity in load_entities().values():
        assert entity.columns[-1] == EXTRA
        assert "extra" not in entity.mapped_names


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**27), max_value=10**27, places=10))
def test_a_decimal_keeps_every_digit(number: Decimal) -> None:
    """Case 44: no float in between: the digits of the JSON number are those of the decimal, trailing zeros
    too.
    """
    texts, _ = json_column(batch_of(pa.array([number], pa.decimal128(38, 10))), ["x"])
    assert texts[0].as_py() == f'{{"x":{number:.10f}}}'


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([2**63 - 1]), 2**63 - 1),
        (pa.array([True]), True),
        (pa.array([False]), False),
        (pa.array([0.1]), Decimal("0.1")),
        (pa.array([date(2026, 1, 15)]), "2026-01-15"),
        (pa.array([datetime(2026, 1, 15, 6, 0, 0, 3000)], pa.timestamp("ms")), "2026-01-15T06:00:00.003"),
        (pa.array([1_000_000_999], pa.timestamp("ns")), "1970-01-01T00:00:01.000000"),
        (pa.array([datetime(1, 1, 1)], pa.timestamp("us")), "0001-01-01T00:00:00.000000"),
        (pa.array([time(6, 30)], pa.time64("us")), "06:30:00.000000"),
        (pa.array(['a "quoted", \\ text\r\nÑandú 🏠']), 'a "quoted", \\ text\r\nÑandú 🏠'),
        (pa.array([""]), ""),
        (pa.array(["R 1"]), "R 1"),
        (pa.array(["17"]), "17"),
    ],
)
def test_each_value_in_its_own_type(array: pa.Array, expected: object) -> None:
    """Case 44: every type that JSON knows is that type."""
    assert carried(array) == expected


def test_what_is_null_is_left_out_and_a_row_of_nulls_carries_nothing() -> None:
    texts, _ = json_column(
        batch_of(pa.array(["a", None, None]), pa.array([None, 2, None])), ["zone", "tax district"]
    )
    assert texts.to_pylist() == ['{"zone":"a"}', '{"tax district":2}', None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a\x00b"]),
        pa.array(["Ca\ufffdon"]),
        pa.array([math.nan]),
        pa.array([math.inf]),
        pa.array([b"\x01"]),
    ],
)
def test_a_value_that_cant_be_carried_sets_its_row_aside(array: pa.Array) -> None:
    """Cases 44, 69, 70: nothing of such a row's extra is shown; its neighbours stay."""
    entity = Entity("thing", "thing", "k", (EntityColumn("k", "integer"), EXTRA))
    two = pa.RecordBatch.from_arrays(
        [pa.array([1, 2]), pa.concat_arrays([array, pa.nulls(1, array.type)])], names=["k", alias(0)]
    )
    mapped = map_batch(two, entity, ["x"])
    assert mapped.column("extra").to_pylist() == [None, None]
    assert mapped.column(REJECT).to_pylist() == ["{MAP.extra}", None]


def test_a_table_that_carries_nothing_pays_nothing() -> None:
    texts, bad = json_column(pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["k"]), [])
    assert (texts.to_pylist(), bad) == ([None, None], None)


@pytest.mark.parametrize(
    "kind",
    ["varbinary", "image", "geometry", "sql_variant", "timestamp", "hierarchyid", "some type of theirs"],
)
def test_a_type_without_a_place_in_json_is_refused_by_name(kind: str) -> None:
    """Case 44: in the county's file it is an error; among new columns it is passed over."""
    with pytest.raises(ConfigError, match=r"'Shape'.*tables\.property\.extra\.lot_shape") as refused:
        refuse_uncarried(resolved({"lot_shape": "Shape"}, Shape=kind))
    assert refused.value.code == "PACS-003"
    assert added_since(resolved(Shape=kind, Zoning="varchar"), [], ["Shape", "Zoning"]) == ("Zoning",)


def test_new_columns_stay_chosen_until_they_are_gone() -> None:
    """Case 44: the choice is the same from run to run."""
    assert added_since(resolved(Zoning="int", Zip4="char"), ["Zoning"], ["Zip4"]) == ("Zoning", "Zip4")
    assert added_since(resolved(Zip4="char"), ["Zoning", "Zip4"], []) == ("Zip4",)
    assert added_since(ResolvedTable(resolved().map, {}), ["Zoning"], []) == ("Zoning",)


def test_a_new_column_that_the_file_names_travels_once() -> None:
    made = carrying(
        resolved({"zone_code": "Zoning"}, Zoning="int", zone_code="int", Zip4="char"),
        ["Zoning", "zone_code", "Zip4", "City"],
    )
    assert made.map.extra == (("zone_code", "Zoning"), ("Zip4", "Zip4"))


def test_what_extra_carries_is_part_of_the_map() -> None:
    """Case 44: another set of columns, or one of another type, means that every row is read again."""
    plain, zoned = resolved(Zoning="int"), resolved({"zone_code": "Zoning"}, Zoning="int")
    assert plain.map.fingerprint != zoned.map.fingerprint
    assert zoned.fingerprint != resolved({"zone_code": "Zoning"}, Zoning="varchar").fingerprint
    assert plain.fingerprint == resolved(Zoning="varchar").fingerprint
