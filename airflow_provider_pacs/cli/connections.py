"""What the commands share: an answer and how it is told, the county, its two ends from flags or the
environment.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.runtime.errors import ConfigError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

OK, FAILED, USAGE = 0, 1, 2
COUNTY_FOLDERS = ("dags/counties", "counties")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: `data` for --json, `lines` for people, and the exit status."""

    data: Any
    lines: Sequence[str]
    status: int = OK


def county_folder(arguments: argparse.Namespace) -> Path | None:
    """Where the county files are; None where nobody said and no usual folder is there."""
    told = arguments.counties or os.environ.get("AIRFLOW__PACS__COUNTIES_PATH")
    return (
        Path(told)
        if told
        else next((folder for folder in map(Path, COUNTY_FOLDERS) if folder.is_dir()), None)
    )


def read_config(arguments: argparse.Namespace) -> CountyConfig:
    """The county that the command line names.

    Raises:
        ConfigError: no folder, no such county, or its file is broken.
    """
    from airflow_provider_pacs.sync.config.folder import load_counties

    folder = county_folder(arguments)
    if folder is None:
        raise ConfigError(
            "no folder of county files found",
            remedy="name it with --counties or AIRFLOW__PACS__COUNTIES_PATH",
        )
    counties = load_counties(folder)
    if arguments.county in counties.good:
        return counties.good[arguments.county]
    for error in counties.broken:
        if arguments.county in str(error):
            raise error
    known = ", ".join(sorted(counties.good)) or "none"
    remedy = f"pacs init {arguments.county} writes {folder / (arguments.county + '.yaml')}"
    raise ConfigError(f"no county {arguments.county!r} in {folder} (there: {known})", remedy=remedy)


@contextmanager
def open_source(
    arguments: argparse.Namespace, config: CountyConfig, *, attempts: int = 5
) -> Iterator[SqlServerReader]:
    """A reader of the county's PACS, which connects when it is first asked.

    Raises:
        ConfigError: nobody said where it is.
    """
    from airflow_provider_pacs.sync.source.address import SourceAddress
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader

    county = config.county
    address = (
        SourceAddress.from_url(arguments.source_url)
        if arguments.source_url
        else SourceAddress.from_environment(county, os.environ)
    )
    if address is None:
        raise ConfigError(
            "no source given",
            remedy=f"use --source-url, or set PACS_DB_HOST_{county.upper()}_SOURCE and its companions",
        )
    with SqlServerReader(address, attempts=attempts) as reader:
        yield reader


def open_target(arguments: argparse.Namespace) -> PostgresTarget:
    """The platform's database, connected.

    Raises:
        ConfigError: nobody said where it is, or the login was refused.
    """
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

    return PostgresTarget.from_url(target_url(arguments))


def target_url(arguments: argparse.Namespace) -> str:
    """Where the target is, from the flag or the environment."""
    url = arguments.target_url or os.environ.get("PACS_TARGET_URL")
    if not url:
        raise ConfigError("no target given", remedy="use --target-url, or set PACS_TARGET_URL")
    return str(url)
