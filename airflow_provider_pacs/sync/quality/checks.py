"""A rule -> its check: the registry of kinds, and the rejection of bad rows by the same definition that Great Expectations judges.

A check's predicate is a PostgreSQL boolean expression over the staging table with alias `s`: TRUE for a bad row, FALSE or NULL for any other. As in
Great Expectations a NULL passes, except where a check is about presence (`not_null`, `has_text`, `exists_in_parent`). Where Great Expectations has an
expectation of the same meaning, the check's `native` names it; for the rest `gx.py` has it count the rows that the predicate finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import Check, JudgeContext, Rule
from airflow_provider_pacs.sync.quality.row_checks import Between, ColumnOrder, ColumnSumEquals, HasText, InSet, MatchesRegex, NotEqual, NotNull
from airflow_provider_pacs.sync.quality.set_checks import ExistsInParent, SumEqualsPerGroup, Unique, UniqueWhere
from airflow_provider_pacs.sync.quality.sql import literal

CHECKS: dict[str, type[Any]] = {
    check.kind: check
    for check in (
        *(NotNull, HasText, Between, NotEqual, InSet, MatchesRegex, ColumnOrder, ColumnSumEquals),
        *(Unique, UniqueWhere, SumEqualsPerGroup, ExistsInParent),
    )
}


def build_check(entity: Entity, kind: str, args: dict[str, Any]) -> Check:
    """The check of a rule, its arguments and columns verified.

    Raises:
        ValueError: naming what is wrong: the kind, an argument, a column or a column's type.
    """
    if kind not in CHECKS:
        raise ValueError(f"unknown check `{kind}`; there are: {', '.join(sorted(CHECKS))}")
    known = {field.name for field in fields(CHECKS[kind])}
    if unknown := sorted(set(args) - known):
        raise ValueError(f"`{kind}` has no argument {', '.join(f'`{name}`' for name in unknown)}; it has: {', '.join(sorted(known)) or 'none'}")
    try:
        check: Check = CHECKS[kind](**{name: tuple(value) if isinstance(value, list) else value for name, value in args.items()})
    except TypeError as error:
        raise ValueError(f"`{kind}`: {error}") from error
    types = {column.name: column.type for column in entity.columns}
    for column, readable in check.columns(entity).items():
        if column not in types:
            raise ValueError(f"entity `{entity.name}` has no column `{column}`")
        if types[column] not in readable:
            raise ValueError(f"`{kind}` cannot read column `{column}` of type {types[column]}")
    return check


def predicate_sql(entity: Entity, rule: Rule, context: JudgeContext) -> str:
    """The PostgreSQL expression that is TRUE for the rule's bad rows, over the staging table with alias `s`."""
    return build_check(entity, rule.check, rule.args).predicate(entity, context)


def reject_assignments(entity: Entity, rules: Iterable[Rule], context: JudgeContext) -> list[tuple[str, str]]:
    """The id and the predicate of each quarantine rule, in suite order."""
    return [(rule.id, predicate_sql(entity, rule, context)) for rule in rules if rule.severity == "quarantine"]


def reject_statement(entity: Entity, rules: Iterable[Rule], context: JudgeContext) -> str | None:
    """One UPDATE that adds to `_reject` of each bad row the ids of the quarantine rules it breaks; None where no rule rejects.

    Set-wise: each predicate is a WHERE clause of its own, so PostgreSQL plans joins where a CASE would evaluate subqueries. Running it twice changes
    nothing. The text is complete: execute it without parameters, so that a `%` in a pattern stays what it is.
    """
    found = [
        f"SELECT s.ctid AS place, {literal(rule_id)} AS reason FROM {context.stage} AS s WHERE {predicate}"  # noqa: S608 - names quoted, literals rendered
        for rule_id, predicate in reject_assignments(entity, rules, context)
    ]
    if not found:
        return None
    reasons = "SELECT array_agg(DISTINCT r.reason ORDER BY r.reason) FROM unnest(coalesce(t._reject, '{}') || bad.reasons) AS r(reason)"
    bad = f"SELECT f.place, array_agg(f.reason) AS reasons FROM ({' UNION ALL '.join(found)}) AS f GROUP BY f.place"  # noqa: S608
    return f"UPDATE {context.stage} AS t SET _reject = ({reasons}) FROM ({bad}) AS bad WHERE t.ctid = bad.place"  # noqa: S608
