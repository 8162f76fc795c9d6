"""A name or a constant of a rule -> its PostgreSQL text.

The only two places in this package where text becomes SQL.
"""

from __future__ import annotations

from decimal import Decimal


def identifier(name: str) -> str:
    """A quoted identifier.

    Raises:
        ValueError: for an empty name or one that PostgreSQL cannot hold.
    """
    if not name or "\0" in name:
        raise ValueError("an SQL name must not be empty and must not hold NUL")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int | Decimal) -> str:
    """A constant; text means the same whatever `standard_conforming_strings` says.

    Raises:
        ValueError: for a number that is not finite, or text with NUL.
        TypeError: for anything else, floats included: they are not exact.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("an SQL text must not hold NUL")
        quoted = "'" + value.replace("'", "''") + "'"
        return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"no SQL constant for {type(value).__name__}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("an SQL number must be finite")
    return f"({value:f})" if isinstance(value, Decimal) else f"({value})"
