"""The one place that turns names into T-SQL: identifiers come from the source's catalog or a profile, values
are always parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_pacs.sync.runtime.errors import ConfigError

MAX_IDENTIFIER = 128
"""UTF-16 code units in a SQL Server identifier (sysname): an emoji counts twice."""


def quote(name: str) -> str:
    """`name` as a delimited identifier; `]` is doubled.

    Raises:
        ConfigError: an empty name, one over 128 characters, or one with what is no character: NUL, U+FFFF,
            half a surrogate pair.
    """
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        units = 0
    if not 0 < units <= MAX_IDENTIFIER or "\x00" in name or "\uffff" in name:
        raise ConfigError(
            f"not a SQL Server identifier: {name!r}", remedy="names have 1 to 128 characters and no NUL"
        )
    return "[" + name.replace("]", "]]") + "]"


def qualified(schema: str, table: str) -> str:
    """`[schema].[table]`."""
    return f"{quote(schema)}.{quote(table)}"


def literals(value: int | Sequence[str]) -> str:
    """A whole number, or a list of text literals for IN; an apostrophe is doubled."""
    if isinstance(value, int):
        return str(int(value))
    return ", ".join("'" + text.replace("'", "''") + "'" for text in value)
