"""Numbers become text exactly, in columns and in `extra` alike."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.mapping import map_batch
from airflow_provider_pacs.sync.mapping.texts import number_text
from airflow_provider_pacs.sync.profiles import alias

PROPERTY = load_entities()["property"]
EXACT = [
    (pa.array([104881010001.0]), "104881010001"),
    (pa.array([1.0]), "1"),
    (pa.array([-0.0]), "0"),
    (pa.array([0.1]), "0.1"),
    (pa.array([0.1], pa.float32()), "0.1"),
    (pa.array([1e10], pa.float32()), "10000000000"),
    (pa.array([1e15]), "1000000000000000"),
    (pa.array([9007199254740993.0]), "9007199254740992"),
    (pa.array([1e22]), "1" + "0" * 22),
    (pa.array([1e-7]), "0.0000001"),
    (pa.array([12345678901.25]), "12345678901.25"),
    (pa.array([Decimal("104881010001.0")], pa.decimal128(18, 1)), "104881010001.0"),
    (pa.array([Decimal("12.5000")], pa.decimal128(19, 4)), "12.5000"),
    (pa.array([Decimal("0")], pa.decimal128(38, 10)), "0.0000000000"),
    (pa.array([Decimal("-1E-10")], pa.decimal128(38, 10)), "-0.0000000001"),
    (pa.array([255], pa.uint8()), "255"),
    (pa.array([-(2**63)], pa.int64()), "-9223372036854775808"),
]


@pytest.mark.parametrize(("values", "text"), EXACT)
def test_a_number_is_the_same_text_in_a_column_and_in_extra(values: pa.Array, text: str) -> None:
    """Case D3: `GeoF float = 104881010001` is the parcel number 104881010001, wherever it goes."""
    batch = pa.RecordBatch.from_arrays([values, values, values], names=["parcel_number", "acreage", alias(0)])
    mapped = map_batch(batch, PROPERTY, ["geo"])
    assert mapped.column("parcel_number").to_pylist() == [text]
    assert json.loads(mapped.column("extra").to_pylist()[0], parse_float=str, parse_int=str) == {"geo": text}
    assert Decimal(str(mapped.column("acreage").to_pylist()[0])) == Decimal(text)
    assert mapped.column("_reject").to_pylist() == [None]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_from_its_text(number: float) -> None:
    """Case D3: the shortest digits, written out."""
    (text,) = number_text(pa.array([number]))[0].to_pylist()
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)
    assert float(text) == number
    digits = text.lstrip("-").replace(".", "").strip("0")
    assert len(digits) <= len(repr(abs(number)).split("e")[0].replace(".", "").strip("0") or "")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, max_value=10**20, min_value=-(10**20)))
def test_a_decimal_keeps_its_digits(number: Decimal) -> None:
    """Case D3."""
    (text,) = number_text(pa.array([number], pa.decimal128(38, 10)))[0].to_pylist()
    assert Decimal(text) == number
    assert re.fullmatch(r"-?\d+\.\d{10}", text)


def test_what_is_no_number_is_set_aside_everywhere() -> None:
    """Case D3: the sandbox or a driver may hand out what SQL Server can't hold; it is no text `nan`."""
    values = pa.array([float("nan"), float("inf"), 1.0, None])
    batch = pa.RecordBatch.from_arrays([values, values], names=["parcel_number", alias(0)])
    mapped = map_batch(batch, PROPERTY, ["geo"])
    assert mapped.column("parcel_number").to_pylist() == [None, None, "1", None]
    assert mapped.column("extra").to_pylist() == [None, None, '{"geo":1}', None]
    assert [bool(reject) for reject in mapped.column("_reject").to_pylist()] == [True, True, False, False]
