"""A five-field cron comes in, the same with single spaces goes out; anything else is a ValueError that names
the field.
"""

from __future__ import annotations

_FIELDS: tuple[tuple[str, int, int, str], ...] = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of month", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("day of week", 0, 7, "sun mon tue wed thu fri sat"),
)


def _in_range(text: str, low: int, high: int, names: str) -> bool:
    number = (
        names.split().index(text.lower()) + low
        if text.lower() in names.split()
        else int(text)
        if text.isascii() and text.isdigit()
        else -1
    )
    return low <= number <= high


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
    for part, (label, low, high, names) in zip(parts, _FIELDS, strict=True):
        for item in part.split(","):
            span, slash, step = item.partition("/")
            ends = [] if span == "*" else span.split("-")
            step_ok = not slash or (step.isascii() and step.isdigit() and 0 < int(step[:6]) <= high)
            if len(ends) > 2 or not step_ok or not all(_in_range(end, low, high, names) for end in ends):
                raise ValueError(
                    f"{cron!r}: {item!r} is no {label} "
                    f"({low}-{high}{', or ' + names.replace(' ', ', ') if names else ''})"
                )
    return " ".join(parts)
