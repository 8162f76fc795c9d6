"""What the mapping says about rows that don't fit: no reason is lost, and no number is too large to be
judged.
"""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.mapping import map_batch, to_csv

ENTITY = load_entities()["property"]


def batch(**values: pa.Array) -> pa.RecordBatch:
    rows = len(next(iter(values.values())))
    columns = {name: values.get(name, pa.nulls(rows, pa.string())) for name in ENTITY.column_names}
    return pa.RecordBatch.from_pydict({**columns, "_source_version": pa.nulls(rows, pa.string())})


def test_a_damaged_text_beside_another_misfit_keeps_both_reasons() -> None:
    rows = batch(address=pa.array(["a\x00b", "a\x00b", "fine"]), year_built=pa.array(["old", "1985", "old"]))
    csv = to_csv(map_batch(rows, ENTITY), ENTITY).decode().splitlines()
    assert [line.rsplit(",{")[-1].strip('"{') for line in (line.replace('"{', ",{") for line in csv)] == [
        "MAP.year_built,MAP.address}",
        "MAP.address}",
        "MAP.year_built}",
    ]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint32(), pa.float64()])
def test_a_whole_number_that_integer_cannot_hold_is_a_reason_not_a_crash(kind: pa.DataType) -> None:
    largest = {pa.int64(): 2**63 - 1, pa.uint32(): 2**32 - 1, pa.float64(): 1e300}[kind]
    mapped = map_batch(batch(year_built=pa.array([largest, 1985, None], kind)), ENTITY)
    assert mapped.column("year_built").to_pylist() == [None, 1985, None]
    assert mapped.column("_reject").to_pylist() == ["{MAP.year_built}", None, None]
