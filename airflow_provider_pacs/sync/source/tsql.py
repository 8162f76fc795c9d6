"""The one place that turns names into T-SQL: identifiers come from the source's catalog or a profile, values are always parameters."""

from __future__ import annotations

from airflow_provider_pacs.sync.errors import ConfigError

MAX_IDENTIFIER = 128
"""Characters in a SQL Server identifier (sysname)."""


def quote(name: str) -> str:
    """`name` as a delimited identifier; `]` is doubled.

    Raises:
        ConfigError: an empty name, one with a NUL character, or one over 128 characters.
    """
    if not name or "\x00" in name or len(name) > MAX_IDENTIFIER:
        raise ConfigError(f"not a SQL Server identifier: {name!r}", remedy="names have 1 to 128 characters and no NUL")
    return "[" + name.replace("]", "]]") + "]"


def qualified(schema: str, table: str) -> str:
    """`[schema].[table]`."""
    return f"{quote(schema)}.{quote(table)}"
