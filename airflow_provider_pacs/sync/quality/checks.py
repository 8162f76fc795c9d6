"""A rule -> its check: the registry of kinds, and the rejection of bad rows by the same definition that Great
Expectations evaluates.

A check's predicate is a PostgreSQL boolean expression over the staging table with alias `s`: TRUE for a bad
row, FALSE or NULL for any other. As in Great Expectations a NULL passes, except where a check is about
presence (`not_null`, `has_text`, `exists_in_parent`). Where Great Expectations has an expectation of the same
meaning, the check's `native` names it; for the rest `gx.py` has it count the rows that the predicate finds.
"""
# ruff: noqa: S608 - names come out of `identifier`, constants out of `literal`

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import Check, Rule, RuleResult, ValidationContext
from airflow_provider_pacs.sync.quality.row_checks import (
    Between,
    ColumnOrder,
    ColumnSumEquals,
    HasText,
    InSet,
    MatchesRegex,
    NotEqual,
    NotNull,
)
from airflow_provider_pacs.sync.quality.set_checks import (
    ExistsInParent,
    SumEqualsPerGroup,
    Unique,
    UniqueWhere,
)
from airflow_provider_pacs.sync.quality.sql import literal

CHECKS: dict[str, type[Any]] = {
    check.kind: check
    for check in (
        *(NotNull, HasText, Between, NotEqual, InSet, MatchesRegex, ColumnOrder, ColumnSumEquals),
        *(Unique, UniqueWhere, SumEqualsPerGroup, ExistsInParent),
    )
}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(of: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(of(item) for item in value)


_ARGUMENT_TYPES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "str": ("a text", _is_text),
    "str | None": ("a text", _is_text),
    "int": ("an integer", _is_int),
    "int | str | None": ("an integer or `current_year + n`", lambda value: _is_int(value) or _is_text(value)),
    "int | float": (
        "a number",
        lambda value: _is_int(value) or (isinstance(value, float) and isfinite(value)),
    ),
    "tuple[str, ...]": ("a list of texts", _is_list(_is_text)),
    "tuple[int, ...]": ("a list of integers", _is_list(_is_int)),
}
"""What a suite may give for a check's field, by the field's annotation."""


def build_check(entity: Entity, kind: str, args: dict[str, Any]) -> Check:
    """The check of a rule, its arguments and columns verified.

    Raises:
        ValueError: naming what is wrong: the kind, an argument, a column or a column's type.
    """
    if kind not in CHECKS:
        raise ValueError(f"unknown check `{kind}`; there are: {', '.join(sorted(CHECKS))}")
    arguments = {field.name: field for field in fields(CHECKS[kind])}
    known = set(arguments)
    if unknown := sorted(set(args) - known):
        raise ValueError(
            f"`{kind}` has no argument {', '.join(f'`{name}`' for name in unknown)}; it has: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    if missing := sorted(
        name for name, field in arguments.items() if field.default is MISSING and name not in args
    ):
        raise ValueError(f"`{kind}` needs {', '.join(f'`{name}`' for name in missing)}")
    for name, value in args.items():
        meaning, fits = _ARGUMENT_TYPES[str(arguments[name].type)]
        if not fits(value):
            raise ValueError(f"`{kind}` needs {meaning} in `{name}`")
    check: Check = CHECKS[kind](
        **{name: tuple(value) if isinstance(value, list) else value for name, value in args.items()}
    )
    types = {column.name: column.type for column in entity.columns}
    for column, readable in check.columns(entity).items():
        if column not in types:
            raise ValueError(f"entity `{entity.name}` has no column `{column}`")
        if types[column] not in readable:
            raise ValueError(f"`{kind}` cannot read column `{column}` of type {types[column]}")
    return check


def predicate_sql(entity: Entity, rule: Rule, context: ValidationContext) -> str:
    """The PostgreSQL expression that is TRUE for the
    rule's bad rows, over the staging table with alias `s`.
    """
    return build_check(entity, rule.check, rule.args).predicate(entity, context)


def results_of_counts(
    rules: Sequence[Rule], evaluated: int, bad: Sequence[int], context: ValidationContext
) -> list[RuleResult]:
    """A result per rule from the number of rows for which its predicate is true."""
    return [
        RuleResult(
            rule.id,
            rule.severity,
            rule.title,
            unexpected == 0,
            evaluated,
            unexpected,
            rule.blocks(unexpected, max(evaluated, context.size)),
            f"{unexpected:,} of {evaluated:,} rows" if unexpected else "",
        )
        for rule, unexpected in zip(rules, bad, strict=True)
    ]


def reject_assignments(
    entity: Entity, rules: Iterable[Rule], context: ValidationContext
) -> list[tuple[str, str]]:
    """The id and the predicate of each quarantine rule, in suite order."""
    return [
        (rule.id, predicate_sql(entity, rule, context)) for rule in rules if rule.severity == "quarantine"
    ]


def reject_statement(entity: Entity, rules: Iterable[Rule], context: ValidationContext) -> str | None:
    """One UPDATE that adds to `_reject` of each bad row the ids of the quarantine rules it breaks; None where
    no rule rejects.

    Set-wise: each predicate is a WHERE clause of its own, so PostgreSQL plans joins where a CASE would
    evaluate subqueries. Running it twice changes nothing. The text is complete: execute it without
    parameters, so that a `%` in a pattern stays what it is.
    """
    selects = [
        f"SELECT s.ctid AS place, {literal(rule_id)} AS reason FROM {context.stage} AS s WHERE {predicate}"
        for rule_id, predicate in reject_assignments(entity, rules, context)
    ]
    if not selects:
        return None
    reasons = (
        "SELECT array_agg(DISTINCT r.reason ORDER BY r.reason) FROM unnest(coalesce(t._reject, '{}') "
        "|| "
        "bad.reasons) AS r(reason)"
    )
    bad = (
        f"SELECT f.place, array_agg(f.reason) AS reasons FROM ({' UNION ALL '.join(selects)}) AS f GROUP BY "
        "f.place"
    )
    return (
        f"UPDATE {context.stage} AS t SET _reject = ({reasons}) FROM ({bad}) AS bad WHERE t.ctid = bad.place"
    )
