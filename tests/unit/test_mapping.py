"""Arrow batches as a driver sends them -> canonical columns, rejects, and CSV that PostgreSQL reads back as
the same values.
"""

from __future__ import annotations

import csv
import io
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sync.entities import ColumnType, Entity, EntityColumn
from airflow_provider_pacs.sync.mapping.batches import REJECT, map_batch, refuse_misfits, to_csv
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn


def entity_of(kind: ColumnType) -> Entity:
    return Entity("thing", "thing", "x", (EntityColumn("x", kind),))


def mapped(kind: ColumnType, array: pa.Array) -> tuple[list[Any], list[Any]]:
    """(values, rejects) of one column."""
    batch = map_batch(pa.RecordBatch.from_arrays([array], names=["x"]), entity_of(kind))
    return batch.column("x").to_pylist(), batch.column(REJECT).to_pylist()


def read_back(kind: ColumnType, array: pa.Array) -> list[tuple[str | None, str | None]]:
    """(x, _reject) as `COPY ... FORMAT csv` reads them: unquoted nothing is NULL."""
    entity = entity_of(kind)
    text = to_csv(map_batch(pa.RecordBatch.from_arrays([array], names=["x"]), entity), entity).decode()
    rows = (
        list(csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NOTNULL))
        if hasattr(csv, "QUOTE_NOTNULL")
        else _parsed(text)
    )
    return [(row[0], row[1]) for row in rows]


def _parsed(text: str) -> list[list[str | None]]:
    """CSV by the letter: csv.reader before Python 3.12 can't tell nothing from ''."""
    rows: list[list[str | None]] = [[]]
    place = 0
    while place < len(text):
        if text[place] == '"':
            end = place + 1
            while text[end] != '"' or text[end + 1 : end + 2] == '"':
                end += 2 if text[end] == '"' else 1
            rows[-1].append(text[place + 1 : end].replace('""', '"'))
            place = end + 1
        else:
            end = min(position for mark in ",\n" if (position := text.find(mark, place)) >= 0)
            rows[-1].append(text[place:end] or None)
            place = end
        if text[place] == "\n":
            rows.append([])
            if place + 1 == len(text):
                break
        place += 1
    return [row for row in rows if row]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufffd")),
        min_size=1,
        max_size=5,
    )
)
def test_text_goes_through_as_it_is(texts: list[str | None]) -> None:
    """Cases 68, 84: every text, NULL and '' included, comes out of the CSV as it went in."""
    assert read_back("text", pa.array(texts, pa.string())) == [(text, None) for text in texts]


@settings(deadline=None)
@given(st.lists(st.none() | st.text("ab\x00\ufffd", max_size=4), min_size=1, max_size=6))
def test_damaged_text_is_set_aside(texts: list[str | None]) -> None:
    """Cases 69, 70: NUL and U+FFFD become NULL with a reason; the neighbours stay."""
    for text, (value, reject) in zip(texts, read_back("text", pa.array(texts, pa.string())), strict=True):
        damaged = text is not None and ("\x00" in text or "\ufffd" in text)
        assert (value, reject) == ((None, "{MAP.x}") if damaged else (text, None))


@settings(deadline=None, max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_same_number_afterwards(number: float) -> None:
    """Case 64: the shortest text that reads back as the same float."""
    ((text, reject),) = read_back("numeric", pa.array([number], pa.float64()))
    assert reject is None
    assert float(text or "") == number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_set_aside(number: float) -> None:
    assert mapped("numeric", pa.array([number, 1.5])) == ([None, "1.5"], ["{MAP.x}", None])


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**27), max_value=10**27, places=10))
def test_a_decimal_keeps_every_digit(number: Decimal) -> None:
    """Cases 62, 63: decimal(38,10) and money go through without float."""
    ((text, reject),) = read_back("numeric", pa.array([number], pa.decimal128(38, 10)))
    assert reject is None
    assert Decimal(text or "") == number


@pytest.mark.parametrize("text", ["1", "-1.5", "+2.", ".5", " 12 ", "1e10", "9" * 60 + ".5"])
def test_numbers_as_text(text: str) -> None:
    assert mapped("numeric", pa.array([text])) == ([text], [None])


