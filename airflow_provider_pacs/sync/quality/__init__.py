"""Quality: a staged entity and its suite of rules -> what Great Expectations says of it, and which rows are
set aside.

One rule, one definition: a rule is data in `suites/<entity>.yaml`; the same definition gives Great
Expectations its expectation and PostgreSQL the predicate that finds the rows. Importing this package costs
nothing: Great Expectations is imported when `validate_stage` runs.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.quality.checks import (
    predicate_sql,
    reject_assignments,
    reject_statement,
    results_of_counts,
)
from airflow_provider_pacs.sync.quality.gx import validate_stage, warm_up
from airflow_provider_pacs.sync.quality.mapped import mapping_results
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult, Severity, ValidationContext
from airflow_provider_pacs.sync.quality.suite import load_suite
from airflow_provider_pacs.sync.quality.texts import rule_text

__all__ = [
    "Rule",
    "RuleResult",
    "Severity",
    "ValidationContext",
    "load_suite",
    "mapping_results",
    "predicate_sql",
    "reject_assignments",
    "reject_statement",
    "results_of_counts",
    "rule_text",
    "validate_stage",
    "warm_up",
]
