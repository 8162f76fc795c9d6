"""What people do on the page -> the journal: who did what, when, and why.

Everything is written by functions of the target that set the login and the time themselves; the page's login
needs no right to write a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.postgres.read import OpsReader


class OpsActions(OpsReader):
    """A connection to a target's journal that may call those functions; its short time limits are the
    reader's.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        super().__init__(params)
        self._connection.read_only = False

    def record(self, county_id: str, action: str, object_: str, details: Mapping[str, Any]) -> None:
        """Append an audit row of an action on the page.

        Args:
            county_id: FIPS code.
            action: `page.` and a word.
            object_: what was acted on: a DAG's id, say.
            details: who, and with what; never a row's values.
        """
        self._one(
            "SELECT pacs_ops.page_action(%(county)s::text, %(action)s::text, %(object)s::text, "
            "%(details)s::jsonb) AS position",
            {"county": county_id, "action": action, "object": object_, "details": Jsonb(dict(details))},
        )

    def dismiss(self, county_id: str, entity: str, keys: Sequence[str], reason: str, actor: str) -> int:
        """Note that somebody leaves quarantined rows as they are; returns how many of them are open."""
        row = self._one(
            "SELECT pacs_ops.dismiss_quarantine(%(county)s::text, %(entity)s::text, %(keys)s::text[], "
            "%(reason)s::text, %(actor)s::text) AS rows",
            {"county": county_id, "entity": entity, "keys": list(keys), "reason": reason, "actor": actor},
        )
        return int(row["rows"]) if row else 0
