"""A five-field cron comes in, the same with single spaces goes out; anything else is a ValueError that
names the field.

Croniter, which Airflow itself reads crons with, decides; only what every cron reader understands is let
through to it.
"""

from __future__ import annotations

import re

from croniter import croniter

_FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31"),
    ("month", "1-12, or jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec"),
    ("day of week", "0-7, or sun, mon, tue, wed, thu, fri, sat"),
)
_COMMON = re.compile(r"(\*|[0-9]+|[A-Za-z]{3})(-([0-9]+|[A-Za-z]{3}))?(/[0-9]{1,2})?")
"""One item of a list: no `L`, `#`, `W` or `?`, which not every reader knows."""


def five_field_cron(cron: str) -> str:
    """Accept numbers, names, lists, ranges and steps; no seconds, no `@daily`, no `L` or `#`: the common
    ground of every cron reader.
    """
    parts = cron.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{cron!r} has {len(parts)} fields; a cron has five: minute, hour, day of month, month, day of "
            "week"
        )
    for position, (part, (label, values)) in enumerate(zip(parts, _FIELDS, strict=True)):
        for item in part.split(","):
            alone = ["*"] * len(_FIELDS)
            alone[position] = item
            if not _COMMON.fullmatch(item) or not croniter.is_valid(" ".join(alone)):
                raise ValueError(f"{cron!r}: {item!r} is no {label} ({values})")
    return " ".join(parts)
