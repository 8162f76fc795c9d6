"""Checks that one row decides by itself -> its predicate and its expectation (see `checks.py`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import Native, ValidationContext
from airflow_provider_pacs.sync.quality.sql import identifier, literal

ANY = frozenset({"uuid", "text", "numeric", "integer", "boolean", "timestamp"})
NUMBER = frozenset({"numeric", "integer"})
ORDERED = NUMBER | {"timestamp"}
TEXT = frozenset({"text"})
_TEXT_SIGN = "[^ -/:-@[-`{-~\t\r\n]"
_YEAR_BOUND = re.compile(r"current_year(?:\s*([+-])\s*(\d{1,4}))?")


def _column(name: str) -> str:
    return f"s.{identifier(name)}"


def _bound(bound: int | str, context: ValidationContext) -> int:
    """A bound as a number: an integer, or `current_year + 1`."""
    if isinstance(bound, int):
        return bound
    match = _YEAR_BOUND.fullmatch(bound)
    if not match:
        raise ValueError(f"`{bound}` is neither an integer nor `current_year + n`")
    shift = int(match[2] or 0)
    return context.current_year + (-shift if match[1] == "-" else shift)


@dataclass(frozen=True, slots=True)
class NotNull:
    """The value is there."""

    kind: ClassVar[str] = "not_null"
    column: str

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: ANY}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        return f"{_column(self.column)} IS NULL"

    def native(self, context: ValidationContext) -> Native | None:
        return Native("ExpectColumnValuesToNotBeNull", {"column": self.column})


@dataclass(frozen=True, slots=True)
class HasText:
    """The text is there and holds more than spaces and punctuation.

    The class lists ASCII signs instead of naming a POSIX class: in the C locale a name in another script
    would otherwise count as no text.
    """

    kind: ClassVar[str] = "has_text"
    column: str

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: TEXT}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        name = _column(self.column)
        return f"({name} IS NULL OR {name} !~ {literal(_TEXT_SIGN)})"

    def native(self, context: ValidationContext) -> Native | None:
        return None


@dataclass(frozen=True, slots=True)
class Between:
    """The number lies between the bounds, both included; the numbers in `also` pass too.

    A bound is an integer or `current_year + n`.
    """

    kind: ClassVar[str] = "between"
    column: str
    min: int | str | None = None
    max: int | str | None = None
    also: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("`between` needs `min` or `max`")
        for bound in (self.min, self.max):
            if isinstance(bound, str) and not _YEAR_BOUND.fullmatch(bound):
                raise ValueError(f"bound `{bound}` is neither an integer nor `current_year + n`")

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: NUMBER}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        name = _column(self.column)
        outside = [f"{name} < {literal(_bound(self.min, context))}"] if self.min is not None else []
        outside += [f"{name} > {literal(_bound(self.max, context))}"] if self.max is not None else []
        allowed = (
            f" AND {name} NOT IN ({', '.join(literal(value) for value in self.also)})" if self.also else ""
        )
        return f"(({' OR '.join(outside)}){allowed})"

    def native(self, context: ValidationContext) -> Native | None:
        if self.also:
            return None
        low = None if self.min is None else _bound(self.min, context)
        high = None if self.max is None else _bound(self.max, context)
        return Native(
            "ExpectColumnValuesToBeBetween", {"column": self.column, "min_value": low, "max_value": high}
        )


@dataclass(frozen=True, slots=True)
class NotEqual:
    """The number is not this one."""

    kind: ClassVar[str] = "not_equal"
    column: str
    value: int

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: NUMBER}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        return f"{_column(self.column)} = {literal(self.value)}"

    def native(self, context: ValidationContext) -> Native | None:
        return Native("ExpectColumnValuesToNotBeInSet", {"column": self.column, "value_set": [self.value]})


@dataclass(frozen=True, slots=True)
class InSet:
    """The text is one of the values."""

    kind: ClassVar[str] = "in_set"
    column: str
    values: tuple[str, ...]

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: TEXT}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        return f"{_column(self.column)} NOT IN ({', '.join(literal(value) for value in self.values)})"

    def native(self, context: ValidationContext) -> Native | None:
        return Native("ExpectColumnValuesToBeInSet", {"column": self.column, "value_set": list(self.values)})


@dataclass(frozen=True, slots=True)
class MatchesRegex:
    """The text matches the POSIX regular expression (PostgreSQL's `~`, which Great Expectations uses as
    well); anchor it with ^ and $.
    """

    kind: ClassVar[str] = "matches_regex"
    column: str
    pattern: str

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.column: TEXT}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        return f"{_column(self.column)} !~ {literal(self.pattern)}"

    def native(self, context: ValidationContext) -> Native | None:
        return Native("ExpectColumnValuesToMatchRegex", {"column": self.column, "regex": self.pattern})


@dataclass(frozen=True, slots=True)
class ColumnOrder:
    """`lower` is not above `upper`."""

    kind: ClassVar[str] = "column_order"
    lower: str
    upper: str

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return {self.lower: ORDERED, self.upper: ORDERED}

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        return f"{_column(self.lower)} > {_column(self.upper)}"

    def native(self, context: ValidationContext) -> Native | None:
        pair = {
            "column_A": self.upper,
            "column_B": self.lower,
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        }
        return Native("ExpectColumnPairValuesAToBeGreaterThanB", pair)


@dataclass(frozen=True, slots=True)
class ColumnSumEquals:
    """`total` is the sum of `parts`, give or take `tolerance`. A row with a NULL among them passes."""

    kind: ClassVar[str] = "column_sum_equals"
    total: str
    parts: tuple[str, ...]
    tolerance: int | float = 0

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        return dict.fromkeys((self.total, *self.parts), NUMBER)

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        parts = " + ".join(_column(part) for part in self.parts)
        return f"abs({_column(self.total)} - ({parts})) > {literal(Decimal(str(self.tolerance)))}"

    def native(self, context: ValidationContext) -> Native | None:
        return None
