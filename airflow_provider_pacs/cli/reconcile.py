"""`pacs reconcile COUNTY`: both sides compared in full."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import FAILED, OK, Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import certificate_line
from airflow_provider_pacs.cli.progress import report_progress


@click.command("reconcile", cls=PacsCommand)
@county_command(source=True)
def command(invocation: Invocation) -> Answer:
    """Compare both sides in full, repair what differs, certify.

    Exit status 1 where the certificate is not clean.
    """
    from airflow_provider_pacs.sync import steps

    config = read_config(invocation)
    with (
        report_progress(invocation, f"comparing {config.county} in full"),
        open_source(invocation, config) as source,
        open_target(invocation, config) as target,
    ):
        certificate = steps.compare(config, source, target)
    lines = [
        f"{c.entity}: source {c.source_rows:,}, target {c.target_rows:,}; missing {c.missing:,}, differing "
        f"{c.differing:,}, ghosts {c.ghosts:,}; "
        f"repaired {c.repaired:,}, held {c.held:,}, remaining {c.remaining:,}"
        for c in certificate.entities
    ]
    return Answer(
        certificate.as_dict(), [*lines, certificate_line(certificate)], OK if certificate.clean else FAILED
    )
