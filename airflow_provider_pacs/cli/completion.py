"""`pacs completion SHELL`: the script that completes `pacs` on the Tab key."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from airflow_provider_pacs.cli.invocation import Answer, PacsCommand

_HELP = """Print the completion script of a shell: commands, options, files and the names of the counties.

\b
bash  eval "$(pacs completion bash)"                                in ~/.bashrc
zsh   eval "$(pacs completion zsh)"                                 in ~/.zshrc, after compinit
fish  pacs completion fish > ~/.config/fish/completions/pacs.fish   once
"""


@click.command("completion", cls=PacsCommand, help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> Answer:
    """Print the script of one shell."""
    from airflow_provider_pacs.cli.program import COMPLETION_VARIABLE

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None  # the argument is one of the shells that click knows
    script = ShellComplete.source(kind(root.command, {}, "pacs", COMPLETION_VARIABLE))
    return Answer({"script": script}, [script])
