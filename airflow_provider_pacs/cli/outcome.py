"""What a run did -> the lines and the document of the command that ran it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_pacs.cli.invocation import Answer

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.records import Certificate, EntityCertificate, RunOutcome


def run_answer(published: RunOutcome, certificate: Certificate) -> Answer:
    """A line per entity, what was written, and the certificate.

    One that is neither clean nor pending has ended the command with an error before.
    """
    lines = [
        f"{e.entity}: {e.mode}, {e.read:,} read, {e.inserted:,} inserted, {e.updated:,} updated, "
        f"{e.deleted:,} deleted, {e.quarantined:,} quarantined"
        for e in published.entities
    ]
    changed = sum(e.changed for e in published.entities)
    lines.append(f"{changed:,} rows written." if changed else "Nothing changed: no row was written.")
    lines.append(certificate_line(certificate))
    return Answer({"run": published.as_dict(), "certificate": certificate.as_dict()}, lines)


def certificate_line(certificate: Certificate) -> str:
    """The certificate in one line; the entities that are not clean are named."""
    bad = [f"{c.entity} {c.state}" for c in certificate.entities if not c.clean]
    covered = certificate.covered.replace("_", " ")
    return f"Certificate ({covered}): {certificate.state}{f' ({chr(44).join(bad)})' if bad else ''}."


def certificate_lines(certificate: Certificate) -> list[str]:
    """The whole arithmetic, a block per entity."""
    issued = f"{certificate.issued_at:%Y-%m-%d %H:%M:%S %Z}" if certificate.issued_at else "not stored"
    lines = [
        certificate_line(certificate),
        f"Run {certificate.run_id} ({certificate.kind}), issued {issued}, source clock "
        f"{certificate.source_now}.",
        f"Code {certificate.code_version}, mapping version {certificate.mapping_version}, "
        f"audit head {certificate.audit_head or 'none'}.",
    ]
    for each in certificate.entities:
        lines += ["", *_entity_lines(each)]
    return lines


def _entity_lines(c: EntityCertificate) -> list[str]:
    bounds = f"{c.lower or 'the beginning'} to {c.upper or 'now'}"
    lines = [
        f"{c.entity}: {c.state}; covered {c.covered.replace('_', ' ')} ({bounds}); {c.method}",
        f"  source {c.source_rows:,} = equal {c.equal:,} + quarantined {c.quarantined:,} + waiting "
        f"{c.waiting:,} "
        f"+ newer {c.newer:,} + missing {c.missing:,} + differing {c.differing:,}",
        f"  target {c.target_rows:,} = equal {c.equal:,} + kept {c.kept:,} + pending deletes "
        f"{c.pending_deletes:,} "
        f"+ extra in target {c.extra_in_target:,} + differing {c.differing:,}",
    ]
    for group in sorted({*(c.source_control or {}), *(c.target_control or {})}):
        source, target = (c.source_control or {}).get(group, {}), (c.target_control or {}).get(group, {})
        for name in sorted({*source, *target}):
            lines.append(
                f"  {group + ' ' if group else ''}{name}: SQL Server {source.get(name, '-')}, "
                f"PostgreSQL {target.get(name, '-')}"
            )
    if c.sample_keys:
        lines.append(f"  keys: {', '.join(c.sample_keys)}")
    if c.message:
        lines.append(f"  {c.message}")
    return lines
