"""docs/cli.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

import click

import airflow_provider_pacs
from airflow_provider_pacs.cli.program import COMMANDS, program
from airflow_provider_pacs.sync.config.new_county import DOUBT, REFERENCE
from airflow_provider_pacs.sync.preflight.queries import SAMPLE_ROWS

FOLDER = Path(airflow_provider_pacs.__file__).parent
PAGE = (FOLDER / "docs" / "cli.md").read_text("utf-8")


def test_every_command_has_its_line() -> None:
    listed = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `pacs ")]
    assert listed == [f"pacs {name}" for group in COMMANDS.values() for name in group]


def test_every_way_to_a_database_is_there() -> None:
    command = program.get_command(click.Context(program), "check")
    assert command is not None
    options = [
        name for parameter in command.params for name in parameter.opts if "-url" in name or "-conn" in name
    ]
    assert len(options) == 6
    assert all(f"`{option}" in PAGE for option in options)


def test_what_it_names_is_so() -> None:
    assert f"`# {DOUBT}`" in PAGE
    assert f"{SAMPLE_ROWS:,} rows" in PAGE
    assert REFERENCE in PAGE
    assert (FOLDER / REFERENCE).is_file()
    for shell in ("bash", "zsh", "fish"):
        assert f"pacs completion {shell}" in PAGE
