"""Splits multi-part names of T-SQL."""

from __future__ import annotations

import re


def parts(name: str) -> list[str]:
    """`[dbo].[we]]ird]` to its parts."""
    result = re.findall(r"\[((?:[^\]]|\]\])*)\]|\"((?:[^\"]|\"\")*)\"|([^.\[\]\"]+)", name)
    return [a.replace("]]", "]") or b.replace('""', '"') or c.strip() for a, b, c in result]
