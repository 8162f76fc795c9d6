"""`suites/<entity>.yaml` -> the entity's rules, every one verified; all that is wrong with the file is said
at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args

import yaml

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.checks import build_check
from airflow_provider_pacs.sync.quality.model import QUARANTINE_MAX_PERCENT, Rule, Severity
from airflow_provider_pacs.sync.runtime.errors import ConfigError

_FIELDS = frozenset({"id", "severity", "title", "check", "args", "max_percent"})
_REQUIRED = ("id", "severity", "title", "check")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def load_suite(entity: Entity, folder: Path | None = None) -> tuple[Rule, ...]:
    """The rules of an entity in the order of its file.

    Args:
        entity: the entity that is validated; rules may only name its columns.
        folder: where `<entity>.yaml` lies; None for the suites that come with the package.

    Raises:
        ConfigError: naming the file and each rule that cannot be used.
    """
    return _read(entity, folder) if folder else _shipped(entity)


@cache
def _shipped(entity: Entity) -> tuple[Rule, ...]:
    return _read(entity, None)


def _read(entity: Entity, folder: Path | None) -> tuple[Rule, ...]:
    file: Traversable = (folder or resources.files(__package__) / "suites") / f"{entity.name}.yaml"
    if not file.is_file():
        raise ConfigError(
            f"{file}: there is no suite for entity `{entity.name}`",
            remedy="Write one; an empty list checks nothing.",
        )
    try:
        raw = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, list):
        raise ConfigError(f"{file}: a suite is a list of rules")
    rules: list[Rule] = []
    problems: list[str] = []
    for number, entry in enumerate(raw, start=1):
        name = str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"number {number}"
        faults = list(_problems(entity, entry))
        if any(rule.id == name for rule in rules):
            faults.append("a second rule with this id")
        if faults:
            problems += [f"rule {name}: {problem}" for problem in faults]
        else:
            rules.append(_rule(entry))
    if problems:
        raise ConfigError(f"{file}: {'; '.join(problems)}")
    return tuple(rules)


def _rule(entry: dict[str, Any]) -> Rule:
    standard = QUARANTINE_MAX_PERCENT if entry["severity"] == "quarantine" else None
    return Rule(**{"args": {}, "max_percent": standard, **entry})


def _problems(entity: Entity, entry: object) -> Iterator[str]:
    """What is wrong with one rule of the file, in words."""
    if not isinstance(entry, dict):
        yield "is not a mapping"
        return
    if unknown := sorted(str(name) for name in set(entry) - _FIELDS):
        yield f"unknown field {', '.join(unknown)}"
    wrong = [name for name in _REQUIRED if not isinstance(entry.get(name), str) or not entry[name].strip()]
    if wrong:
        yield f"needs a text in {', '.join(wrong)}"
        return
    if not _ID.fullmatch(entry["id"]):
        yield "an id is letters, digits, '.', '_' and '-', at most 40"
    if entry["severity"] not in get_args(Severity):
        yield f"severity `{entry['severity']}` is none of {', '.join(get_args(Severity))}"
    limit = entry.get("max_percent")
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= 100
    ):
        yield "max_percent must be a number from 0 to 100, or null for no limit"
    if limit is not None and entry["severity"] == "block":
        yield "a blocking rule tolerates no bad row, so max_percent has no meaning"
    args = entry.get("args", {})
    if not isinstance(args, dict):
        yield "args must be a mapping"
        return
    try:
        build_check(entity, entry["check"], args)
    except ValueError as error:
        yield str(error)
