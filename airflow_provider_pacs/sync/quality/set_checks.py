"""Checks that need other rows (a duplicate, a sum per property, a missing parent) -> predicate and
expectation (see `checks.py`).

Every subquery is one that PostgreSQL can hash once; none is evaluated per row.
"""
# ruff: noqa: S608 - names come out of `identifier`, constants out of `literal`

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality.model import Native, ValidationContext
from airflow_provider_pacs.sync.quality.row_checks import ANY, NUMBER, TEXT
from airflow_provider_pacs.sync.quality.sql import identifier, literal


def _group_rows(entity: Entity, context: ValidationContext, columns: tuple[str, ...], condition: str) -> str:
    """The rows a rule over groups looks at: the staged ones and, where only changes are staged, the published
    rows they don't replace.
    """
    names = ", ".join(f"g.{identifier(name)}" for name in columns)
    staged = f"SELECT {names} FROM {context.stage} AS g WHERE {condition}"
    if context.partition is None:
        return staged
    key = identifier(entity.key)
    replaced = f"EXISTS (SELECT 1 FROM {context.stage} AS n WHERE n.{key} = g.{key})"
    return (
        f"{staged} UNION ALL SELECT {names} FROM {context.partition} AS g WHERE {condition} AND "
        'g."_deleted_at" '
        f"IS NULL AND NOT {replaced}"
    )


@dataclass(frozen=True, slots=True)
class Unique:
    """No two staged rows share the value."""

    kind: ClassVar[str] = "unique"
    column: str

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: ANY}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        name = identifier(self.column)
        return (
            f"s.{name} IN (SELECT g.{name} FROM {context.stage} AS g WHERE g.{name} IS NOT NULL GROUP BY "
            f"g.{name} HAVING count(*) > 1)"
        )

    def native(self, context: ValidationContext) -> Native | None:
        return Native("ExpectColumnValuesToBeUnique", {"column": self.column})


@dataclass(frozen=True, slots=True)
class UniqueWhere:
    """No two rows for which `where` is true share the value; with `among` only rows count whose `among` is
    one of `values`, or unknown.
    """

    kind: ClassVar[str] = "unique_where"
    column: str
    where: str
    among: str | None = None
    values: tuple[str, ...] = ()

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: ANY, self.where: frozenset({"boolean"})} | (
            {self.among: TEXT} if self.among else {}
        )

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        name, where = identifier(self.column), identifier(self.where)
        rows = _group_rows(
            entity, context, (self.column,), f"g.{where} AND g.{name} IS NOT NULL{self._counts('g')}"
        )
        return (
            f"(s.{where}{self._counts('s')} AND s.{name} IN (SELECT r.{name} FROM ({rows}) AS r GROUP BY "
            f"r.{name} HAVING count(*) > 1))"
        )

    def native(self, context: ValidationContext) -> Native | None:
        return None

    def _counts(self, alias: str) -> str:
        if self.among is None:
            return ""
        listed = ", ".join(literal(value) for value in self.values)
        return f" AND coalesce({alias}.{identifier(self.among)} IN ({listed}), true)"


@dataclass(frozen=True, slots=True)
class SumEqualsPerGroup:
    """The column's sum over the rows that share `group_by` is `total`, give or take `tolerance`; every row of
    a group that misses it is bad. With `within`, an integer column, each of its values makes a group.

    With `open_until` only the rows that are still open count: those whose `open_until` is NULL or yet to
    come. A group with a NULL among its values can't be evaluated and passes.
    """

    kind: ClassVar[str] = "sum_equals_per_group"
    column: str
    group_by: str
    total: int
    tolerance: int | float = 0
    open_until: str | None = None
    within: str | None = None

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        until = {self.open_until: frozenset({"timestamp"})} if self.open_until else {}
        within = {self.within: frozenset({"integer"})} if self.within else {}
        return {self.column: NUMBER, self.group_by: ANY, **until, **within}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        column, group = identifier(self.column), identifier(self.group_by)
        names = (self.group_by, self.column, *((self.within,) if self.within else ()))
        rows = _group_rows(entity, context, names, self._counts("g"))
        missed = f"abs(sum(r.{column}) - {literal(self.total)}) > {literal(Decimal(str(self.tolerance)))}"
        key = self._group("r")
        groups = (
            f"SELECT {key} FROM ({rows}) AS r WHERE r.{group} IS NOT NULL GROUP BY {key} HAVING "
            f"count(r.{column}) = count(*) AND {missed}"
        )
        return f"({self._counts('s')} AND ({self._group('s')}) IN ({groups}))"

    def native(self, context: ValidationContext) -> Native | None:
        return None

    def _group(self, alias: str) -> str:
        """The columns of a group; a row without a value in `within` is in the group of 0, never in none."""
        within = f", coalesce({alias}.{identifier(self.within)}, 0)" if self.within else ""
        return f"{alias}.{identifier(self.group_by)}{within}"

    def _counts(self, alias: str) -> str:
        if self.open_until is None:
            return "TRUE"
        until = f"{alias}.{identifier(self.open_until)}"
        return f"({until} IS NULL OR {until} > localtimestamp)"


@dataclass(frozen=True, slots=True)
class ExistsInParent:
    """The row's parent is staged in this run and not rejected, or was published and is not deleted.

    Without a parent a row is bad, also when its key is NULL.

    A parent that this run rejects but an earlier run published still exists: its last good row stays.
    """

    kind: ClassVar[str] = "exists_in_parent"

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        if entity.parent is None or entity.parent_key is None:
            raise ValueError(f"entity `{entity.name}` has no parent")
        return {entity.parent_key: ANY}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        (column,) = self.columns(entity)
        parent_key = identifier(load_entities()[str(entity.parent)].key)
        places = ((context.parent_stage, '"_reject"'), (context.parent_partition, '"_deleted_at"'))
        parents = [
            f"EXISTS (SELECT 1 FROM {table} AS p WHERE p.{parent_key} = s.{identifier(column)} AND "
            f"p.{absent_if} IS NULL)"
            for table, absent_if in places
            if table is not None
        ]
        return f"({' AND '.join(f'NOT {place}' for place in parents)})" if parents else "TRUE"

    def native(self, context: ValidationContext) -> Native | None:
        return None
