"""What a check learns about the connection to a target, beside its schemas and rights."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pacs.sync.target.port import Readiness


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The connection as it is.

    Attributes:
        encoding: of the database.
        client_encoding: of the connection.
        local: a socket of this machine; no network lies in between.
        encrypted: TLS is on.
        weak: settings weaker than the default, each with the reason.
        pooled: a pooler answers, so no setting of a session can be relied on.
    """

    encoding: str
    client_encoding: str
    local: bool
    encrypted: bool
    weak: tuple[str, ...]
    pooled: bool


@dataclass(frozen=True, slots=True)
class TargetReadiness(Readiness):
    """`Readiness` with the connection's facts, and what binds the login.

    Attributes:
        session: the connection.
        owns_schemas: the login may act as the schemas' owner or is a superuser: the audit can't bind it.
        lost_rights: rights that a group role should have and lacks.
    """

    session: SessionFacts
    owns_schemas: bool
    lost_rights: tuple[str, ...]
