"""Declared databases and tables, as plain data, and the names under which DuckDB keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from airflow_provider_pacs.sandbox.catalog.principals import Principals, Securable
from airflow_provider_pacs.sandbox.catalog.tracking import Tracking
from airflow_provider_pacs.sandbox.model import Column, SqlType


@dataclass(frozen=True, slots=True)
class Index:
    """An index beside the primary key's; `constraint` marks the one of a UNIQUE constraint."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    clustered: bool = False
    constraint: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to another table of the same database and schema."""

    name: str
    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A declared T-SQL table.

    Attributes:
        defaults: column name to the T-SQL text of its default, e.g. `((1))`.
        computed: column name to the DuckDB text that computes it.
        identity: the name of the IDENTITY column.
        key_name: of the primary key's constraint; PK_ and the table's name where it is empty.
    """

    database: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    defaults: dict[str, str] = field(default_factory=dict)
    object_id: int = 0
    computed: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    key_name: str = ""

    @property
    def key(self) -> str:
        """The name of the primary key's constraint."""
        return self.key_name or f"PK_{self.name}"

    @property
    def writable(self) -> tuple[Column, ...]:
        """The columns that an INSERT without a list of columns fills."""
        return tuple(c for c in self.columns if c.name not in self.computed and c.type.name != "rowversion")

    @property
    def securable(self) -> Securable:
        """What permissions on the table are on."""
        return Securable(self.schema.lower(), self.name.lower())

    @property
    def stored(self) -> str:
        """Its quoted name in DuckDB."""
        return stored_name(self.database, self.schema, self.name)

    def column(self, name: str) -> Column:
        """The column of that name, whatever its case."""
        return next(c for c in self.columns if c.name.lower() == name.lower())

    def position(self, name: str) -> int:
        """Its column_id."""
        return self.columns.index(self.column(name)) + 1


@dataclass(slots=True)
class Database:
    """One database of the server, as sys.databases shows it."""

    name: str
    database_id: int
    created: datetime
    snapshot: bool = True
    read_committed_snapshot: bool = False
    compatibility_level: int = 160
    read_only: bool = False
    cdc: bool = False
    schemas: list[str] = field(default_factory=list)
    principals: Principals = field(default_factory=Principals)
    tracking: Tracking = field(default_factory=Tracking)

    @property
    def of_the_system(self) -> bool:
        """Whether it is one that every server has."""
        return self.name in ("master", "tempdb", "model", "msdb")

    def guid(self, purpose: str) -> UUID:
        """A stable identifier of the database for one purpose (`broker`, `database`, `fork`, `family`)."""
        fork = f":{self.tracking.forks}" if purpose == "fork" and self.tracking.forks else ""
        return uuid5(NAMESPACE_URL, f"sandbox:{self.name}:{purpose}{fork}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table's rows are read: DuckDB text and the declared columns. `table` is None for system tables."""

    sql: str
    columns: tuple[Column, ...]
    table: Table | None = None
    name: str = ""


COLLATION = "SQL_Latin1_General_CP1_CI_AS"


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def stored_name(database: str, schema: str, table: str) -> str:
    """DuckDB has one database here: a T-SQL database and schema together name a DuckDB schema."""
    return f"{quoted(f'{database}.{schema}')}.{quoted(table)}"


def column_bytes(kind: SqlType) -> tuple[int, int, int]:
    """max_length, precision and scale as sys.columns shows them."""
    fixed = {
        "bit": (1, 1, 0), "tinyint": (1, 3, 0), "smallint": (2, 5, 0), "int": (4, 10, 0), "bigint": (8, 19, 0), "real": (4, 24, 0), "float": (8,
        53, 0),
        "money": (8, 19, 4), "smallmoney": (4, 10, 4), "date": (3, 10, 0), "datetime": (8, 23, 3), "smalldatetime": (4, 16, 0),
        "uniqueidentifier": (16, 0, 0), "text": (16, 0, 0), "ntext": (16, 0, 0), "image": (16, 0, 0), "xml": (-1, 0, 0), "rowversion": (8, 0, 0),
    }  # fmt: skip
    if kind.name in fixed:
        return fixed[kind.name]
    if kind.name in ("decimal", "numeric"):
        return (
            (5 if kind.precision < 10 else 9 if kind.precision < 20 else 13 if kind.precision < 29 else 17),
            kind.precision,
            kind.scale,
        )
    if kind.name in ("datetime2", "time", "datetimeoffset"):
        size = {"datetime2": 6, "time": 3, "datetimeoffset": 8}[kind.name] + (
            0 if kind.scale < 3 else 1 if kind.scale < 5 else 2
        )
        whole = {"datetime2": 19, "time": 8, "datetimeoffset": 26}[kind.name]
        return size, whole + (kind.scale + 1 if kind.scale else 0), kind.scale
    return (
        (
            kind.length
            if kind.length < 0 or kind.name in ("char", "varchar", "binary", "varbinary")
            else 2 * kind.length
        ),
        0,
        0,
    )
