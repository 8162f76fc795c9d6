"""What can go wrong, sorted by what to do next.

Foreign errors come in at one mapping point per driver and leave as one of these.

    PacsError
    ├── RetryableError   try again, with a fresh connection          PACS-001 timeout or lost connection,
    │                                                                PACS-005 job timeout,
    │                                                                PACS-008 a sync of the county is at work,
    │                                                                PACS-009 a change feed stands still
    ├── FatalError       the same attempt would fail again           PACS-010
    ├── ConfigError      somebody must change a setting or a grant   PACS-002 login, PACS-003 schema,
    │                                                                PACS-006 configuration
    ├── DataError        the data breaks a blocking rule             PACS-004
    └── ConflictError    another run owns the county now             PACS-007,
                         the county is on hold                       PACS-011

Codes 001-005 are those of the platform's design document; 006 and up are ours.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.runtime.secrets import mask_credentials


class PacsError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: one line that names the thing (file, field, table, host) and never holds a row's values; a
            password that got into it is masked.
        remedy: one line that says what to do; empty where there is nothing to say.
        code: the error's code; each class has a default.
    """

    code = "PACS-010"

    def __init__(self, message: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(mask_credentials(message))
        self.message = mask_credentials(message)
        self.remedy = remedy
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        if not self.remedy:
            return f"{self.code}: {self.message}"
        stop = "" if self.message.endswith((".", "!", "?", "…")) else "."
        return (
            f"{self.code}: {self.message}{stop} Remedy: "
            f"{self.remedy}{'' if self.remedy.endswith('.') else '.'}"
        )


class RetryableError(PacsError):
    """A time-out, a lost connection, a deadlock: the same work may succeed on a fresh connection."""

    code = "PACS-001"


class FatalError(PacsError):
    """Trying again would fail again."""

    code = "PACS-010"


class ConfigError(PacsError):
    """A setting, a login, a grant or a schema must be changed by somebody first."""

    code = "PACS-006"


class DataError(PacsError):
    """The data breaks a rule that blocks publishing; the last good data stays."""

    code = "PACS-004"


class ConflictError(PacsError):
    """This run no longer owns its county: a later run has taken the epoch, so nothing was written."""

    code = "PACS-007"