@pytest.mark.parametrize("text", ["", "1,5", "abc", "1 2", "--1", "NaN", "0x10", "1e", "$5"])
def test_what_is_no_number(text: str) -> None:
    """A value that does not fit is never bent: NULL and a reason."""
    assert mapped("numeric", pa.array([text, "1"])) == ([None, "1"], ["{MAP.x}", None])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None], pa.int16()), [1, None]),
        (pa.array([2**31 - 1, -(2**31)], pa.int64()), [2**31 - 1, -(2**31)]),
        (pa.array([1.0, -3.0, None]), [1, -3, None]),
        (pa.array([Decimal("7.00")], pa.decimal128(9, 2)), [7]),
        (pa.array(["12", " -3 "]), ["12", " -3 "]),
    ],
)
def test_integers(array: pa.Array, expected: list[Any]) -> None:
    assert mapped("integer", array) == (expected, [None] * len(expected))


@pytest.mark.parametrize(
    "array",
    [
        pa.array([2**31], pa.int64()),
        pa.array([-(2**31) - 1], pa.int64()),
        pa.array([1.5]),
        pa.array([math.nan]),
        pa.array([math.inf]),
        pa.array([2.0**31]),
        pa.array([Decimal("1.01")], pa.decimal128(9, 2)),
        pa.array(["1.0"]),
        pa.array(["12345678901"]),
        pa.array([datetime(2026, 1, 1)], pa.timestamp("ms")),
    ],
)
def test_what_is_no_integer(array: pa.Array) -> None:
    values, rejects = mapped("integer", array)
    assert (values, rejects) == ([None], ["{MAP.x}"])


@pytest.mark.parametrize(
    "declared",
    [
        "binary",
        "varbinary",
        "image",
        "timestamp",
        "rowversion",
        "geometry",
        "geography",
        "hierarchyid",
        "sql_variant",
    ],
)
def test_a_type_without_a_canonical_value_is_refused_before_it_is_read(declared: str) -> None:
    """Cases 78, 80, 81: bytes, shapes and variants are no text, number, date or key: such a mapping is a
    mistake, not bad data.
    """
    table = load_tables("generic")["property"]
    columns = {"Address": SourceColumn("Address", declared, 8, 0, 0, True)}
    with pytest.raises(ConfigError, match=r"column 'Address' is .*, but address takes text"):
        refuse_misfits(ResolvedTable(table, columns))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([True, False, None]), [True, False, None]),
        (
            pa.array(["T", "f", "Y", "n", "1", "0", " true ", "False", None]),
            [True, False, True, False, True, False, True, False, None],
        ),
        (pa.array([1, 0], pa.int8()), [True, False]),
    ],
)
def test_booleans(array: pa.Array, expected: list[bool | None]) -> None:
    """Case 66: bit and the letters that counties write; NULL stays NULL."""
    assert mapped("boolean", array) == (expected, [None] * len(expected))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (
            pa.array([86_399_999_999_900, 1_999, 0, None], pa.time64("ns")),
            ["23:59:59.999999", "00:00:00.000001", "00:00:00.000000", None],
        ),
        (pa.array([45_000_123], pa.time32("ms")), ["12:30:00.123"]),
        (pa.array([45_000], pa.time32("s")), ["12:30:00"]),
    ],
)
def test_a_time_as_text(array: pa.Array, expected: list[str | None]) -> None:
    """Case 61: the seventh digit is cut, so that no time becomes the next day's."""
    assert mapped("text", array) == (expected, [None] * len(expected))


@pytest.mark.parametrize("value", ["", "X", "yes!", "2"])
def test_what_is_no_boolean(value: str) -> None:
    assert mapped("boolean", pa.array([value])) == ([None], ["{MAP.x}"])


