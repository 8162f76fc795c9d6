"""`pacs grants COUNTY`: the county's file and profile -> the least T-SQL for the source and, with --target,
the SQL for the target.
"""

from __future__ import annotations

import argparse

from airflow_provider_pacs.cli.connections import Answer, open_source, read_config
from airflow_provider_pacs.sync.preflight.grants import LOGIN, mapped_tables, source_grants

ABOUT = (
    "Print what a DBA runs so that the sync's login can read the mapped columns and nothing else. "
    "Connects to nothing, but with --source-url."
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--login", default=LOGIN, help=f"the source's login (default {LOGIN})")
    parser.add_argument("--target", action="store_true", help="print what the target needs, too")
    parser.add_argument("--target-login", help="the target's role (default tf_pacs_sync)")


def run(arguments: argparse.Namespace) -> Answer:
    """With --source-url the source's catalog is asked too: a rowversion column that changes are found by is
    named in no file.
    """
    config = read_config(arguments)
    tables = mapped_tables(config)
    if arguments.source_url:
        from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
        from airflow_provider_pacs.sync.schema.tables import source_tables

        with open_source(arguments, config) as source:
            tables = [
                table
                for reading in resolve_tables(config, source).values()
                for table in source_tables(reading.shape)
            ]
    source_part = source_grants(tables, arguments.login)
    data = {"source": source_part.as_dict()}
    lines = source_part.lines()
    if arguments.target:
        from airflow_provider_pacs.sync.target.postgres import grants as platform

        statements = platform.target_grants(arguments.target_login or platform.LOGIN)
        data["target"] = {"login": arguments.target_login or platform.LOGIN, "statements": statements}
        lines += [
            "",
            "-- In the target database, as a superuser or the owner of the database; set the password with "
            "\\password.",
            *statements,
        ]
    return Answer(data, lines)
