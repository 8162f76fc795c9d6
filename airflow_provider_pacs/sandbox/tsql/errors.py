"""Maps errors of DuckDB and Arrow to the SqlError that SQL Server would have raised."""

from __future__ import annotations

import logging
import re

from airflow_provider_pacs.sandbox.model import SqlError

CANCELLED = 3617
"""What SQL Server's own traces call an attention.

Over the wire it is no error: the client gets DONE with the attention bit.
"""

_OWN = re.compile(r"TDS:(\d+):([^\n]*)")
_KNOWN = (
    (re.compile(r"[Dd]ivi(sion|de) by zero"), 8134, "Divide by zero error encountered."),
    (
        re.compile(r"must appear in the GROUP BY"),
        8120,
        "A column is invalid in the select list because it is not contained in either an aggregate function "
        "or the GROUP BY clause.",
    ),
    (
        re.compile(r"Out of Range|[Oo]verflow|out of range|not in range|would lose data|Integer value"),
        8115,
        "Arithmetic overflow error converting expression to data type.",
    ),
    (
        re.compile(r"[Dd]uplicate key|PRIMARY KEY or UNIQUE"),
        2627,
        "Violation of PRIMARY KEY constraint. Cannot insert duplicate key in object.",
    ),
    (re.compile(r"NOT NULL constraint"), 515, "Cannot insert the value NULL; column does not allow nulls."),
    (re.compile(r"More than one row returned by a subquery"), 512, "Subquery returned more than 1 value."),
    (
        re.compile(r"Transaction conflict|Conflict on|TransactionContext Error", re.IGNORECASE),
        3960,
        "Snapshot isolation transaction aborted due to update conflict.",
    ),
    (re.compile(r"[Ii]nterrupt"), CANCELLED, "Operation cancelled by user."),
    (
        re.compile(r"cannot contain aggregates|aggregate function calls cannot be nested", re.IGNORECASE),
        147,
        "An aggregate may not appear here.",
    ),
    (re.compile(r"Conversion Error"), 245, "Conversion failed."),
)
_log = logging.getLogger(__name__)


def translated(error: Exception, text: str = "") -> SqlError:
    """The SqlError for an error below; what is not known is 102 with the text, and a line in the log."""
    if isinstance(error, SqlError):
        return error
    message = str(error)
    own = _OWN.search(message)
    if own:
        return SqlError(int(own.group(1)), own.group(2).strip())
    for pattern, number, said in _KNOWN:
        if pattern.search(message):
            return SqlError(number, said)
    first = message.splitlines()[0] if message else type(error).__name__
    _log.warning("not translated: %s (%s)", " ".join(text.split())[:500], first)
    return SqlError(
        102, f"Incorrect syntax near '{' '.join(text.split())[:200]}'. (Sandbox: {first})", severity=15
    )
