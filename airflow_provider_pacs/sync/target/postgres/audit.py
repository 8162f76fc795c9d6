"""One audit row after the other: counts, fingerprints and decisions, never values of rows."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

Connection = psycopg.Connection[Any]


def append(
    connection: Connection,
    county_id: str | None,
    run_id: str | None,
    action: str,
    what: str,
    details: dict[str, Any],
) -> None:
    """Append one audit row, in the caller's transaction."""
    connection.execute(
        "INSERT INTO pacs_ops.audit (county_id, run_id, action, object, details) VALUES (%s, %s, %s, %s, %s)",
        (county_id, run_id, action, what, Jsonb(details)),
    )


def head(connection: Connection, county_id: str) -> str:
    """The hash at the head of the county's chain; empty where there is none."""
    return ""
