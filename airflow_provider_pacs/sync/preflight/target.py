"""The target, or why it can't be opened -> findings: reachability, TLS, encoding, pooler, version, schemas,
rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import EntityColumn
from airflow_provider_pacs.sync.preflight.context import PreflightContext, in_one_line
from airflow_provider_pacs.sync.preflight.report import Finding, in_words
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.target.facts import SessionFacts, TargetReadiness


def check_target(context: PreflightContext) -> Iterator[Finding]:
    """Where it can't be opened, one failure."""
    county = context.config.county
    if isinstance(context.target, PacsError):
        yield Finding(
            "target.reachability", "target", "fail", in_one_line(context.target), context.target.remedy
        )
        return
    readiness = context.target.readiness()
    yield Finding("target.reachability", "target", "ok", f"{readiness.place} answers {readiness.login}.")
    if isinstance(readiness, TargetReadiness):
        yield from check_session(readiness.session, strict=context.config.target.tls == "strict")
    remedy = "" if readiness.new_enough else "Use PostgreSQL 15 or newer."
    yield Finding(
        "target.version",
        "target",
        "ok" if readiness.new_enough else "fail",
        f"PostgreSQL {readiness.version}.",
        remedy,
    )
    grants = (
        f"Grant what pacs grants {county} --target prints, then run pacs migrate as a member of pacs_owner."
    )
    if readiness.missing_privileges:
        yield Finding(
            "target.permissions",
            "target",
            "fail",
            f"The target's login lacks: {in_words(readiness.missing_privileges)}.",
            grants,
        )
    elif isinstance(readiness, TargetReadiness) and readiness.lost_privileges:
        yield Finding(
            "target.permissions",
            "target",
            "warn",
            f"The target's login may write what a run writes, but other roles lost rights: "
            f"{in_words(readiness.lost_privileges)}.",
            f"Run pacs migrate {county} as a member of pacs_owner: it grants them again.",
        )
    else:
        owner = isinstance(readiness, TargetReadiness) and readiness.owns_schemas
        more = " It may also change the schemas and the audit: pacs grants prints a login that may not."
        yield Finding(
            "target.permissions",
            "target",
            "ok",
            f"The target's login may write what a run writes.{more if owner else ''}",
        )
    if readiness.altered:
        text = f"Migrations were applied with other content: {in_words(readiness.altered)}."
        yield Finding(
            "target.schema",
            "target",
            "fail",
            text,
            "Never change a shipped migration: restore the package's file.",
        )
    elif readiness.pending:
        text = f"{len(readiness.pending)} migrations are not applied yet: {in_words(readiness.pending)}."
        yield Finding(
            "target.schema", "target", "warn", text, "The first run applies them; pacs migrate does it now."
        )
    else:
        yield Finding("target.schema", "target", "ok", "Every migration is applied.")
    if lacking := promoted_lacking(context.config, context.target.promoted()):
        yield Finding(
            "target.promoted",
            "target",
            "fail",
            f"The target lacks columns that the county's file promotes: {in_words(lacking)}.",
            f"Run pacs migrate {county} as a member of pacs_owner: it adds them.",
        )


def promoted_lacking(config: CountyConfig, there: Mapping[str, Sequence[EntityColumn]]) -> tuple[str, ...]:
    """Columns that the county's file promotes and that the target does not have with that type, as the file
    names them.

    Args:
        config: the county.
        there: the promoted columns of the target's tables, by entity.
    """
    types = {name: {column.name: column.type for column in some} for name, some in there.items()}
    return tuple(
        f"tables.{name}.promote.{column}"
        for name, table in table_maps(config).items()
        for column, kind in table.promoted
        if types.get(name, {}).get(column) != kind
    )


def check_session(facts: SessionFacts, *, strict: bool) -> Iterator[Finding]:
    """What lies between here and the target: TLS, the encoding of both sides, a pooler."""
    if facts.weak:
        yield Finding(
            "target.tls",
            "target",
            "fail" if strict else "warn",
            f"The connection is weaker than the default: {'; '.join(facts.weak)}.",
            "Remove the setting, and name the CA with sslrootcert if it is not one of the system's; "
            "target.tls: strict in the county's file refuses to run without.",
        )
    elif facts.local:
        yield Finding("target.tls", "target", "ok", "A local socket: no network lies in between.")
    else:
        yield Finding("target.tls", "target", "ok", "TLS; the server's certificate and name are verified.")
    if facts.encoding == "UTF8":
        yield Finding("target.encoding", "target", "ok", "The database and the connection use UTF-8.")
    else:
        yield Finding(
            "target.encoding",
            "target",
            "fail",
            f"The database has encoding {facts.encoding}, which can't hold every name and address.",
            "Make a database with ENCODING 'UTF8' and name it in the target's connection.",
        )
    pooler = "A pooler answers: settings are made per transaction, and no statement is prepared."
    yield Finding(
        "target.pooler", "target", "ok", pooler if facts.pooled else "The server answers without a pooler."
    )
