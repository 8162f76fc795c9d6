"""`pacs certificate COUNTY`: the newest certificate with its whole arithmetic, as lines, JSON or a page to
print.
"""

from __future__ import annotations

from pathlib import Path

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import certificate_lines


@click.command("certificate", cls=PacsCommand)
@county_command()
@click.option("--run", "run_id", help="The certificate of this run instead of the newest.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write it as one self-contained page, to keep or print.",
)
def command(invocation: Invocation, run_id: str | None, html: Path | None) -> Answer:
    """Print the county's certificate: what agrees, what does not, and what it covered."""
    from airflow_provider_pacs.sync.certificate_page import certificate_page
    from airflow_provider_pacs.sync.runtime.errors import ConfigError

    config = read_config(invocation)
    with open_target(invocation, config) as target:
        certificate = target.certifier.of_run(run_id) if run_id else target.certifier.latest(config.fips)
    if certificate is None or certificate.county_id != config.fips:
        raise ConfigError(
            f"{config.county} has no certificate{f' of run {run_id}' if run_id else ''}",
            remedy=f"pacs sync {config.county} issues the first one",
        )
    if html is not None:
        html.write_text(certificate_page(certificate, config.name), "utf-8")
    return Answer(certificate.as_dict(), certificate_lines(certificate))
