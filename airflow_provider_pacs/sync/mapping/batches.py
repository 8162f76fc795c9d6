"""One Arrow batch as the source sent it -> the canonical columns, ready for COPY, with a `_reject` beside
each row that can't be one.

A value that does not fit its canonical type is never bent: the cell becomes NULL, the row carries the reason
in `_reject` and goes to quarantine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.mapping.extra import json_column
from airflow_provider_pacs.sync.mapping.texts import has_exponents, is_number, number_text
from airflow_provider_pacs.sync.profiles import alias
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import BYTES, DATES, NUMBERS, OTHERS, TEXTS

REJECT = "_reject"
SOURCE_VERSION = "_source_version"

_GUID = r"[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"
_UUID = rf"^({_GUID}|\{{{_GUID}\}})$"
_NUMERIC = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*$"
_INTEGER = r"^\s*[+-]?\d{1,9}\s*$"
_YEAR = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26]|0[48])00)"
_DAY = r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_TIMESTAMP = rf"^({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)([ T]{_CLOCK})?$"
_TRUE = pa.array(["1", "T", "t", "Y", "y", "true", "True", "TRUE"])
_FALSE = pa.array(["0", "F", "f", "N", "n", "false", "False", "FALSE"])
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1

Mapped = tuple[pa.Array, pa.Array | None]
"""A canonical column, and a boolean array that is true where the source's value did not fit (None: all
fitted).
"""

READS: dict[str, frozenset[str]] = {
    "uuid": TEXTS | {"uniqueidentifier"},
    "text": TEXTS | NUMBERS | DATES | OTHERS,
    "numeric": TEXTS | NUMBERS,
    "integer": TEXTS | NUMBERS,
    "boolean": TEXTS | NUMBERS | {"bit"},
    "timestamp": TEXTS | DATES,
}
"""T-SQL types whose values can become a value of the canonical type at all.

