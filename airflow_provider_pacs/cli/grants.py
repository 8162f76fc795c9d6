"""`pacs grants COUNTY`: the county's file and profile -> the least T-SQL for the source and, with --target,
the SQL for the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_provider_pacs.cli.connections import open_source, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig


@click.command("grants", cls=PacsCommand)
@county_command(source=True)
@click.option("--login", help="The source's login (default tf_pacs_reader).")
@click.option(
    "--change-tracking",
    is_flag=True,
    help="Print how a DBA switches Change Tracking on for the county's tables, too.",
)
@click.option("--cdc", is_flag=True, help="Print how a DBA switches Change Data Capture on for them, too.")
@click.option("--change-log", is_flag=True, help="Print the grants on PACS's own journal (change_log), too.")
@click.option(
    "--outage-days",
    type=click.IntRange(1, 1000),
    default=5,
    help="The longest time without a run, in days; a feed keeps three times as much (default 5).",
)
@click.option("--target", is_flag=True, help="Print what the target needs, too.")
@click.option(
    "--roles", is_flag=True, help="Print only the roles of people: assessor, valuation, reporting, IT."
)
@click.option("--target-login", help="The target's role (default tf_pacs_sync).")
def command(
    invocation: Invocation,
    login: str | None,
    change_tracking: bool,
    cdc: bool,
    change_log: bool,
    outage_days: int,
    target: bool,
    roles: bool,
    target_login: str | None,
) -> Answer:
    """Print what a DBA runs so that the sync's login can read the mapped columns and nothing else.

    Connects to nothing, but with --source-conn-id, --source-url-file or --source-url: then the source's
    catalog is asked too, because a rowversion column that changes are found by is named in no file.
    """
    from airflow_provider_pacs.sync.preflight.feed_scripts import capture_script, journal_script
    from airflow_provider_pacs.sync.preflight.grants import (
        LOGIN,
        change_tracking_script,
        mapped_tables,
        source_grants,
    )

    config = read_config(invocation)
    if roles:
        return _roles(config)
    tables = mapped_tables(config)
    if invocation.source.is_named:
        from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
        from airflow_provider_pacs.sync.schema.tables import source_tables

        with (
            report_progress(invocation, "reading the source's catalog"),
            open_source(invocation, config) as source,
        ):
            tables = [
                table
                for choice in resolve_tables(config, source).values()
                for table in source_tables(choice.table)
            ]
    source_part = source_grants(tables, login or LOGIN)
    data = {"source": source_part.as_dict()}
    lines = source_part.lines()
    if change_tracking:
        script = change_tracking_script(config, outage_days)
        data["change_tracking"] = script.as_dict()
        lines += ["", *script.lines()]
    for name, feed in (
        ("cdc", capture_script(config, outage_days) if cdc else None),
        ("change_log", journal_script(config) if change_log else None),
    ):
        if feed is not None:
            data[name] = feed.as_dict()
            lines += ["", *feed.lines()]
    if target:
        from airflow_provider_pacs.sync.target.postgres import grants as platform

        role = target_login or platform.LOGIN
        statements = platform.target_grants(role)
        data["target"] = {"login": role, "statements": statements}
        lines += [
            "",
            "-- In the target database, as a superuser or the owner of the database; set the password with "
            "\\password.",
            *statements,
        ]
    return Answer(data, lines)


def _roles(config: CountyConfig) -> Answer:
    """The script of the roles of people, and how a login gets one."""
    from airflow_provider_pacs.sync.target.postgres.grants import role_grants

    statements = role_grants()
    grant = "--   SELECT pacs_ops.grant_county('{}', '{}');"
    lines = [
        "-- In the target database, after `pacs migrate`, as a superuser or the owner of the database.",
        *statements,
        "",
        "-- Then, for each person (pacs_auditor is a role for people too):",
        "--   CREATE ROLE jane LOGIN; GRANT pacs_reporting TO jane;",
        "-- As a login of pacs_it_admin; '*' is every county:",
        grant.format("jane", config.fips),
        "-- For reports on the page:",
        grant.format("pacs_monitor", config.fips),
    ]
    return Answer({"target": {"roles": statements}}, lines)
