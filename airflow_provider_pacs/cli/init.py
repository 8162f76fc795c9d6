"""`pacs init COUNTY`: flags, or questions on a terminal -> a county's file, and what to do next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from airflow_provider_pacs.cli.connections import source_address
from airflow_provider_pacs.cli.county_files import PATH_VARIABLE, folder_of_airflow, folder_to_write
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress
from airflow_provider_pacs.sync.config.new_county import (
    DOUBT,
    KNOWN_ZONES,
    NewCounty,
    Proposal,
    known_fips,
    reference_file,
    state_of,
    write_county,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError

_BY_HAND = ("", "null", "none", "never")


@dataclass(frozen=True, slots=True)
class Question:
    """One answer: its flag, its question, and its default from the answers before it; "" where there is
    none.
    """

    name: str
    text: str
    default: Callable[[dict[str, str]], str]
    needed: bool = True

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


def _name(known: dict[str, str]) -> str:
    place = known["county"].removesuffix(f"_{known['state'].lower()}").replace("_", " ").title()
    return f"{place} County, {known['state'].upper()}" if known["state"] else ""


QUESTIONS = (
    Question("state", "State, two letters", lambda known: state_of(known["county"]).upper()),
    Question("name", "The county's name for people", _name),
    Question("fips", "FIPS code, state and county, 5 digits", lambda known: known_fips(known["county"])),
    Question("timezone", "Time zone (IANA)", lambda known: KNOWN_ZONES.get(known["state"].lower(), "")),
    Question("profile", "Source profile", lambda known: known["fitting_profile"]),
    Question("source_connection", "Airflow connection of the PACS", lambda known: f"pacs_{known['county']}"),
    Question(
        "host",
        "Host of its SQL Server (for the connection; empty if it is stored already)",
        lambda known: "",
        needed=False,
    ),
    Question("port", "Its port", lambda known: "1433" if known["host"] else "", needed=False),
    Question("database", "Its database", lambda known: "pacs_oltp" if known["host"] else "", needed=False),
    Question(
        "target_connection", "Airflow connection of the platform's database", lambda known: "terrafusion"
    ),
    Question("cron", "When to sync (cron, or never)", lambda known: "0 2 * * *"),
    Question("reconcile_cron", "When to compare everything (cron, or never)", lambda known: "30 4 * * 0"),
    Question("read_only", "A login that could write: warn or strict", lambda known: "warn"),
)


def _questions(function: Callable[..., Answer]) -> Callable[..., Answer]:
    for question in reversed(QUESTIONS):
        function = click.option(question.flag, question.name, help=f"{question.text}.")(function)
    return function


@click.command("init", cls=PacsCommand)
@county_command(source=True, target=False)
@_questions
@click.option("--entities", help="Comma-separated, e.g. property,owner (default: all).")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    metavar="ENTITY=MODE",
    help="Pin how a table's changes are found, e.g. value=compare.",
)
@click.option(
    "--compare-everything", is_flag=True, help="Use no change feed: every run compares every table."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def command(
    invocation: Invocation,
    entities: str | None,
    modes: tuple[str, ...],
    compare_everything: bool,
    force: bool,
    **flags: str | None,
) -> Answer:
    """Write a county's file.

    On a terminal it asks for what no option says; elsewhere what has no default must have an option. With
    --source-conn-id, --source-url-file or --source-url it looks at the source's catalog and proposes tables,
    keys, columns and how changes are found; a comment marks what a person should look at. No value of the
    source is printed or written.
    """
    folder = folder_to_write(invocation.counties)
    proposal = _proposal(invocation) if invocation.source.is_named else None
    known = _answers(
        invocation.county,
        flags,
        _ask if _on_a_terminal(invocation) else None,
        proposal.profile if proposal is not None else "generic",
    )
    if proposal is not None and proposal.profile != known["profile"]:
        proposal = None  # somebody knows better
    new = NewCounty(
        county=invocation.county,
        name=known["name"],
        fips=known["fips"],
        timezone=known["timezone"],
        connection=known["source_connection"],
        target=known["target_connection"],
        profile=known["profile"],
        read_only=known["read_only"],
        cron=_schedule(known["cron"]),
        reconcile_cron=_schedule(known["reconcile_cron"]),
        enable_cdc=not compare_everything,
        entities=_entities(entities, proposal),
        modes=dict(_mode(text) for text in modes),
        place=f"{known['host']}:{known['port']}/{known['database']}" if known["host"] else "",
        proposal=proposal,
    )
    path, config = write_county(new, folder, force=force)
    doubts = proposal.all_doubts if proposal is not None else ()
    steps = [
        *_where_airflow_looks(folder),
        *_connections(known),
        *([f"pacs preview {config.county}"] if proposal is not None else []),
        f"pacs grants {config.county} --target   # for the DBAs of both databases",
        f"pacs migrate {config.county}   # by the target's DBA: makes the schemas",
        f"pacs check {config.county}",
        f"pacs sync {config.county}",
    ]
    ends = f"PACS_DB_HOST_{config.county.upper()}_SOURCE and its siblings, PACS_TARGET_URL"
    lines = [
        f"{path} is written. What comes next (both ends are named by --source-conn-id and --target-conn-id, "
        f"by --source-url-file and --target-url-file, or by {ends}):",
        *(f"  {s}" for s in steps),
        f"Every setting with its default: {reference_file()}",
    ]
    if doubts:
        lines += [
            f"Look at these lines of {path.name}, marked with {DOUBT}",
            *(f"  {text}" for text in doubts),
        ]
    data = {"file": str(path), "county": config.county, "fips": config.fips, "next": steps}
    if proposal is not None:
        data |= {"profile": known["profile"], "doubts": list(doubts)}
    return Answer(data, lines)


def _proposal(invocation: Invocation) -> Proposal:
    """What the source's catalog proposes."""
    from airflow_provider_pacs.sync.preflight.discovery import discover
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader

    address = source_address(invocation, invocation.county, f"pacs_{invocation.county}")
    with (
        report_progress(invocation, "reading the source's catalog"),
        SqlServerReader(address, attempts=1) as source,
    ):
        return discover(source)


