"""Rule ids, as the quarantine keeps them -> what each rule asks for, in one sentence."""

from __future__ import annotations

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality.suite import load_suite

_MAPPING = "MAP."


def rule_text(entity: str, rule: str) -> str:
    """What a rule asks for, in one sentence; "" where the package has no such rule any more.

    Args:
        entity: canonical entity name.
        rule: its id as the quarantine keeps it; `MAP.<column>` for a value that does not fit its column.
    """
    canonical = load_entities().get(entity)
    if canonical is None:
        return ""
    if rule.startswith(_MAPPING):
        column = next((c for c in canonical.columns if c.name == rule.removeprefix(_MAPPING)), None)
        return f"{column.name} can be read as {column.type}" if column else ""
    return next((r.title for r in load_suite(canonical) if r.id == rule), "")
