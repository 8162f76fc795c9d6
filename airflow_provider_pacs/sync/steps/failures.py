"""A step of a run in a block -> what the journal keeps where it fails: an audit row, the preflight report,
the run's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.preflight import PreflightReport
from airflow_provider_pacs.sync.runtime.errors import ConflictError, PacsError
from airflow_provider_pacs.sync.runtime.interruption import Interrupted
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign
from airflow_provider_pacs.sync.target.port import Target


@contextmanager
def keep_report(
    config: CountyConfig, target: Target, trigger: str, report: PreflightReport | None
) -> Iterator[list[str]]:
    """Keep the report under the run whose id the block puts into the list; one that can't be kept fails no
    run.
    """
    run_ids: list[str] = []
    try:
        yield run_ids
    finally:
        if report is not None:
            with suppress(PacsError):
                target.runs.record_check(config.fips, next(iter(run_ids), None), trigger, report.as_dict())


@contextmanager
def audit_failures(
    config: CountyConfig,
    target: Target,
    step: str,
    run_id: str | None = None,
    *,
    kind: str = "",
    trigger: str = "",
) -> Iterator[None]:
    """A failed step leaves an audit row, also where the run never started, and nobody waits for its run
    meanwhile.

    Where the target itself is down, the error alone says what happened.

    Args:
        config: the county.
        target: an open target.
        step: the step's name.
        run_id: the run; None where there is none yet.
        kind: of a run that never started, which DAG it was.
        trigger: of a run that never started, who asked for it; its log is found by this.
    """
    try:
        if run_id is not None:
            target.runs.work(run_id)
        yield
    except PacsError as error:
        with suppress(PacsError):
            target.runs.failure(config.fips, step, error, run_id, kind=kind, trigger=trigger)
            if run_id is not None:
                target.runs.rest(run_id)
        raise


@contextmanager
def abort_if_superseded(config: CountyConfig, target: Target, run_id: str) -> Iterator[None]:
    """A run that a later one has overtaken stops as such: its staging tables are dropped, and whatever it
    stumbles over then is no news.
    """
    overtaken = ConflictError(
        f"{config.county}: a later run has taken over from run {run_id}",
        remedy="nothing was published; the later run carries on",
    )
    if target.runs.run(run_id).state == "superseded":
        raise overtaken
    try:
        yield
    except PacsError as error:
        try:
            state = target.runs.run(run_id).state
        except PacsError:
            raise error from None
        if state == "superseded":
            raise overtaken from error
        raise


@contextmanager
def fail_run_on_error(target: Target, run_id: str) -> Iterator[None]:
    """Where all steps run in one process nobody tries a step again: an error or a signal ends the run.

    The journal says so if it can.
    """
    try:
        yield
    except (PacsError, Interrupted) as error:
        _end(target, run_id, str(error))
        raise
    except BaseException as error:
        _end(target, run_id, describe_foreign(error))
        raise


def _end(target: Target, run_id: str, message: str) -> None:
    with suppress(PacsError):  # the target may be what failed; then the next run closes this one
        target.runs.end(run_id, message)
