"""What every command shares: its answer, the options that all commands have, and help in groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from airflow_provider_pacs.cli.masking import Secrets

OK, FAILED, USAGE = 0, 1, 2
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: `data` for --json, `lines` for people, and the exit status."""

    data: Any
    lines: Sequence[str]
    status: int = OK


@dataclass(frozen=True, slots=True)
class ConnectionChoice:
    """How the command line names a database; at most one of the three.

    Attributes:
        url: the URL itself.
        url_file: a file that holds the URL; `-` for standard input.
        conn_id: an Airflow connection's id, read from AIRFLOW_CONN_<ID>.
    """

    url: str | None = None
    url_file: str | None = None
    conn_id: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether the command line names the database at all."""
        return any((self.url, self.url_file, self.conn_id))


@dataclass
class Invocation:
    """One command as it was asked for. It is filled in while the command line is read.

    Attributes:
        county: the county's name.
        counties: the folder of county files, where the command line names one.
        source: the county's PACS.
        target: the platform's database.
        json: print one JSON document and nothing else.
        verbose: print the engine's steps.
        secrets: passwords that no message may hold.
    """

    county: str = ""
    counties: Path | None = None
    source: ConnectionChoice = ConnectionChoice()
    target: ConnectionChoice = ConnectionChoice()
    json: bool = False
    verbose: bool = False
    secrets: Secrets = field(default_factory=Secrets)

    @property
    def color(self) -> bool | None:
        """For `click.echo`: None leaves it to the stream (a terminal has colours, a pipe has none)."""
        return False if os.environ.get("NO_COLOR") else None


class PlainUsage(click.Command):
    """A command whose usage line begins with a small letter, as Unix tools write it."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix="usage: ")


class SectionOption(click.Option):
    """An option that the help lists under a heading of its own."""

    def __init__(self, *arguments: Any, section: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class PacsCommand(PlainUsage):
    """A command whose help groups its options: its own first, then connections, then output."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def county_command(*, county: bool = True, source: bool = False, target: bool = True) -> Decorator:
    """Give a command its county and the options that all commands have.

    The decorated function receives the `Invocation` and its own options, and returns an `Answer`.

    Args:
        county: the command is about one county; else about all that the target has.
        source: the command reads the county's PACS.
        target: the command opens the platform's database.
    """
    options: list[Decorator] = [click.argument("county", shell_complete=complete_county)] if county else []
    options += [
        _option(
            "--counties",
            section="County",
            type=click.Path(path_type=Path),
            help="Folder of county files (default: AIRFLOW__PACS__COUNTIES_PATH, [pacs] counties_path of "
            "airflow.cfg, dags/counties, counties).",
        ),
    ]
    if source:
        options += connection_options(
            "source",
            url="mssql://user:password@host:1433/database?encrypt=yes",
            default="AIRFLOW_CONN_<the county's connection>, PACS_DB_..._<COUNTY>_SOURCE",
        )
    if target:
        options += connection_options(
            "target",
            url="postgresql://user:password@host:5432/database",
            default="PACS_TARGET_URL, AIRFLOW_CONN_<the county's connection>",
        )
    options += [
        _option("--json", section="Output", is_flag=True, help="One JSON document on standard output."),
        _option(
            "--verbose", "-v", section="Output", is_flag=True, help="The engine's steps on standard error."
        ),
    ]

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @wraps(function)
        def command(*arguments: Any, **settings: Any) -> Answer:
            invocation = click.get_current_context().ensure_object(Invocation)
            invocation.county = settings.pop("county", "")
            invocation.counties = settings.pop("counties")
            invocation.json, invocation.verbose = settings.pop("json"), settings.pop("verbose")
            for name in ("source", "target"):
                choice = ConnectionChoice(
                    *(settings.pop(f"{name}_{part}", None) for part in ("url", "url_file", "conn_id"))
                )
                _at_most_one(name, choice)
                setattr(invocation, name, choice)
                invocation.secrets.add_url(choice.url)
            if invocation.source.url_file == "-" and invocation.target.url_file == "-":
                raise click.UsageError("Only one of --source-url-file and --target-url-file can be - .")
            return function(invocation, *arguments, **settings)

        decorated: Callable[..., Any] = command
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def connection_options(name: str, *, url: str, default: str) -> list[Decorator]:
    """The three options that name one database."""
    section = f"{name.capitalize()} (default: {default})"
    return [
        _option(
            f"--{name}-conn-id",
            section=section,
            metavar="ID",
            help="Airflow connection, read from AIRFLOW_CONN_<ID>.",
        ),
        _option(
            f"--{name}-url-file",
            section=section,
            metavar="FILE",
            type=click.Path(allow_dash=True),
            help="File that holds the URL; - reads it from standard input.",
        ),
        _option(
            f"--{name}-url",
            section=section,
            metavar="URL",
            help=f"Other users of this machine can see it: prefer the options above. {url}",
        ),
    ]


def complete_county(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: the names of the county files that are there."""
    from airflow_provider_pacs.cli.county_files import county_folder

    folder = county_folder(ctx.params.get("counties"))
    if folder is None or not folder.is_dir():
        return []
    names = sorted(file.stem for file in folder.glob("*.y*ml"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _option(*names: str, section: str, **settings: Any) -> Decorator:
    return click.option(*names, cls=SectionOption, section=section, **settings)


def _at_most_one(name: str, choice: ConnectionChoice) -> None:
    named = [
        f"--{name}-{option}"
        for option, value in (("url", choice.url), ("url-file", choice.url_file), ("conn-id", choice.conn_id))
        if value
    ]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} name the {name} twice: keep one of them.")
