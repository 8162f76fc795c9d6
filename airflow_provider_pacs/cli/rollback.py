"""`pacs rollback COUNTY RUN`: what a run changed, put back as it was before."""

from __future__ import annotations

import getpass
from uuid import UUID

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import FAILED, OK, Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import run_answer
from airflow_provider_pacs.sync.records import RollbackProposal


@click.command("rollback", cls=PacsCommand)
@county_command()
@click.argument("run", required=False)
@click.option(
    "--onto", metavar="RUN", help="Undo every run after this one: the county is as this run left it."
)
@click.option(
    "--apply/--dry-run", "apply_it", default=False, help="Do it, or show what it would do (default)."
)
@click.option("--digest", help="The proposal's digest as shown: it binds the decision to what was shown.")
@click.option("--by", default=getpass.getuser, help="Who decides (default: the login).")
def command(
    invocation: Invocation, run: str | None, onto: str | None, apply_it: bool, digest: str | None, by: str
) -> Answer:
    """Put rows, tombstones, quarantine and cursors back as they were before RUN, and the county on hold.

    COUNTY may be left out where an option or PACS_TARGET_URL names the target: the run says whose it is. Exit
    status 1 where later runs touched the same rows: they are listed.
    """
    from airflow_provider_pacs.sync import steps

    if run is None and onto is None and _is_run(invocation.county):
        run = invocation.county
        invocation.county = _county_of(invocation, run)
    if (run is None) == (onto is None):
        raise click.UsageError("Name the run to undo, or with --onto the run to go back to.")
    config = read_config(invocation)
    named = str(run or onto)
    with open_target(invocation, config) as target:
        if not apply_it:
            proposal = steps.propose_rollback(config, target, run_id=named, onto=onto is not None)
            return Answer(
                proposal.as_dict(), _lines(config.county, proposal), FAILED if proposal.conflict_count else OK
            )
        outcome = steps.rollback(
            config,
            target,
            run_id=named,
            onto=onto is not None,
            digest=digest,
            actor=by,
            trigger="cli",
        )
    answer = run_answer(*outcome)
    return Answer(
        answer.data,
        [*answer.lines, f"{config.county} is on hold; `pacs resume {config.county}` lets its runs go on."],
        answer.status,
    )


def _is_run(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _county_of(invocation: Invocation, run: str) -> str:
    """The name of the county that a run is of, as the county files have it.

    Raises:
        ConfigError: no county file has the run's FIPS code.
    """
    from airflow_provider_pacs.cli.county_files import county_folder
    from airflow_provider_pacs.sync.config.folder import load_counties
    from airflow_provider_pacs.sync.runtime.errors import ConfigError

    with open_target(invocation) as target:
        fips = target.runs.run(run).county_id
    folder = county_folder(invocation.counties)
    for name, config in load_counties(folder).good.items() if folder else ():
        if config.fips == fips:
            return name
    raise ConfigError(f"no county file has FIPS {fips}, whose run this is", remedy="name it: --counties")


def _lines(county: str, proposal: RollbackProposal) -> list[str]:
    lines = [f"{run.kind} {run.run_id} would be undone" for run in proposal.runs]
    lines += [
        f"{each.entity}: {each.restored:,} rows get their image back, {each.removed:,} go that were not "
        "there "
        f"before; {each.leaving:,} of {each.live:,} live rows leave"
        for each in proposal.entities
    ]
    if proposal.conflict_count:
        lines.append(f"{proposal.conflict_count:,} rows stand against it:")
        for conflict in proposal.conflicts:
            by = f" (run {conflict.run_id})" if conflict.run_id else ""
            lines.append(f"  {conflict.entity} {conflict.source_key}: {conflict.reason}{by}")
        return lines
    which = f"--onto {proposal.run_id}" if proposal.onto else str(proposal.run_id)
    lines.append(f"Nothing was changed. pacs rollback {county} {which} --apply --digest {proposal.digest}")
    return lines