@given(st.integers(-(2**62), 2**62))
@settings(deadline=None)
def test_nanoseconds_go_down(nanoseconds: int) -> None:
    """Case 57: the seventh digit is cut, also before 1970: never up, so never into the future of its source."""
    values, _ = mapped("timestamp", pa.array([nanoseconds], pa.int64()).cast(pa.timestamp("ns")))
    micros = pa.array(values, pa.timestamp("us")).cast(pa.int64()).to_pylist()
    assert micros == [nanoseconds // 1000]


def test_dates_and_text_stamps() -> None:
    assert mapped("timestamp", pa.array([date(2026, 1, 2)]))[0] == [datetime(2026, 1, 2)]
    assert (
        mapped("timestamp", pa.array(["2026-01-02", "2026-01-02 03:04:05.678901", "2026-01-02T03:04"]))[1]
        == [None] * 3
    )
    assert (
        mapped("timestamp", pa.array(["1/2/2026", "", "2026-01-02 03:04:05.1234567", "today"]))[0]
        == [None] * 4
    )
    assert mapped("timestamp", pa.array([5], pa.int32())) == ([None], ["{MAP.x}"])


GUID = "6F9619FF-8B86-D011-B42D-00C04FC964FF"


YEARS = st.sampled_from(
    ["0000", "0001", "0004", "0100", "0400", "1900", "2000", "2023", "2024", "9996", "9999"]
)
TWO_DIGITS = st.integers(0, 62).map("{:02d}".format)


@given(
    year=YEARS,
    month=TWO_DIGITS,
    day=TWO_DIGITS,
    clock=st.none() | st.tuples(TWO_DIGITS, TWO_DIGITS, TWO_DIGITS),
)
@settings(max_examples=400, deadline=None)
@example("2023", "02", "29", None)
@example("1900", "02", "29", None)
@example("2000", "02", "29", ("23", "59", "59"))
@example("9999", "12", "31", ("24", "00", "00"))
@example("2024", "04", "31", None)
def test_a_text_is_a_stamp_where_the_calendar_has_it(
    year: str, month: str, day: str, clock: tuple[str, str, str] | None
) -> None:
    """Cases 59, 110: the form alone is not enough: PostgreSQL refuses the 30th of February (22008), and with
    it the whole run.
    """
    text = f"{year}-{month}-{day}" + (f" {':'.join(clock)}" if clock else "")
    try:
        datetime(*map(int, (year, month, day, *(clock or ()))))
    except ValueError:
        assert mapped("timestamp", pa.array([text])) == ([None], ["{MAP.x}"])
    else:
        assert mapped("timestamp", pa.array([text])) == ([text], [None])


@pytest.mark.parametrize("text", ["1e5000", "1E+99999", "-1e-20000", "1e1000"])
def test_a_text_that_no_numeric_holds(text: str) -> None:
    """Case 110: PostgreSQL refuses a numeric of more than 131,072 digits (22003), and with it the whole run."""
    assert mapped("numeric", pa.array([text])) == ([None], ["{MAP.x}"])


@pytest.mark.parametrize(
    "text",
    [
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "{6f9619ff-8b86-d011-b42d-00c04fc964ff}",
        "6f9619ff8b86d011b42d00c04fc964ff",
    ],
)
def test_guids(text: str) -> None:
    """Case 67: as a driver or a county writes it; PostgreSQL makes one value of all."""
    assert mapped("uuid", pa.array([text])) == ([text], [None])


ALMOST = [f"{{{GUID}", f"{GUID}}}", f" {GUID}"]


@pytest.mark.parametrize(
    "array", [pa.array([text]) for text in ("6F9619FF-8B86", "", "g" * 32, *ALMOST)] + [pa.array([7])]
)
def test_what_is_no_guid(array: pa.Array) -> None:
    """Cases 36, 67: PostgreSQL would refuse it, and with it the whole run."""
    assert mapped("uuid", array) == ([None], ["{MAP.x}"])


def test_all_reasons_of_a_row_and_the_extra_columns() -> None:
    """A row names every cell that did not fit; what the engine adds travels on, what nobody mapped does not."""
    entity = Entity("thing", "thing", "a", (EntityColumn("a", "integer"), EntityColumn("b", "boolean")))
    batch = pa.RecordBatch.from_pydict(
        {"b": ["?", "Y"], "a": [1.5, 2.0], "_source_version": ["v1", "v2"], "other": [1, 2], "_late": [0, 1]}
    )
    result = map_batch(batch, entity)
    assert result.schema.names == ["a", "b", "_source_version", "_late", REJECT]
    assert result.column(REJECT).to_pylist() == ["{MAP.a,MAP.b}", None]


def test_an_empty_batch_has_its_columns() -> None:
    empty = pa.RecordBatch.from_arrays([pa.array([], pa.string())], names=["x"])
    assert map_batch(empty, entity_of("text")).schema.names == ["x", REJECT]
    assert to_csv(map_batch(empty, entity_of("text")), entity_of("text")) == b""
