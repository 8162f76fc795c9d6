"""The target, or why it can't be opened -> findings: reachability, version, schemas, rights."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_pacs.sync.preflight.context import PreflightContext, in_one_line
from airflow_provider_pacs.sync.preflight.report import Finding, in_words
from airflow_provider_pacs.sync.runtime.errors import PacsError


def check_target(visit: PreflightContext) -> Iterator[Finding]:
    """Where it can't be opened, one failure."""
    county = visit.config.county
    if isinstance(visit.target, PacsError):
        yield Finding("target.reachability", "target", "fail", in_one_line(visit.target), visit.target.remedy)
        return
    found = visit.target.readiness()
    yield Finding("target.reachability", "target", "ok", f"{found.place} answers {found.login}.")
    remedy = "" if found.new_enough else "Use PostgreSQL 15 or newer."
    yield Finding(
        "target.version",
        "target",
        "ok" if found.new_enough else "fail",
        f"PostgreSQL {found.version}.",
        remedy,
    )
    grants = f"Grant what pacs grants {county} --target prints, or connect as the owner of the schemas."
    if found.missing_rights:
        yield Finding(
            "target.rights",
            "target",
            "fail",
            f"The target's login lacks: {in_words(found.missing_rights)}.",
            grants,
        )
    else:
        yield Finding("target.rights", "target", "ok", "The target's login may write what a run writes.")
    if found.altered:
        text = f"Migrations were applied with other content: {in_words(found.altered)}."
        yield Finding(
            "target.schema",
            "target",
            "fail",
            text,
            "Never change a shipped migration: restore the package's file.",
        )
    elif found.pending:
        text = f"{len(found.pending)} migrations are not applied yet: {in_words(found.pending)}."
        yield Finding(
            "target.schema", "target", "warn", text, "The first run applies them; pacs migrate does it now."
        )
    else:
        yield Finding("target.schema", "target", "ok", "Every migration is applied.")
