"""What mapping refused, counted per reason -> one `RuleResult` per column, which blocks the entity where it
is too much to be bad data.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import QUARANTINE_MAX_PERCENT, Rule, RuleResult

_PREFIX = "MAP."


def mapping_results(
    entity: Entity, evaluated: int, rejects: Mapping[str, int], size: int = 0
) -> list[RuleResult]:
    """Validate the values that did not fit their column's type.

    Such rows are set aside already; here falls whether the others may be published.

    Args:
        entity: what is staged.
        evaluated: staged rows.
        rejects: rows per `MAP.<column>`.
        size: about how many rows the entity has, see `ValidationContext.size`.
    """
    return [
        _result(
            Rule(
                reason,
                "quarantine",
                f"{column.name} can be read as {column.type}",
                "mapping",
                {},
                QUARANTINE_MAX_PERCENT,
            ),
            evaluated,
            bad,
            size,
        )
        for column in entity.columns
        if (bad := rejects.get(reason := f"{_PREFIX}{column.name}", 0))
    ]


def _result(rule: Rule, evaluated: int, bad: int, size: int) -> RuleResult:
    blocks = rule.blocks(bad, max(evaluated, size))
    more = (
        f", more than {rule.max_percent:g} %: more likely a wrong mapping than wrong data" if blocks else ""
    )
    return RuleResult(
        rule.id,
        rule.severity,
        rule.title,
        False,
        evaluated,
        bad,
        blocks,
        f"{bad:,} of {evaluated:,} rows{more}",
    )
