"""Resolves column names in the sources of a query, with type and nullability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from airflow_provider_pacs.sandbox.catalog.tables import quoted
from airflow_provider_pacs.sandbox.model import Column, SqlError, SqlType

UNKNOWN: Final = object()
"""`Typed.const` of an expression whose value is not known before the statement runs."""


@dataclass(frozen=True, slots=True)
class Typed:
    """DuckDB text with the T-SQL type it stands for, and its value where that is known beforehand."""

    sql: str
    type: SqlType
    nullable: bool = True
    const: Any = UNKNOWN

    @property
    def is_null(self) -> bool:
        """True for the word NULL."""
        return self.sql == "NULL"


@dataclass(slots=True)
class Rows:
    """One source of a FROM clause under its alias.

    Attributes:
        names: of a declared table: its own column names, whatever the alias calls them.
        read: of a declared table: gathers the columns that the query reads.
    """

    alias: str
    columns: Sequence[Column]
    names: tuple[str, ...] = ()
    read: set[str] | None = None

    def uses(self, place: int) -> None:
        """Notes that the query reads the column at that place."""
        if self.read is not None:
            self.read.add(self.names[place])


@dataclass(slots=True)
class Scope:
    """What an expression may name: the sources of its own query, then those of the queries around it.

    Attributes:
        grouped: the texts that the query groups by, set once its FROM and WHERE are translated.
    """

    sources: list[Rows] = field(default_factory=list)
    parent: Scope | None = None
    grouped: frozenset[str] = frozenset()

    def add(self, source: Rows) -> None:
        """A further source.

        Raises:
            SqlError: 1011 where its alias is taken.
        """
        if any(s.alias.lower() == source.alias.lower() for s in self.sources):
            raise SqlError(
                1011, f"The correlation name '{source.alias}' is specified multiple times in a FROM clause."
            )
        self.sources.append(source)

    def make_nullable(self, sources: Sequence[Rows]) -> None:
        """An outer join made every column of these sources nullable."""
        for source in sources:
            source.columns = [replace(c, nullable=True) for c in source.columns]

    def column(self, name: str, table: str) -> Typed:
        """The column that `table.name` or `name` means.

        Raises:
            SqlError: 207, 209 or 4104.
        """
        places = [
            (s, place, c)
            for s in self.sources
            if not table or s.alias.lower() == table.lower()
            for place, c in enumerate(s.columns)
            if c.name.lower() == name.lower()
        ]
        result = []
        for source, place, c in places:
            source.uses(place)
            result.append(Typed(f"{quoted(source.alias)}.{quoted(c.name)}", c.type, c.nullable))
        if len(result) > 1:
            raise SqlError(209, f"Ambiguous column name '{name}'.")
        if result:
            return result[0]
        if self.parent is not None and not (
            table and any(s.alias.lower() == table.lower() for s in self.sources)
        ):
            return self.parent.of_group(self.parent.column(name, table))
        if table and not any(s.alias.lower() == table.lower() for s in self.sources):
            raise SqlError(4104, f'The multi-part identifier "{table}.{name}" could not be bound.')
        raise SqlError(207, f"Invalid column name '{name}'.")

    def of_group(self, value: Typed) -> Typed:
        """What stands for an expression after grouping: one of its group's values where it is a grouped text."""
        return Typed(f"min({value.sql})", value.type, value.nullable) if value.sql in self.grouped else value

    def all_columns(self, table: str = "") -> list[tuple[Column, Typed]]:
        """What `*` or `table.*` stands for.

        Raises:
            SqlError: 107 for an unknown prefix.
        """
        chosen = [s for s in self.sources if not table or s.alias.lower() == table.lower()]
        if not chosen:
            raise SqlError(
                107,
                f"The column prefix '{table}' does not match with a table name or alias name used in the "
                "query.",
                severity=15,
            )
        for source in chosen:
            for place in range(len(source.columns)):
                source.uses(place)
        return [
            (c, Typed(f"{quoted(s.alias)}.{quoted(c.name)}", c.type, c.nullable))
            for s in chosen
            for c in s.columns
        ]
