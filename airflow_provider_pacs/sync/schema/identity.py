"""Which database answers: names and GUIDs that tell a county's PACS from a copy of it, from a restored one,
and from another county's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.source.port import SourceReader

_NAMES = "SELECT @@SERVERNAME AS server, DB_NAME() AS db"
_GUIDS = """SELECT CONVERT(varchar(36), d.service_broker_guid) AS broker, CONVERT(varchar(36),
  rs.database_guid) AS guid,
       CONVERT(varchar(36), rs.recovery_fork_guid) AS fork
FROM sys.databases AS d LEFT JOIN sys.database_recovery_status AS rs ON rs.database_id = d.database_id
WHERE d.database_id = DB_ID()"""

PARTS = ("server", "db", "broker", "guid")
"""What must not change behind a connection. `fork` changes when the same database is restored."""


def read_identity(reader: SourceReader) -> dict[str, str | None]:
    """`server`, `db`, `broker`, `guid`, `fork`; None for what the endpoint does not tell."""
    names = reader.query(_NAMES)[0]
    guids = (optional_query(reader, _GUIDS) or [{}])[0]
    identity = {
        "server": names["server"],
        "db": names["db"],
        **{part: guids.get(part) for part in ("broker", "guid", "fork")},
    }
    return {part: str(value) if value is not None else None for part, value in identity.items()}


def check_identity(county: str, stored: Mapping[str, Any] | None, identity: Mapping[str, str | None]) -> bool:
    """Compare with what the county's cursors were made from. Unknown parts never differ.

    Returns:
        True where the same database was restored since: its cursors mean nothing any more (cases 87, 88).

    Raises:
        ConfigError: another database answers (case 118).
    """
    if not stored:
        return False
    differs = [
        part for part in PARTS if stored.get(part) and identity.get(part) and stored[part] != identity[part]
    ]
    if differs:
        changes = ", ".join(f"{part} was {stored[part]!r}, is {identity[part]!r}" for part in differs)
        raise ConfigError(
            f"{county}: another database answers than the one this county was read from ({changes})",
            remedy=f"correct the source connection; if the move is intended: pacs check {county} "
            "--accept-source",
        )
    return bool(stored.get("fork") and identity.get("fork") and stored["fork"] != identity["fork"])
