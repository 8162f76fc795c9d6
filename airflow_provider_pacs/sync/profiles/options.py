"""What a county may choose in a profile: the profile's own declarations -> checked values, defaults filled
in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,127}")
MOST, LONGEST_LIST = 100, 200
"""A count at most, and items of a list: more is no county's."""
_MEANT = {
    "count": f"must be a whole number from 1 to {MOST}",
    "year": "must be a year, or 0 for none",
    "flag": "must be true or false",
    "codes": "must be a list of codes such as [R, MH]",
    "dates": 'must be a list of dates such as ["1980-01-01"]',
    "columns": "must be a list of column names",
}


def complete_options(declared: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a profile with the county's value or its default.

    Raises:
        ValueError: an unknown option or a value that it can't take; says which and what it takes.
    """
    problems = [
        f"unknown option {name!r}; known: {', '.join(declared) or 'none'}"
        for name in wanted
        if name not in declared
    ]
    chosen = {name: wanted.get(name, spec["default"]) for name, spec in declared.items()}
    for name, spec in declared.items():
        if not _fits(spec, chosen[name]):
            meant = (
                f"must be one of: {', '.join(spec['values'])}"
                if spec["type"] == "choice"
                else _MEANT[spec["type"]]
            )
            problems.append(f"{name}: {meant}")
    if problems:
        raise ValueError("; ".join(problems))
    return chosen


def _fits(spec: Mapping[str, Any], value: Any) -> bool:
    kind = spec["type"]
    if kind == "choice":
        return value in spec["values"]
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "count":
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
    if kind == "year":
        return (
            isinstance(value, int) and not isinstance(value, bool) and (value == 0 or 1900 <= value <= 2200)
        )
    checks: dict[str, Callable[[str], object]] = {
        "codes": _CODE.fullmatch,
        "dates": _is_date,
        "columns": _NAME.fullmatch,
    }
    return (
        isinstance(value, list | tuple)
        and 1 <= len(value) <= LONGEST_LIST
        and all(isinstance(item, str) and checks[kind](item) for item in value)
    )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
