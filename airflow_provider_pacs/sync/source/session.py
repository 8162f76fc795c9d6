"""The settings that every connection to SQL Server begins with: an address and a function that executes come
in, session settings are made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_pacs.sync.source.errors import read_report

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.address import SourceAddress

log = logging.getLogger(__name__)

SETTINGS = ("SET NOCOUNT ON", "SET LOCK_TIMEOUT 30000", "SET DEADLOCK_PRIORITY LOW")
"""We wait 30 s for a lock, and lose every deadlock against the county's own work."""
UNKNOWN_STATEMENT = frozenset({102, 195})


def prepare(address: SourceAddress, execute: Callable[[str], object]) -> None:
    """Sets the session up; a server that does not know one of `SETTINGS` (errors 102, 195) goes without it.

    An isolation level it must know.
    """
    for statement in SETTINGS:
        try:
            execute(statement)
        except Exception as error:
            if read_report(error).number not in UNKNOWN_STATEMENT:
                raise
            log.info("%s does not know %s; going on without it.", address.text, statement)
    if address.isolation_level:
        execute(f"SET TRANSACTION ISOLATION LEVEL {address.isolation_level}")
