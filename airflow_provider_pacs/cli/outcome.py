"""What a run did -> the lines, the document and the exit status of the command that ran it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_pacs.cli.invocation import FAILED, OK, Answer

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.records import CertificateOutcome, RunOutcome


def run_answer(published: RunOutcome, certificate: CertificateOutcome) -> Answer:
    """A line per entity, what was written, and the certificate."""
    lines = [
        f"{e.entity}: {e.mode}, {e.read:,} read, {e.inserted:,} inserted, {e.updated:,} updated, "
        f"{e.deleted:,} deleted, {e.quarantined:,} quarantined"
        for e in published.entities
    ]
    changed = sum(e.changed for e in published.entities)
    lines.append(f"{changed:,} rows written." if changed else "Nothing changed: no row was written.")
    lines.append(certificate_line(certificate))
    held = any(e.held for e in published.entities)  # publish has said so
    return Answer(
        {"run": published.as_dict(), "certificate": certificate.as_dict()}, lines, FAILED if held else OK
    )


def certificate_line(certificate: CertificateOutcome) -> str:
    """The certificate in one line; the entities that are not clean are named."""
    bad = [c.entity for c in certificate.entities if not c.clean]
    verdict = "clean" if certificate.clean else f"not clean ({', '.join(bad)})"
    return f"Certificate ({certificate.scope}): {verdict}, state {certificate.state}."
