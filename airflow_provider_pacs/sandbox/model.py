"""Types, result sets, errors, and the port between the wire and the engine: what both halves share.

The wire half (`wire, tls, types, session, faults`) knows packets and tokens, the engine half (`tsql, catalog,
engine, data`) knows SQL and rows. They meet only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

MAX = -1
"""Length of the (max) types: varchar(max), nvarchar(max), varbinary(max)."""


@dataclass(frozen=True, slots=True)
class SqlType:
    """One T-SQL type.

    The Arrow column that carries it: bit bool; tinyint uint8; smallint int16; int int32; bigint int64; real
    float32; float float64; decimal, numeric decimal128(precision, scale); money decimal128(19,4); smallmoney
    decimal128(10,4); date date32; time time64[ns]; datetime, smalldatetime and datetime2(0-6) timestamp[us];
    datetime2(7) struct<t: timestamp[us], n: uint8> (n is the seventh digit) or timestamp[ns]; datetimeoffset
    struct<utc: timestamp[us], offset_minutes: int16>; uniqueidentifier fixed_size_binary(16) in wire order
    (the first three groups little-endian); char, varchar, text, nchar, nvarchar, ntext, xml string (nchar,
    nvarchar and ntext may also be binary: raw UTF-16LE, for lone surrogates); binary, varbinary, image,
    rowversion binary.

    Attributes:
        name: lower-case T-SQL name without arguments, e.g. `varchar`.
        length: characters for (n)char and (n)varchar, bytes for binary and varbinary; `MAX` for (max); 0
            where it has no meaning.
        precision: digits of decimal and numeric.
        scale: fractional digits of decimal, numeric, time, datetime2 and datetimeoffset.
    """

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result set."""

    name: str
    type: SqlType
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class ResultSet:
    """Rows of one SELECT: `batches` is read once, lazily, each batch in the order of `columns`."""

    columns: Sequence[Column]
    batches: Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class RowCount:
    """A statement that returns no rows. `rows` is None where SQL Server would send no count (SET, DECLARE,
    transactions).
    """

    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of an RPC call: `name` with its @, the declared type, a Python value (str, int, Decimal,
    bytes, datetime, ...) or None.
    """

    name: str
    type: SqlType
    value: Any


@dataclass(slots=True)
class SqlError(Exception):
    """An error as SQL Server reports it. `number` is the native error number (102, 208, 18456 ...),
    `severity` its class.
    """

    number: int
    message: str
    severity: int = 16
    state: int = 1
    line: int = 1
    args: tuple[Any, ...] = field(default=(), init=False)

    def __str__(self) -> str:
        return f"Msg {self.number}, Level {self.severity}, State {self.state}: {self.message}"


class EngineSession(Protocol):
    """One login's view of the engine. Called from one thread at a time; `cancel` may come from another."""

    @property
    def database(self) -> str: ...

    def execute(self, sql: str, params: Sequence[Param] = ()) -> Iterator[ResultSet | RowCount]:
        """Run one batch of T-SQL (one or more statements). Yields one item per statement that answers.

        Raises:
            SqlError: what SQL Server would have answered; 102 for what the engine can't translate.
        """
        ...

    def begin(self, isolation: int = 0) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class DescribesParameters(Protocol):
    """An EngineSession may have this too: what a parameter's marker stands for, as
    sp_describe_undeclared_parameters tells the driver.

    Without it the driver sends a parameter that is None as varchar.
    """

    def describe_parameters(self, sql: str) -> Sequence[Param]:
        """The undeclared parameters `@P1, @P2 ...` of a statement in order, with deduced types; their values
        mean nothing.

        Raises:
            SqlError: 11503 or 11508 and the like when a type can't be deduced.
        """
        ...


class Engine(Protocol):
    """Opens sessions."""

    def login(self, user: str, password: str, database: str, host: str, application: str) -> EngineSession:
        """Raises SqlError 18456 for a wrong login, 4060 for a database that does not exist."""
        ...
