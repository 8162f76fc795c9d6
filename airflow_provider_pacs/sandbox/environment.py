"""What translating a statement asks of the session that runs it: variables in, typed DuckDB parameters, the
clock and system values out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import Catalog
from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.scope import Scope, Typed


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query's DuckDB text and its declared columns."""

    sql: str
    columns: Sequence[Column]


class Query(Protocol):
    """Translates a (sub)query that may name the columns of `scope`."""

    def __call__(self, node: exp.Expression, scope: Scope | None) -> Compiled: ...


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment of the sandbox's clock: the server's local time, UTC, and the minutes between them."""

    local: datetime
    utc: datetime
    offset_minutes: int


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

    def virtual(
        self, schema: str, name: str, args: list[Any] | None
    ) -> tuple[tuple[Column, ...], list[tuple[Any, ...]]] | None:
        """A dynamic view, or with `args` a system table function; None where there is none."""
        ...
