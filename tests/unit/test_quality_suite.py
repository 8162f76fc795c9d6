"""A suite's file -> rules, or one error that names the file and every rule that cannot be used.

No database.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import (
    ValidationContext,
    load_suite,
    predicate_sql,
    reject_assignments,
)
from airflow_provider_pacs.sync.quality.sql import identifier, literal
from airflow_provider_pacs.sync.runtime.errors import ConfigError

ENTITIES = load_entities()
OWNER = ENTITIES["owner"]
RULE = "{id: A, severity: warn, title: T, check: not_null, args: {column: owner_name}}"


def _suite(folder: Path, *rules: str) -> Path:
    (folder / "owner.yaml").write_text("\n".join(f"- {rule}" for rule in rules), "utf-8")
    return folder


@pytest.mark.parametrize("name", ENTITIES)
def test_each_entity_has_a_suite_with_a_blocking_key_and_a_limit_on_what_it_sets_aside(name: str) -> None:
    rules = {rule.id: rule for rule in load_suite(ENTITIES[name])}
    assert rules["F1.1"].severity == rules["F1.1-unique"].severity == "block"
    limits = {rule.id: rule.max_percent for rule in rules.values() if rule.severity == "quarantine"}
    assert limits.pop("F2.15", None) is None
    assert all(limit in (2, 5) for limit in limits.values())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "{id: B, severity: warn, title: T, check: is_nice, args: {column: owner_name}}",
            "unknown check `is_nice`",
        ),
        (
            "{id: B, severity: warn, title: T, check: not_null, args: {column: ownr_name}}",
            "no column `ownr_name`",
        ),
        (
            "{id: B, severity: warn, title: T, check: not_null, args: {colum: owner_name}}",
            "no argument `colum`",
        ),
        ("{id: B, severity: warn, title: T, check: not_null}", "needs `column`"),
        (
            "{id: B, severity: warn, title: T, check: not_null, args: {column: [owner_name]}}",
            "needs a text in `column`",
        ),
        ("{id: B, severity: warn, title: T, check: not_null, args: [owner_name]}", "args must be a mapping"),
        (
            "{id: B, severity: warn, title: T, check: between, args: {column: owner_name, min: 0}}",
            "cannot read column `owner_name` of type text",
        ),
        (
            "{id: B, severity: warn, title: T, check: between, args: {column: ownership_percentage}}",
            "needs `min` or `max`",
        ),
        (
            "{id: B, severity: warn, title: T, check: between, args: {column: ownership_percentage, min: "
            "next_year}}",
            "bound `next_year`",
        ),
        (
            "{id: B, severity: warn, title: T, check: between, args: {column: ownership_percentage, min: "
            "0.5}}",
            "an integer or `current_year",
        ),
        (
            "{id: B, severity: warn, title: T, check: in_set, args: {column: owner_type, values: [NO]}}",
            "a list of texts in `values`",
        ),
        (
            "{id: B, severity: fatal, title: T, check: not_null, args: {column: owner_name}}",
            "severity `fatal`",
        ),
        ("{id: B, severity: warn, check: not_null, args: {column: owner_name}}", "needs a text in title"),
        ("{id: 'x; y', severity: warn, title: T, check: not_null, args: {column: owner_name}}", "an id is"),
        (
            "{id: B, severity: warn, title: T, check: not_null, args: {column: owner_name}, mostly: 1}",
            "unknown field mostly",
        ),
        (
            "{id: B, severity: warn, title: T, check: not_null, args: {column: owner_name}, max_percent: "
            "101}",
            "max_percent must be",
        ),
        (
            "{id: B, severity: block, title: T, check: not_null, args: {column: owner_name}, max_percent: 1}",
            "tolerates no bad row",
        ),
        (RULE, "a second rule with this id"),
        ("just a text", "is not a mapping"),
    ],
)
def test_a_wrong_rule_is_an_error_that_names_file_and_rule(rule: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(OWNER, _suite(tmp_path, RULE, rule))
    assert message in str(caught.value)
    assert "owner.yaml" in str(caught.value)
    assert "rule " in str(caught.value)


def test_all_wrong_rules_are_told_at_once(tmp_path: Path) -> None:
    wrong = [f"{{id: {name}, severity: warn, title: T, check: is_nice}}" for name in "XYZ"]
    with pytest.raises(ConfigError, match=r"rule X: .*rule Y: .*rule Z: "):
        load_suite(OWNER, _suite(tmp_path, *wrong))


def test_a_root_has_no_parent_to_look_for(tmp_path: Path) -> None:
    (tmp_path / "property.yaml").write_text(
        "- {id: A, severity: warn, title: T, check: exists_in_parent}", "utf-8"
    )
    with pytest.raises(ConfigError, match="has no parent"):
        load_suite(ENTITIES["property"], tmp_path)


@pytest.mark.parametrize("text", ["rules: {}", "- {id: [", ""])
def test_a_file_that_is_no_list_of_rules_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "owner.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"owner\.yaml"):
        load_suite(OWNER, tmp_path)


def test_a_missing_suite_is_an_error_and_an_empty_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no suite for entity `owner`"):
        load_suite(OWNER, tmp_path)
    (tmp_path / "owner.yaml").write_text("[]", "utf-8")
    assert load_suite(OWNER, tmp_path) == ()


def test_the_year_bounds_follow_the_county_not_the_clock() -> None:
    (rule,) = (rule for rule in load_suite(ENTITIES["value"]) if rule.id == "F3.30")
    predicate = predicate_sql(ENTITIES["value"], rule, ValidationContext("53005", 1999, "s", "t"))
    assert predicate == '((s."tax_year" < (1980) OR s."tax_year" > (2000)) AND s."tax_year" NOT IN ((0)))'


def test_only_quarantine_rules_reject() -> None:
    rejects = reject_assignments(OWNER, load_suite(OWNER), ValidationContext("53005", 2026, "s", "t"))
    assert [rule_id for rule_id, _ in rejects] == ["F2.15", "F2.17", "F2.22"]


def test_text_of_a_rule_cannot_leave_its_quotes() -> None:
    assert identifier('a"; DROP') == '"a""; DROP"'
    assert literal("it's") == "'it''s'"
    assert literal("\\' OR 1=1") == " E'\\\\'' OR 1=1'"
    assert (literal(-1), literal(Decimal("0.010"))) == ("(-1)", "(0.010)")
    for bad in (float("1"), True, None):
        with pytest.raises(TypeError):
            literal(bad)  # type: ignore[arg-type]
    for unusable in ("\0", Decimal("NaN")):
        with pytest.raises(ValueError, match="must"):
            literal(unusable)
