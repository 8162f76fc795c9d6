"""Any value that a type can hold: bound as a parameter, stored, read back by the driver, equal.

Hypothesis chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyodbc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.server import MssqlServer

CP1252 = (
    "".join(chr(n) for n in range(32, 127))
    + "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
    + "".join(chr(n) for n in range(160, 256))
)
UNICODE = st.characters(exclude_categories=["Cs"])


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def decimals(largest: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(
        min_value=Decimal(f"-{largest}"),
        max_value=Decimal(largest),
        places=places,
        allow_nan=False,
        allow_infinity=False,
    )


def same(value: Any) -> Any:
    return value


# Declared type, what to bind, and how a value looks when it comes back.
TYPES: list[tuple[str, st.SearchStrategy[Any], Callable[[Any], Any]]] = [
    ("bigint", st.integers(-(2**63), 2**63 - 1), same),
    ("int", st.integers(-(2**31), 2**31 - 1), same),
    ("tinyint", st.integers(0, 255), same),
    ("bit", st.booleans(), same),
    ("float", st.floats(allow_nan=False, allow_infinity=False), same),
    ("decimal(38, 10)", decimals("9999999999999999999999999999.9999999999", 10), same),
    ("decimal(9, 2)", decimals("9999999.99", 2), same),
    ("money", decimals("922337203685477.5807", 4), same),
    ("date", st.dates(), same),
    ("datetime2(7)", st.datetimes(), same),
    ("datetime2(6)", st.datetimes(), same),
    (
        "datetime2(3)",
        st.datetimes().map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
        same,
    ),
    (
        "time(6)",
        st.times().map(lambda moment: moment.replace(microsecond=0)),
        same,
    ),  # pyodbc binds no fraction of a time
    ("uniqueidentifier", st.uuids(), lambda value: str(value).upper()),
    ("nvarchar(40)", st.text(UNICODE, max_size=40).filter(lambda text: utf16_units(text) <= 40), same),
    ("nvarchar(max)", st.text(UNICODE, max_size=60), same),
    ("varchar(40)", st.text(st.sampled_from(CP1252), max_size=40), same),
    ("varbinary(40)", st.binary(max_size=40), same),
]
VALUES = st.tuples(*(st.none() | strategy for _, strategy, _ in TYPES))


@pytest.fixture(scope="module")
def connection(mssql: MssqlServer) -> Iterator[tuple[pyodbc.Connection, str]]:
    columns = ", ".join(f"c{number} {declared} NULL" for number, (declared, _, _) in enumerate(TYPES))
    with mssql.table(f"k int NOT NULL, {columns}") as name:
        opened = mssql.connect()
        yield opened, name
        opened.close()


def of_types(**chosen: Any) -> tuple[Any, ...]:
    """A row with these values under the types' names without their arguments, NULL elsewhere."""
    names = [declared.split("(")[0] for declared, _, _ in TYPES]
    return tuple(
        chosen.get(name) if names.index(name) == number else None for number, name in enumerate(names)
    )


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=VALUES)
@example(
    values=of_types(
        datetime2=datetime(9999, 12, 31, 23, 59, 59, 999999),
        date=date.max,
        time=time(23, 59, 59),
        decimal=Decimal("-9999999999999999999999999999.9999999999"),
    )
)
@example(
    values=of_types(
        datetime2=datetime(1, 1, 1), date=date.min, money=Decimal("-922337203685477.5808"), float=5e-324
    )
)
@example(
    values=of_types(
        nvarchar="a\x00b😀", varchar="€ \x7f", varbinary=b"\x00", uniqueidentifier=UUID(int=0), float=-0.0
    )
)
@example(
    values=of_types(nvarchar="", varchar="   ", varbinary=b"", bigint=-(2**63), float=1.7976931348623157e308)
)
def test_a_bound_value_comes_back_equal(
    connection: tuple[pyodbc.Connection, str], values: tuple[Any, ...]
) -> None:
    opened, name = connection
    opened.execute(f"DELETE FROM dbo.{name}")
    opened.execute(f"INSERT INTO dbo.{name} VALUES (1{', ?' * len(TYPES)})", *values)
    row = opened.execute(f"SELECT * FROM dbo.{name}").fetchone()
    for (declared, _, shown), value, returned in zip(TYPES, values, tuple(row)[1:], strict=True):
        assert returned == (None if value is None else shown(value)), declared
