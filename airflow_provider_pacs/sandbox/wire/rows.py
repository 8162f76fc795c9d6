"""ROW tokens of whole Arrow batches, without a Python step per row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_pacs.sandbox.model import MAX, Column, SqlType
from airflow_provider_pacs.sandbox.wire.type_info import CP1252_ERRORS, NOT_NULL, decimal_width, time_width

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_ROW, _CHUNK = 0xD1, 1 << 20
_DAYS_TO_1970, _DAYS_1900_TO_1970 = 719162, 25567
_NULL_16 = 0xFFFF
_TEXT_HEADER = b"\x10" + b"sandbox textptr." + bytes(8)

_UTF16_UNITS = np.ones(256, np.int64)
_UTF16_UNITS[0x80:0xC0] = 0
_UTF16_UNITS[0xF0:] = 2

_NUMBERS: dict[str, tuple[pa.DataType, Any]] = {
    "tinyint": (pa.uint8(), np.uint8),
    "smallint": (pa.int16(), np.int16),
    "int": (pa.int32(), np.int32),
    "bigint": (pa.int64(), np.int64),
    "real": (pa.float32(), np.float32),
    "float": (pa.float64(), np.float64),
}
_UNICODE, _CODE_PAGE = ("nchar", "nvarchar", "ntext", "xml"), ("char", "varchar", "text")


def chunks(batch: pa.RecordBatch, limit: int | None = None) -> Iterator[pa.RecordBatch]:
    """Slices of about a megabyte, so that a batch of large values is never encoded at once. `limit` caps the
    rows of a slice.
    """
    rows = max(1, _CHUNK * batch.num_rows // max(1, batch.nbytes)) if batch.num_rows else 1
    rows = min(rows, limit or rows, 65536)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


class RowEncoder:
    """Encodes batches of one result set."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = [(column, _encoder(column.type, column.nullable)) for column in columns]

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The ROW tokens of a batch.

        Raises:
            ValueError: a value does not fit the declared type.
        """
        if batch.num_columns != len(self._columns):
            raise ValueError(f"{batch.num_columns} Arrow columns for {len(self._columns)} declared")
        count = batch.num_rows
        if not count:
            return b""
        parts: list[Bytes | pa.Array] = [np.full((count, 1), _ROW, np.uint8)]
        for (column, encode), array in zip(self._columns, batch.columns, strict=True):
            try:
                if array.null_count and not column.nullable:
                    raise ValueError("NULL where the column is NOT NULL")
                parts.extend(encode(array))
            except (ValueError, OverflowError) as problem:
                raise ValueError(f"column {column.name}: {problem}") from problem
        arrays = list(_merged(parts))
        return (
            _flat(pc.binary_join_element_wise(*arrays, b""))[0].tobytes()
            if len(arrays) > 1
            else arrays[0].buffers()[2].to_pybytes()
        )


def _merged(parts: Sequence[Bytes | pa.Array]) -> Iterator[pa.Array]:
    """Neighbours of fixed width become one array: joining costs by the array."""
    for fixed, group in itertools.groupby(parts, lambda part: isinstance(part, np.ndarray)):
        if fixed:
            yield _strided(np.hstack(list(group)))
        else:
            yield from group


def _encoder(sql_type: SqlType, nullable: bool) -> Callable[[pa.Array], list[Bytes | pa.Array]]:
    name = sql_type.name
    if name not in _FIXED:
        return lambda array: _variable(array, sql_type)
    encode = _FIXED[name]
    if name in NOT_NULL and not nullable:
        return lambda array: [encode(array, sql_type)]
    return lambda array: _sized(encode(array, sql_type), array)


def _valid(array: pa.Array) -> Mask | None:
    return np.asarray(array.is_valid()) if array.null_count else None


def _values(array: pa.Array, dtype: Any, words: int = 1) -> npt.NDArray[Any]:
    """The value buffer as it is: what lies under a NULL is anything."""
    data = array.buffers()[1]
    start, end = array.offset * words, (array.offset + len(array)) * words
    return np.frombuffer(data, dtype, end)[start:]


def _matrix(values: npt.NDArray[Any], width: int | None = None) -> Bytes:
    contiguous = np.ascontiguousarray(values)
    matrix = contiguous.view(np.uint8).reshape(
        len(contiguous), contiguous.itemsize * math.prod(contiguous.shape[1:])
    )
    return matrix[:, :width] if width else matrix


def _binary(data: Bytes, lengths: Ints) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return _offset_binary(data, offsets)


def _offset_binary(data: Bytes, offsets: Ints) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def _strided(matrix: Bytes) -> pa.Array:
    count, width = matrix.shape
    return _offset_binary(matrix.reshape(-1), np.arange(count + 1, dtype=np.int64) * width)


def _ragged(matrix: Bytes, lengths: Ints) -> pa.Array:
    return _binary(matrix[np.arange(matrix.shape[1]) < lengths[:, None]], lengths)


def _sized(data: Bytes, array: pa.Array) -> list[Bytes | pa.Array]:
    """BYTELEN values: the length in one byte, 0 for NULL."""
    count, width = data.shape
    valid = _valid(array)
    if valid is None:
        return [np.full((count, 1), width, np.uint8), data]
    lengths = np.where(valid, width, 0)
    return [lengths.astype(np.uint8).reshape(-1, 1), _binary(data[valid].reshape(-1), lengths)]


def _number(array: pa.Array, sql_type: SqlType) -> Bytes:
    carrier, dtype = _NUMBERS[sql_type.name]
    return _matrix(_values(array.cast(carrier), dtype))


def _bit(array: pa.Array, _: SqlType) -> Bytes:
    return np.asarray(array.cast(pa.bool_()).fill_null(False)).astype(np.uint8).reshape(-1, 1)


def _decimal(array: pa.Array, sql_type: SqlType) -> Bytes:
    words = _values(array.cast(pa.decimal128(sql_type.precision, sql_type.scale)), np.uint64, 2).reshape(
        -1, 2
    )
    negative = (words[:, 1] >> np.uint64(63)).astype(bool)
    low = np.where(negative, ~words[:, 0] + np.uint64(1), words[:, 0])
    high = np.where(negative, ~words[:, 1] + (low == 0), words[:, 1])
    magnitude = _matrix(np.column_stack([low, high]), decimal_width(sql_type.precision))
    return np.hstack([np.where(negative, 0, 1).astype(np.uint8).reshape(-1, 1), magnitude])


def _money(array: pa.Array, _: SqlType) -> Bytes:
    units = _values(array.cast(pa.decimal128(19, 4)), np.int64, 2)[::2]
    halves = _matrix(units)
    return np.hstack([halves[:, 4:], halves[:, :4]])


def _smallmoney(array: pa.Array, _: SqlType) -> Bytes:
    return _matrix(_values(array.cast(pa.decimal128(10, 4)), np.int64, 2)[::2], 4)


def _date(array: pa.Array, _: SqlType) -> Bytes:
    return _matrix(_values(array.cast(pa.date32()), np.int32) + np.int32(_DAYS_TO_1970), 3)


def _time(array: pa.Array, sql_type: SqlType) -> Bytes:
    nanoseconds = _values(array.cast(pa.time64("ns")), np.int64)
    return _matrix(nanoseconds // 10 ** (9 - sql_type.scale), time_width(sql_type.scale))


def _days_and_rest(array: pa.Array) -> tuple[Ints, Ints, int]:
    """Days since 1970, the rest of the day, and how many units of the rest make a second."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
    days, rest = np.divmod(_values(array, np.int64), 86400 * per_second)
    return days, rest, per_second