def _entities(named: str | None, proposal: Proposal | None) -> tuple[str, ...]:
    """The entities to synchronise: those that an option names, else those that the source has."""
    if named:
        return tuple(name.strip() for name in named.split(","))
    return tuple(table.entity for table in proposal.tables) if proposal is not None else ()


def _where_airflow_looks(folder: Path) -> list[str]:
    """How Airflow finds the file; nothing where it looks in that folder already."""
    airflow = folder_of_airflow()
    if airflow is not None and airflow.resolve() == folder.resolve():
        return []
    setting = f"{PATH_VARIABLE}={shlex.quote(str(folder.resolve()))}"
    return [f"export {setting}   # for Airflow, or [pacs] counties_path"]


def _on_a_terminal(invocation: Invocation) -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty() and not invocation.json


def _answers(
    county: str, flags: dict[str, str | None], ask: Callable[[str, str], str] | None, fitting_profile: str
) -> dict[str, str]:
    """An answer to every question: the flag, else what is asked for, else the default.

    Raises:
        ConfigError: nobody can be asked, and answers without a default have no flag; all are named.
    """
    known = {"county": county, "fitting_profile": fitting_profile}
    missing = []
    for question in QUESTIONS:
        flag = flags[question.name]
        default = question.default(known)
        skipped = question.name in ("port", "database") and not known.get("host")
        answer = flag if flag is not None else ask(question.text, default) if ask and not skipped else default
        if question.needed and not answer and question.name not in ("cron", "reconcile_cron"):
            missing.append(question.flag)
        known[question.name] = answer
    if missing:
        raise ConfigError(
            f"{county}: no answer for {', '.join(missing)}",
            remedy="give these flags, or run the command on a terminal",
        )
    return known


def _ask(text: str, default: str) -> str:
    print(f"{text}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default


def _mode(text: str) -> tuple[str, str]:
    entity, equals, mode = text.partition("=")
    if not equals:
        raise ConfigError(
            f"--mode {text!r} is not ENTITY=MODE", remedy="write for example --mode value=compare"
        )
    return entity.strip(), mode.strip()


def _schedule(text: str) -> str | None:
    return None if text.strip().lower() in _BY_HAND else text


def _connections(known: dict[str, str]) -> list[str]:
    """The commands that store the source's connection, without its password: that is asked for on the page,
    or comes from a secrets backend.
    """
    if not known["host"]:
        return []
    words = [
        "airflow",
        "connections",
        "add",
        known["source_connection"],
        "--conn-type",
        "pacs",
        "--conn-host",
        known["host"],
    ]
    words += [
        "--conn-port",
        known["port"],
        "--conn-schema",
        known["database"],
        "--conn-login",
        "tf_pacs_reader",
    ]
    return [f"{shlex.join(words)}   # then its password, in Admin > Connections"]
