"""`pacs sandbox ...`: handed on to the sandbox's own commands."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.invocation import Answer, PlainUsage


@click.command(
    "sandbox",
    cls=PlainUsage,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> Answer:
    """Serve a wire-level sandbox PACS for demos and tests: pacs sandbox --help."""
    from airflow_provider_pacs.sync.runtime.errors import ConfigError

    try:
        from airflow_provider_pacs.sandbox.commands import run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the sandbox needs the package {error.name!r}",
            remedy="pip install 'airflow-provider-pacs[sandbox]'",
        ) from error
    return Answer(None, (), run(arguments))
