"""`pacs sandbox ...`: serve a county, apply a night's changes, add a fault, print the settings that reach
a sandbox.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_pacs.sandbox import site
from airflow_provider_pacs.sandbox.counties.profiles import GENERIC, KINDS
from airflow_provider_pacs.sandbox.wire.faults import Fault, FaultPlan
from airflow_provider_pacs.sandbox.wire.serve import serve

DEFAULT_FOLDER = Path("build/sandbox")


def run(argv: Sequence[str]) -> int:
    """Run one sandbox command; returns the exit status (2: usage)."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
    except (site.UsageError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pacs sandbox",
        description="A wire-level sandbox PACS: Microsoft's driver connects to it over TLS. It is not SQL Server.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="serve a county until SIGTERM or Ctrl-C")
    serving.add_argument(
        "--profile", default=GENERIC, choices=list(KINDS), help=f"whose tables and data (default {GENERIC})"
    )
    serving.add_argument(
        "--size", default="seed", help="tiny, seed or benton, or properties=N (default seed)"
    )
    serving.add_argument(
        "--seed", type=int, default=1, help="another seed gives other data of the same shape"
    )
    serving.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    serving.add_argument(
        "--keep", action="store_true", help="keep the database in the folder instead of in memory"
    )
    serving.add_argument(
        "--fault",
        action="append",
        default=[],
        help="a fault rule, e.g. 'drop@rows=500 match=PropertyValue times=1'",
    )
    serving.set_defaults(command=_serve)
    night = commands.add_parser("mutate", help="apply a night's changes to a running sandbox")
    night.add_argument("--seed", type=int, default=1, help="which night")
    night.set_defaults(command=_mutate)
    fault = commands.add_parser("fault", help="add a fault rule to a running sandbox")
    fault.add_argument("rule", help="e.g. 'error=1205 match=PropertyOwner times=1', 'drop@rows=500'")
    fault.set_defaults(command=_fault)
    shown = commands.add_parser("env", help="print the settings that reach a running sandbox, for `eval`")
    shown.add_argument(
        "--county", default="benton_wa", help="county whose variables are set (default benton_wa)"
    )
    shown.set_defaults(command=_env)
    for sub in (serving, night, fault, shown):
        sub.add_argument(
            "--dir",
            type=Path,
            default=DEFAULT_FOLDER,
            help=f"the sandbox's folder (default {DEFAULT_FOLDER})",
        )
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    faults = FaultPlan(tuple(arguments.fault))
    made = site.prepare(
        arguments.dir,
        size=arguments.size,
        profile=arguments.profile,
        seed=arguments.seed,
        faults=faults,
        keep=arguments.keep,
    )

    def ready(port: int) -> None:
        made.endpoint("127.0.0.1", port).write(arguments.dir)
        print(
            f'sandbox PACS on 127.0.0.1:{port}; settings: eval "$(pacs sandbox env --dir {arguments.dir})"',
            flush=True,
        )

    try:
        serve(made.engine, "127.0.0.1", arguments.port, made.certificate, made.faults, ready)
    finally:
        (arguments.dir / "endpoint.json").unlink(missing_ok=True)
        made.close()
    return 0


def call(endpoint: site.Endpoint, statement: str, *params: object) -> list[dict[str, Any]]:
    """Run a sandbox procedure as the sandbox's administrator, over the wire like any client."""
    os.environ.update(endpoint.environment)  # before the driver manager is first used
    import pyodbc

    connection = pyodbc.connect(
        f"DRIVER={{ODBC Driver 18 for SQL "
        f"Server}};SERVER=tcp:{endpoint.host},{endpoint.port};DATABASE={endpoint.database};"
        f"UID={endpoint.admin};PWD={{{endpoint.admin_password}}};Encrypt=yes;TrustServerCertificate=no",
        autocommit=True,
    )
    try:
        cursor = connection.execute(statement, *params)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
    finally:
        connection.close()


def _mutate(arguments: argparse.Namespace) -> int:
    print(
        json.dumps(
            call(site.Endpoint.read(arguments.dir), "EXEC sandbox.mutate @seed = ?", arguments.seed)[0],
            default=str,
        )
    )
    return 0


def _fault(arguments: argparse.Namespace) -> int:
    Fault.parse(arguments.rule)  # a wrong rule is an error before anything is connected
    call(site.Endpoint.read(arguments.dir), "EXEC sandbox.fault @rule = ?", arguments.rule)
    return 0


def _env(arguments: argparse.Namespace) -> int:
    endpoint = site.Endpoint.read(arguments.dir)
    county = arguments.county.upper()
    values = {
        "HOST": endpoint.host,
        "PORT": endpoint.port,
        "NAME": endpoint.database,
        "USER": endpoint.reader,
        "PASSWORD": endpoint.reader_password,
    }
    settings = endpoint.environment | {
        f"PACS_DB_{name}_{county}_SOURCE": str(value) for name, value in values.items()
    }
    print("\n".join(f"export {name}='{value}'" for name, value in settings.items()))
    return 0
