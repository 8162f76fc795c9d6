"""A certificate becomes one self-contained HTML page: to keep, to hand out, to print.

No script, nothing loaded.
"""

from __future__ import annotations

from html import escape

from airflow_provider_pacs.sync.records import Certificate, EntityCertificate

_STYLE = """
body { font: 11pt/1.45 Georgia, 'Times New Roman', serif; color: #1c1c1c }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 1.6rem 0 .3rem } p { margin: .2rem 0 }
.state { display: inline-block; padding: .1rem .6rem; border: 1px solid; border-radius: .3rem; font-weight: bold }
.clean { color: #14632b } .pending, .rolled_back { color: #7a5200 } .blocked, .drift { color: #9b1c1c }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 }
table { font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid #ccc }
th:first-child, td:first-child { text-align: left }
.keys, .small { font-size: .85rem; color: #555; overflow-wrap: anywhere }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } table { break-inside: avoid } }
"""  # noqa: E501
_MEANING = {
    "clean": "Both sides agree as far as this certificate covers them.",
    "pending": "Both sides agree, but for deletes that wait for a person to decide.",
    "blocked": "An entity failed validation and keeps its last good data; nothing is certified for it.",
    "drift": "Rows differ that no term explains.",
    "rolled_back": "Runs were undone: the rows are what they were before. The source was not asked.",
}
_COVERED = {
    "all_rows": "Every row was compared byte by byte.",
    "window": "The rows of the run's window were compared byte by byte; all other keys were counted.",
    "keys": "Only the named rows were compared.",
}


def certificate_page(certificate: Certificate, county: str) -> str:
    """The page of one certificate.

    Args:
        certificate: as it was stored.
        county: the county's name, as people read it.
    """
    issued = f"{certificate.issued_at:%Y-%m-%d %H:%M:%S} UTC" if certificate.issued_at else "not stored"
    facts = (
        ("Run", f"{certificate.run_id} ({certificate.kind})"),
        ("Issued", issued),
        ("Source clock", certificate.source_now or "unknown"),
        ("Code version", certificate.code_version),
        ("Mapping version", str(certificate.mapping_version)),
        ("Head of the audit chain", certificate.audit_head or "none"),
    )
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Certificate of '
        f"{escape(county)}</title>"
        f"<style>{_STYLE}</style></head><body>"
        f"<h1>Certificate of {escape(county)}</h1>"
        f'<p><span class="state {certificate.state}">{certificate.state}</span> '
        f"{_MEANING[certificate.state]}</p>"
        f"<p>{_COVERED[certificate.covered]}</p><table>{rows}</table>"
        + "".join(_entity(each) for each in certificate.entities)
        + "</body></html>\n"
    )


def _entity(c: EntityCertificate) -> str:
    source = _terms(
        ("source rows", c.source_rows),
        ("equal", c.equal),
        ("quarantined", c.quarantined),
        ("waiting", c.waiting),
        ("newer", c.newer),
        ("missing", c.missing),
        ("differing", c.differing),
    )
    target = _terms(
        ("target rows", c.target_rows),
        ("equal", c.equal),
        ("kept", c.kept),
        ("pending deletes", c.pending_deletes),
        ("extra in target", c.extra_in_target),
        ("differing", c.differing),
    )
    bounds = f"{escape(c.lower or 'the beginning')} to {escape(c.upper or 'now')}"
    parts = [
        f'<h2>{escape(c.entity)} <span class="state {c.state}">{c.state}</span></h2>',
        f'<p class="small">{_COVERED[c.covered]} Positions at the source: {bounds}. Method: '
        f"{escape(c.method)}.</p>",
        source,
        target,
        _control(c),
    ]
    if c.message:
        parts.append(f"<p>{escape(c.message)}</p>")
    if c.sample_keys:
        parts.append(f'<p class="keys">{escape(", ".join(c.sample_keys))}</p>')
    return "".join(parts)


def _terms(*terms: tuple[str, int]) -> str:
    heads = "".join(
        f"<th>{'= ' if i == 1 else '+ ' if i else ''}{name}</th>" for i, (name, _) in enumerate(terms)
    )
    values = "".join(f"<td>{value:,}</td>" for _, value in terms)
    return f"<table><tr>{heads}</tr><tr>{values}</tr></table>"


def _control(c: EntityCertificate) -> str:
    source, target = c.source_control or {}, c.target_control or {}
    lines = [
        f"<tr><td>{escape(' '.join(filter(None, (group, name))))}</td>"
        f"<td>{escape(source.get(group, {}).get(name, '-'))}</td>"
        f"<td>{escape(target.get(group, {}).get(name, '-'))}</td></tr>"
        for group in sorted({*source, *target})
        for name in sorted({*source.get(group, {}), *target.get(group, {})})
    ]
    if not lines:
        return ""
    return (
        "<table><tr><th>Control totals</th><th>SQL "
        f"Server</th><th>PostgreSQL</th></tr>{''.join(lines)}</table>"
    )
