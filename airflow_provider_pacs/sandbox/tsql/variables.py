"""The variables and parameters of a batch, in the domain of their declared types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from airflow_provider_pacs.sandbox.catalog.sqltypes import BYTES, CHARACTER, INTEGER, duck, is_wide
from airflow_provider_pacs.sandbox.model import SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.scope import Typed

_MARK = re.compile(r"\$tsqlv(\d+)")
_EPOCH = datetime(1900, 1, 1)


def ticks(value: datetime) -> datetime:
    """The nearest 1/300 second, as `datetime` keeps it."""
    micros = (value - _EPOCH) // timedelta(microseconds=1)
    return _EPOCH + timedelta(microseconds=((micros * 3 + 5000) // 10000 * 20000 + 3) // 6)


def permuted(value: UUID) -> UUID:
    """A GUID as it is stored: its bytes in the order of significance that SQL Server compares by."""
    wire = value.bytes_le
    return UUID(bytes=wire[10:16] + wire[8:10] + wire[6:8] + wire[4:6] + wire[0:4])


def stored(value: Any, kind: SqlType) -> Any:
    """A parameter's value in the domain of its declared type.

    Raises:
        SqlError: 8114 for a Python value that can't be of that type.
    """
    if value is None:
        return None
    try:
        return _stored(value, kind)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise SqlError(8114, f"Error converting data type {type(value).__name__} to {kind.name}.") from error


def _stored(value: Any, kind: SqlType) -> Any:
    name = kind.name
    if name == "uniqueidentifier":
        return permuted(
            UUID(bytes_le=value)
            if isinstance(value, bytes)
            else value
            if isinstance(value, UUID)
            else UUID(str(value))
        )
    if name in CHARACTER:
        return value.decode("utf-16-le") if isinstance(value, bytes) else str(value)
    if name in BYTES:
        return bytes(value)
    if name == "bit":
        return bool(value)
    if name in INTEGER:
        return int(value)
    if name in ("float", "real"):
        return float(value)
    if name in ("decimal", "numeric", "money", "smallmoney"):
        return Decimal(value)
    return _stored_moment(value, kind)


def _stored_moment(value: Any, kind: SqlType) -> Any:
    if kind.name == "datetimeoffset":
        offset = value.utcoffset() or timedelta(0)
        return {
            "utc": value.astimezone(UTC).replace(tzinfo=None),
            "offset_minutes": int(offset.total_seconds() // 60),
        }
    if kind.name in ("datetime", "smalldatetime", "datetime2"):
        moment = (
            value
            if isinstance(value, datetime)
            else datetime.combine(value, time())
            if isinstance(value, date)
            else datetime.fromisoformat(str(value))
        )
        if kind.name == "datetime":
            return ticks(moment)
        if is_wide(kind):
            return {"t": moment, "n": 0}
        return moment.replace(microsecond=moment.microsecond // (unit := 10 ** max(0, 6 - kind.scale)) * unit)
    return value


class Variables:
    """The variables of one batch."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[int, SqlType, Any]] = {}

    def declare(self, name: str, kind: SqlType, value: Any = None) -> None:
        """A new variable, `name` without @.

        Raises:
            SqlError: 134 for a name that is taken.
        """
        if name.lower() in self._values:
            raise SqlError(134, f"The variable name '@{name}' has already been declared.", severity=15)
        self._values[name.lower()] = (len(self._values), kind, value)

    def kind(self, name: str) -> SqlType:
        """The declared type. SqlError 137 for an unknown name."""
        return self._find(name)[1]

    def assign(self, name: str, value: Any) -> None:
        """A new value, already in the declared type."""
        number, kind, _ = self._find(name)
        self._values[name.lower()] = (number, kind, value)

    def typed(self, name: str) -> Typed:
        """The expression that reads the variable."""
        number, kind, value = self._find(name)
        return Typed(f"CAST($tsqlv{number} AS {duck(kind)})", kind, value is None, value)

    def bound(self, sql: str) -> Mapping[str, Any]:
        """The parameters that a DuckDB text reads."""
        used = {int(n) for n in _MARK.findall(sql)}
        return {f"tsqlv{number}": value for number, _, value in self._values.values() if number in used}

    def _find(self, name: str) -> tuple[int, SqlType, Any]:
        if name.lower() not in self._values:
            raise SqlError(137, f'Must declare the scalar variable "@{name}".', severity=15)
        return self._values[name.lower()]
