"""The command `pacs` itself: its subcommands in groups, its exit status, and what a failure prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from airflow_provider_pacs.cli.invocation import FAILED, OK, USAGE, Answer, Invocation, PlainUsage
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from airflow_provider_pacs.sync.runtime.interruption import Interrupted, interruptible

COMMANDS: dict[str, dict[str, str]] = {
    "Set up a county": {
        "init": "Write a county's file, from answers or from a look at its source.",
        "grants": "Print the SQL that gives the sync its rights, and no others.",
        "check": "Ask both ends all that a sync depends on.",
        "preview": "Show a few rows as the source sends them and as the platform gets them.",
        "migrate": "Create or upgrade the target's schemas.",
    },
    "Keep it in step": {
        "sync": "Read, validate, publish and certify.",
        "reconcile": "Compare every row with the source, publish what differs, certify.",
        "backfill": "Read one window of one entity again.",
    },
    "See and decide": {
        "report": "Print a report over all counties: values, sales, ratio studies, coverage.",
        "certificate": "Print the newest certificate: what agrees and what it covered.",
        "quarantine": "List rows that broke a rule.",
        "approve": "List pending sets of deletes, or decide on one.",
        "history": "Show every change of a row: who saw what when.",
        "rollback": "Put back what a run changed, and the county on hold.",
        "hold": "Put a county on hold: nothing of it is published.",
        "resume": "Lift a county's hold.",
        "audit": "Show, verify or export the audit trail.",
    },
    "Tools": {
        "prune": "Remove changes that are older than a county keeps.",
        "completion": "Print the shell's completion script.",
        "sandbox": "Serve a stand-in PACS for demos and tests.",
    },
}
"""Every command with its line of `pacs --help`, by group. Its module is imported when it is used."""

COMPLETION_VARIABLE = "_PACS_COMPLETE"
"""Set by the scripts of `pacs completion` when the shell asks what could come next."""

_EPILOG = (
    "Exit status: 0 the work was done, 1 the work failed, 2 usage or configuration. Connections come from "
    "options, from AIRFLOW_CONN_* or from PACS_DB_*_SOURCE and PACS_TARGET_URL."
)


class Commands(PlainUsage, click.Group):
    """A group that imports a command's module only where the command is used or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"airflow_provider_pacs.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = [
            CompletionItem(name, help=text)
            for group in COMMANDS.values()
            for name, text in group.items()
            if name.startswith(incomplete)
        ]
        return items or click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=Commands,
    name="pacs",
    help="Keep a county's PACS and a PostgreSQL platform database in step.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND ...",
    no_args_is_help=True,
)
@click.version_option(package_name="airflow-provider-pacs", message="%(prog)s %(version)s")
def program() -> None:
    """The root of all commands."""


def run(argv: Sequence[str] | None, invocation: Invocation) -> Answer:
    """Carry out one command line.

    Raises:
        click.ClickException: the command line is wrong.
        PacsError: as the command raises it.
    """
    if COMPLETION_VARIABLE in os.environ:
        program.main(prog_name="pacs", complete_var=COMPLETION_VARIABLE)  # ends the process
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Not `program.main`: it would turn `Interrupted`, a KeyboardInterrupt, into an error of its own.
        with program.make_context("pacs", arguments, obj=invocation) as context:
            result = program.invoke(context)
    except click.exceptions.Exit as left:  # --help, --version
        return Answer(None, (), left.exit_code)
    return result if isinstance(result, Answer) else Answer(None, ())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and print what came of it.

    Returns:
        The exit status.

    Raises:
        SystemExit: the command line is wrong (status 2).
    """
    invocation = Invocation()
    try:
        with interruptible():
            answer = run(argv, invocation)
    except click.ClickException as error:
        _print(error.show)
        raise SystemExit(USAGE) from None
    except PacsError as error:
        _report(invocation, str(error), code=error.code, message=error.message, remedy=error.remedy)
        return USAGE if isinstance(error, ConfigError) else FAILED
    except Interrupted as stop:
        remedy = "Run the command again; nothing is left half done."
        _report(invocation, f"{stop}. {remedy}", code="INTERRUPTED", message=str(stop), remedy=remedy)
        return stop.status
    except BrokenPipeError:  # help or a completion, whose reader has gone
        _print(lambda: None)
        return OK
    text = json.dumps(answer.data, default=str) if invocation.json else "\n".join(answer.lines)
    if answer.lines or invocation.json:
        _print(lambda: click.echo(text, color=invocation.color))
    return answer.status


def _report(invocation: Invocation, line: str, **document: str) -> None:
    """Print a failure without any password: a line on standard error, or a document on standard output."""
    mask = invocation.secrets.mask
    if invocation.json:
        masked = {name: mask(text) for name, text in document.items()}
        _print(lambda: click.echo(json.dumps({"error": masked})))
    else:
        _print(lambda: click.echo(mask(line), err=True, color=invocation.color))


def _print(write: Callable[[], None]) -> None:
    """Write, and let a reader that has gone (`pacs ... | head`) be no error.

    What is left is then sent to the null device, because Python flushes its streams once more at its end.
    """
    with suppress(BrokenPipeError):
        write()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
