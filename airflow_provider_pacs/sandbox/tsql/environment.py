"""The interfaces between the translator and the session whose statement it translates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.tables import Source, Table
from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sandbox.tsql.clock import Instant
from airflow_provider_pacs.sandbox.tsql.scope import Scope, Typed


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query's DuckDB text and its declared columns."""

    sql: str
    columns: Sequence[Column]


class Query(Protocol):
    """Translates a (sub)query that may name the columns of `scope`."""

    def __call__(self, node: exp.Expression, scope: Scope | None) -> Compiled: ...


class Environment(Protocol):
    """The session, as the translator sees it."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def database(self) -> str: ...
    def variable(self, name: str) -> Typed:
        """A declared variable or parameter (`name` without @). SqlError 137 for an unknown one."""
        ...

    def system(self, name: str) -> Typed:
        """A system value such as @@SPID (`name` without @@)."""
        ...

    def instant(self) -> Instant:
        """The moment of this statement: the same for every call within it."""
        ...

    def information(self, name: str, args: list[Any]) -> Any:
        """SERVERPROPERTY, IS_MEMBER, HAS_PERMS_BY_NAME and such: a str, an int or None."""
        ...

    def function(self, name: str, args: list[Any]) -> str:
        """DuckDB text of a bigint function that is computed when the statement runs."""
        ...

    def scalar_function(self, name: str, args: list[Any]) -> Typed:
        """A function of Change Data Capture, with known arguments."""
        ...

    def lsn_time(self, lsn: str) -> Typed:
        """The time of the commit with that LSN."""
        ...

    def column_ordinal(self, instance: str, column: str) -> int | None:
        """The place of a column in a capture instance."""
        ...

    def compute(self, value: Typed) -> Any:
        """The value of an expression that names no column."""
        ...

    def table_function(self, name: str, args: list[Any]) -> Source | None:
        """A system table function whose rows are computed when the statement runs; None where there is none."""
        ...

    def reads(self, table: Table, optional: bool = False) -> set[str]:
        """Notes that the statement reads a table; the set gathers the names of the columns that it reads.
        `optional`: it reads the table only if it reads a column.
        """
        ...

    def visible(self, database: str, source: Source) -> Source:
        """A system table with the rows that the session may see; any other source as it is."""
        ...

    def virtual(
        self, schema: str, name: str, args: list[Any] | None
    ) -> tuple[tuple[Column, ...], list[tuple[Any, ...]]] | None:
        """A dynamic view, or with `args` a system table function; None where there is none."""
        ...


class Translator(Protocol):
    """What translates the expressions of one query, as the functions and nodes that it calls see it."""

    @property
    def env(self) -> Environment: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def query(self) -> Query: ...
    def value(self, node: exp.Expression) -> Typed:
        """A scalar expression."""
        ...

    def predicate(self, node: exp.Expression) -> str:
        """A search condition."""
        ...

    def sql(self, typed: Typed, target: SqlType) -> str:
        """The text of an expression after T-SQL's implicit conversion to `target`."""
        ...

    def constant(self, node: exp.Expression, what: str) -> Any:
        """The value of a literal or variable; UNKNOWN values are refused."""
        ...

    def compare(self, operator: str, left: Typed, right: Typed) -> str:
        """`left operator right` by the rules of the type both sides become."""
        ...