A type of the county's own is not refused by its name.
"""


def refuse_misfits(table: ResolvedTable, surrogates: Collection[str] = ()) -> None:
    """Refuse a column whose declared type never fits: that is a wrong name in the mapping, not bad data.

    Args:
        table: as the catalog has it.
        surrogates: canonical columns that the target makes itself, from whatever key the source has.

    Raises:
        ConfigError: PACS-003, names every such column.
    """
    mapped = table.map
    types = {column.name: column.type for column in load_entities()[mapped.entity].columns}
    promoted = dict(mapped.promoted)
    types |= promoted
    sources = (*mapped.columns, *((name, source) for name, source in mapped.extra if name in promoted))
    known = TEXTS | NUMBERS | DATES | OTHERS | BYTES
    misfits = [
        f"column {source!r} is {declared.declared}, but {canonical} takes {types[canonical]}"
        for canonical, source in sources
        if canonical not in surrogates
        and (declared := table.columns.get(source))
        and declared.type_name in known - READS[types[canonical]]
    ]
    if misfits:
        raise ConfigError(
            f"table {mapped.schema}.{mapped.table}: {'; '.join(misfits)}",
            remedy=f"name the county's columns under tables.{mapped.entity}.columns"
            + (", and types that fit under promote" if promoted else ""),
            code="PACS-003",
        )


def map_batch(
    batch: pa.RecordBatch, entity: Entity, extra: Sequence[str] = (), promoted: Collection[str] = ()
) -> pa.RecordBatch:
    """The canonical columns that the source has, in the entity's order, then `_source_version`, any other `_`
    column of the batch, and `_reject`.

    `_reject` is a PostgreSQL array literal of reasons such as `{MAP.acreage}`, or NULL.

    Args:
        batch: as `select_list` asked for it.
        entity: the canonical entity.
        extra: the names in column `extra`, in the order of their aliases.
        promoted: those of them that go to a column of their own.
    """
    sources = {name: alias(number) for number, name in enumerate(extra) if name in promoted}
    columns: list[pa.Array] = []
    reasons: list[tuple[str, pa.Array]] = []
    sent = [
        column
        for column in entity.columns
        if column.name in batch.schema.names or column.name in sources or column.type == "json"
    ]
    for column in sent:
        mapped, bad = (
            json_column(batch, extra, sources)
            if column.type == "json"
            else _MAPPERS[column.type](batch.column(sources.get(column.name, column.name)))
        )
        if bad is not None and pc.any(bad).as_py():
            reasons.append((f"MAP.{column.name}", bad))
        columns.append(mapped)
    others = [name for name in batch.schema.names if name.startswith("_")]
    columns += [batch.column(name) for name in others]
    reject = _reject_column(reasons, batch.num_rows)
    return pa.RecordBatch.from_arrays(
        [*columns, reject], names=[*(column.name for column in sent), *others, REJECT]
    )


def unreadable_keys(batch: pa.RecordBatch, mapped: pa.RecordBatch, entity: Entity, most: int) -> list[str]:
    """At most `most` keys that the source sent and that no key of the target can be made of, as sent but
    for blanks at their end.
    """
    if entity.key not in mapped.schema.names or entity.key not in batch.schema.names:
        return []
    sent = batch.column(entity.key)
    bad = pc.and_(pc.is_valid(sent), pc.is_null(mapped.column(entity.key)))
    return [str(key).rstrip(" ") for key in sent.filter(bad)[:most].to_pylist()]


def to_csv(batch: pa.RecordBatch, entity: Entity) -> bytes:
    """The batch as PostgreSQL reads it with `FORMAT csv`: NULL is empty, '' is quoted.

    Text PostgreSQL can't hold is rejected here.

    PostgreSQL refuses NUL in text (22021), and U+FFFD says that a value was already damaged before it came
    here (domain.md G16).
    """
    data = _csv(batch)
    if b"\x00" in data or b"\xef\xbf\xbd" in data:
        data = _csv(_without_damaged_text(batch, entity))
    return data


def _csv(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(batch, sink, pacsv.WriteOptions(include_header=False))
    return sink.getvalue()


def _without_damaged_text(batch: pa.RecordBatch, entity: Entity) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in batch.schema.names}
    reasons = []
    for column in entity.columns:
        values = columns.get(column.name)
        if values is None or not _is_text(values):
            continue
        bad = pc.fill_null(
            pc.or_(pc.match_substring(values, "\x00"), pc.match_substring(values, "\ufffd")), False
        )
        if pc.any(bad).as_py():
            reasons.append((f"MAP.{column.name}", bad))
            columns[column.name] = _null_where(bad, values)
    columns[REJECT] = _joined(columns[REJECT], _reject_column(reasons, batch.num_rows))
    return pa.RecordBatch.from_pydict(columns)


def _reject_column(reasons: list[tuple[str, pa.Array]], rows: int) -> pa.Array:
    if not reasons:
        return pa.nulls(rows, pa.string())
    joined = pc.utf8_rtrim(
        pc.binary_join_element_wise(*[pc.if_else(bad, f"{reason},", "") for reason, bad in reasons], ""), ","
    )
    return pc.if_else(
        pc.equal(joined, ""), pa.scalar(None, pa.string()), pc.binary_join_element_wise("{", joined, "}", "")
    )


def _joined(first: pa.Array, second: pa.Array) -> pa.Array:
    """Two columns of reasons as one: a row with both keeps both."""
    both = pc.binary_join_element_wise(pc.utf8_rtrim(first, "}"), pc.utf8_ltrim(second, "{"), ",")
    return pc.coalesce(both, first, second)


def _is_text(values: pa.Array) -> bool:
    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _null_where(bad: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(bad, pa.scalar(None, values.type), values)


def _matching(values: pa.Array, pattern: str) -> Mapped:
    bad = pc.fill_null(pc.invert(pc.match_substring_regex(values, pattern)), False)
    return _null_where(bad, values), bad


def _text(values: pa.Array) -> Mapped:
    if pa.types.is_time64(values.type):
        # Six digits, cut: the driver hands time(7) over as nanoseconds, which would be shown with nine (case
        # 61).
        values = pc.cast(values, pa.time64("us"), safe=False)
    if is_number(values.type):
        return number_text(values)
    return (values if _is_text(values) else pc.cast(values, pa.string())), None


def _uuid(values: pa.Array) -> Mapped:
    # SQL Server takes 'x' and 'x ' for the same key.
    return _matching(pc.utf8_rtrim(values, " "), _UUID) if _is_text(values) else _unmappable(values)


def _numeric(values: pa.Array) -> Mapped:
    if _is_text(values):
        return _matching(values, _NUMERIC)
    if pa.types.is_floating(values.type) or has_exponents(values.type):
        # COPY gets the text that reads back as the same number; PostgreSQL's own float8 -> numeric cast would
        # keep 15 digits only.
        return number_text(values)
    return (values, None) if is_number(values.type) else _unmappable(values)


def _integer(values: pa.Array) -> Mapped:
    if _is_text(values):
        return _matching(values, _INTEGER)
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        bad = pc.fill_null(pc.or_(pc.not_equal(values, pc.floor(values)), _outside_int4(values)), False)
        return pc.cast(_null_where(bad, values), pa.int32()), bad
    if pa.types.is_int64(values.type) or pa.types.is_uint32(values.type):
        bad = pc.fill_null(_outside_int4(values), False)
        return _null_where(bad, values), bad
    return (values, None) if pa.types.is_integer(values.type) else _unmappable(values)


def _outside_int4(values: pa.Array) -> pa.Array:
    wide = (
        values
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
        else pc.cast(values, pa.float64())
    )
    return pc.or_(pc.less(wide, _INT_MIN), pc.greater(wide, _INT_MAX))


def _boolean(values: pa.Array) -> Mapped:
    if pa.types.is_boolean(values.type):
        return values, None
    texts = pc.utf8_trim_whitespace(_text(values)[0])
    yes, known = pc.is_in(texts, _TRUE), pc.or_(pc.is_in(texts, _TRUE), pc.is_in(texts, _FALSE))
    bad = pc.and_(pc.is_valid(texts), pc.invert(known))
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_())), bad


def _timestamp(values: pa.Array) -> Mapped:
    if _is_text(values):
        return _matching(values, _TIMESTAMP)
    if pa.types.is_date(values.type):
        return pc.cast(values, pa.timestamp("s")), None
    if not pa.types.is_timestamp(values.type):
        return _unmappable(values)
    if values.type.unit == "ns":
        # Down to the microsecond, never up: a stamp in the future of its source would be an invented one
        # (case 57).
        return pc.cast(pc.floor_temporal(values, 1, "microsecond"), pa.timestamp("us")), None
    return values, None


def _unmappable(values: pa.Array) -> Mapped:
    return pa.nulls(len(values), pa.string()), pc.is_valid(values)


_MAPPERS: dict[str, Callable[[pa.Array], Mapped]] = {
    "uuid": _uuid,
    "text": _text,
    "numeric": _numeric,
    "integer": _integer,
    "boolean": _boolean,
    "timestamp": _timestamp,
}
