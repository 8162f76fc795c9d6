"""What a check learns about a target: whether it can take a run, and the connection to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a target can take a run, without changing anything there.

    Attributes:
        place: host:port/database.
        login: who is connected.
        version: the server's, for people.
        has_journal: runs, cursors and identities can be asked for.
        new_enough: the version is supported.
        pending: migrations that are not applied yet.
        altered: migrations that were applied with other content than this version ships.
        missing_privileges: what the login may not do and a run must, in words.
    """

    place: str
    login: str
    version: str
    has_journal: bool
    new_enough: bool
    pending: tuple[str, ...]
    altered: tuple[str, ...]
    missing_privileges: tuple[str, ...]


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
        lost_privileges: privileges that a group role should have and lacks.
    """

    session: SessionFacts
    owns_schemas: bool
    lost_privileges: tuple[str, ...]