def _datetime2(array: pa.Array, sql_type: SqlType) -> Bytes:
    seventh: Any = 0
    if pa.types.is_struct(array.type):
        array, seventh = array.field(0), _values(array.field(1).cast(pa.uint8()), np.uint8)
    days, rest, per_second = _days_and_rest(array)
    wanted = 10**sql_type.scale
    units = seventh + (
        rest // (per_second // wanted) if per_second >= wanted else rest * (wanted // per_second)
    )
    return np.hstack([_matrix(units, time_width(sql_type.scale)), _matrix(days + _DAYS_TO_1970, 3)])


def _datetime(array: pa.Array, _: SqlType) -> Bytes:
    days, rest, per_second = _days_and_rest(array)
    ticks = (rest * 300 + per_second // 2) // per_second
    days = days + (ticks == 86400 * 300)
    ticks %= 86400 * 300
    return np.hstack(
        [_matrix((days + _DAYS_1900_TO_1970).astype(np.int32)), _matrix(ticks.astype(np.uint32))]
    )


def _smalldatetime(array: pa.Array, _: SqlType) -> Bytes:
    days, rest, per_second = _days_and_rest(array)
    minutes = rest // (60 * per_second)
    return np.hstack(
        [_matrix((days + _DAYS_1900_TO_1970).astype(np.uint16)), _matrix(minutes.astype(np.uint16))]
    )


def _datetimeoffset(array: pa.Array, sql_type: SqlType) -> Bytes:
    moment, offset = array.field(0), array.field(1)
    return np.hstack([_datetime2(moment, sql_type), _matrix(_values(offset.cast(pa.int16()), np.int16))])


def _guid(array: pa.Array, _: SqlType) -> Bytes:
    return _values(array, np.uint8, 16).reshape(-1, 16)


_FIXED: dict[str, Callable[[pa.Array, SqlType], Bytes]] = {
    **dict.fromkeys(_NUMBERS, _number),
    "bit": _bit,
    "decimal": _decimal,
    "numeric": _decimal,
    "money": _money,
    "smallmoney": _smallmoney,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "smalldatetime": _smalldatetime,
    "datetime2": _datetime2,
    "datetimeoffset": _datetimeoffset,
    "uniqueidentifier": _guid,
}


def _flat(array: pa.Array) -> tuple[Bytes, Ints]:
    """Data and offsets of a binary or string array, from zero, NULL as empty."""
    if array.null_count:
        array = array.fill_null(pa.scalar(b"" if pa.types.is_binary(array.type) else "", array.type))
    _, positions, data = array.buffers()
    if not len(array) or data is None or not data.size:
        return np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    offsets = np.frombuffer(positions, np.int32, array.offset + len(array) + 1)[array.offset :].astype(
        np.int64
    )
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def _encoded(array: pa.Array, sql_type: SqlType) -> tuple[Bytes, Ints]:
    """The column's bytes in its own encoding.

    Both encodings have one unit per UTF-16 unit, so the new offsets are counted, not searched.
    """
    if (
        pa.types.is_binary(array.type)
        or pa.types.is_large_binary(array.type)
        or pa.types.is_fixed_size_binary(array.type)
    ):
        return _flat(array.cast(pa.binary()))
    wide = sql_type.name in _UNICODE
    if not wide and sql_type.name not in _CODE_PAGE:
        raise ValueError(f"{array.type} cannot be sent as {sql_type.name}")
    data, offsets = _flat(array.cast(pa.string()))
    if not len(data) or data.max() < 0x80:
        return (_matrix(data.astype("<u2")).reshape(-1), offsets * 2) if wide else (data, offsets)
    units = np.zeros(len(data) + 1, np.int64)
    np.cumsum(_UTF16_UNITS[data], out=units[1:])
    text = data.tobytes().decode("utf-8")
    recoded = text.encode("utf-16-le") if wide else text.encode("cp1252", CP1252_ERRORS)
    return np.frombuffer(recoded, np.uint8), units[offsets] * (2 if wide else 1)


def _padded(data: Bytes, lengths: Ints, valid: Mask | None, width: int, filler: bytes) -> tuple[Bytes, Ints]:
    matrix = np.tile(np.frombuffer(filler, np.uint8), (len(lengths), width // len(filler)))
    matrix[np.arange(width) < lengths[:, None]] = data
    if valid is None:
        return matrix.reshape(-1), np.full(len(lengths), width, np.int64)
    return matrix[valid].reshape(-1), np.where(valid, width, 0)


def _variable(array: pa.Array, sql_type: SqlType) -> list[Bytes | pa.Array]:
    valid = _valid(array)
    data, offsets = _encoded(array, sql_type)
    lengths = np.diff(offsets)
    present = np.ones(len(lengths), np.bool_) if valid is None else valid
    if sql_type.name in ("text", "ntext", "image"):
        header = np.tile(np.frombuffer(_TEXT_HEADER + bytes(4), np.uint8), (len(lengths), 1))
        header[:, -4:] = _matrix(lengths.astype(np.uint32))
        header[~present, 0] = 0
        return [_ragged(header, np.where(present, header.shape[1], 1)), _offset_binary(data, offsets)]
    if sql_type.length == MAX or sql_type.name == "xml":
        # PLP. An empty value is its length and the terminator: the chunk length of zero in the header is that
        # terminator.
        header = np.hstack([_matrix(np.where(present, lengths, -1)), _matrix(lengths.astype(np.uint32))])
        end = _binary(np.zeros(4 * int(np.count_nonzero(lengths)), np.uint8), np.where(lengths > 0, 4, 0))
        return [_ragged(header, np.where(present, 12, 8)), _offset_binary(data, offsets), end]
    width = 8 if sql_type.name == "rowversion" else sql_type.length * (2 if sql_type.name in _UNICODE else 1)
    if len(lengths) and int(lengths.max()) > width:
        raise ValueError(f"{int(lengths.max())} bytes in {sql_type.name}({sql_type.length})")
    if sql_type.name in ("char", "nchar", "binary"):
        filler = {"char": b" ", "nchar": b" \x00", "binary": b"\x00"}[sql_type.name]
        data, lengths = _padded(data, lengths, valid, width, filler)
    prefix = _matrix(np.where(present, lengths, _NULL_16).astype(np.uint16))
    return [prefix, _binary(data, lengths)]
