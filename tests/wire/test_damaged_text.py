"""Text that PostgreSQL can't hold, or that was damaged before it came: the row says which column, and is
never bent.
"""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.mapping import map_batch, to_csv
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import PASSWORD, ScriptedEngine, rows_of

ENTITY = load_entities()["property"]
WIDE, NARROW = SqlType("nvarchar", 20), SqlType("varchar", 20)
UTF16 = {
    "whole": "ñ😀",
    "nul": "a\x00b",
    "high": b"a\x00\x3d\xd8",
    "low": b"a\x00\x00\xde",
    "reversed": b"\x00\xde\x3d\xd8",
    "replaced": "a\ufffd",
}


@pytest.mark.parametrize(
    ("name", "refused"),
    [("whole", False), ("nul", True), ("high", True), ("low", True), ("reversed", True), ("replaced", True)],
)
def test_text_of_nvarchar(server: SandboxServer, engine: ScriptedEngine, name: str, refused: bool) -> None:
    """Cases 68 to 70: whole pairs arrive, half a pair and NUL are a reason."""
    value = UTF16[name]
    raw = value if isinstance(value, bytes) else value.encode("utf-16-le")
    line = mapped_line(server, engine, WIDE, pa.array([raw], pa.binary()))
    assert ("MAP.address" in line) == refused
    assert ("ñ😀" in line) == (name == "whole")


def test_every_byte_of_code_page_1252_has_a_character_but_five(
    server: SandboxServer, engine: ScriptedEngine
) -> None:
    """Case 71: a fact about Microsoft's driver on Linux: it makes question marks of the bytes that the code
    page leaves open, for every client.
    """
    undefined = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
    sent = "".join(chr(n) if n in undefined else bytes([n]).decode("cp1252") for n in range(0x80, 0x100))
    expected = "".join("?" if n in undefined else bytes([n]).decode("cp1252") for n in range(0x80, 0x100))
    assert f'"{expected}"' in mapped_line(server, engine, SqlType("varchar", 200), pa.array([sent]))
    assert f'"{sent}"' in mapped_line(server, engine, SqlType("nvarchar", 200), pa.array([sent]))


@pytest.mark.parametrize(
    ("kind", "text"), [(NARROW, "ab  "), (NARROW, "  "), (WIDE, "ab  "), (SqlType("text"), "ab  ")]
)
def test_trailing_blanks_stay_in_varying_text(
    server: SandboxServer, engine: ScriptedEngine, kind: SqlType, text: str
) -> None:
    """Case 73: the policy: blanks that somebody stored are data; only the padding of char(n) and nchar(n)
    goes (`RTRIM` in the select list).
    """
    assert f'"{text}"' in mapped_line(server, engine, kind, pa.array([text]))


def mapped_line(server: SandboxServer, engine: ScriptedEngine, kind: SqlType, values: pa.Array) -> str:
    """One row's CSV line, with the value in the column `address`."""
    columns = [
        Column(name, kind if name == "address" else NARROW)
        for name in (*ENTITY.column_names, "_source_version")
    ]
    nothing = pa.nulls(1, pa.string())
    engine.answers["SELECT damaged"] = lambda: rows_of(
        columns, [values if column.name == "address" else nothing for column in columns]
    )
    address = SourceAddress("127.0.0.1", server.port, "PACS", "sa", PASSWORD)
    with SqlServerReader(address, attempts=1) as reader:
        (batch,) = reader.stream("SELECT damaged", lob_bound=lambda: 100)
    return to_csv(map_batch(batch, ENTITY), ENTITY).decode()
