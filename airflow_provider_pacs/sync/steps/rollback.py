"""A run that should not have been -> the rows, the quarantine and the cursors from before it, and the county
on hold.

The same five steps as any run: the plan selects before-images of the change log instead of rows of the
source, they are staged, the verdict is bound to exactly these, publish puts them back in one transaction,
and the certificate says `rolled_back`. The source is not asked: it may be what is wrong.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import RuleResult
from airflow_provider_pacs.sync.records import (
    Certificate,
    EntityCertificate,
    ReadPlan,
    RollbackProposal,
    RollbackScope,
    RunOutcome,
    RunPlan,
    RunRequest,
    SourceMoment,
)
from airflow_provider_pacs.sync.runtime.errors import ConflictError, DataError
from airflow_provider_pacs.sync.steps.entity_runs import delete_bounds, relation_rules
from airflow_provider_pacs.sync.steps.failures import audit_failures, fail_run_on_error
from airflow_provider_pacs.sync.steps.plan import code_version
from airflow_provider_pacs.sync.steps.preconditions import let_others_finish
from airflow_provider_pacs.sync.steps.source_rows import stage_name
from airflow_provider_pacs.sync.target.port import Target

STRATEGY = "rollback"
"""In place of a strategy's name: rows from the change log, which no cursor follows."""
_COMPLETE = "Every row to put back is staged"


def propose_rollback(
    config: CountyConfig, target: Target, *, run_id: str, onto: bool = False
) -> RollbackProposal:
    """What a rollback would do, and what stands against it; nothing is changed.

    Args:
        config: the county.
        target: an open target.
        run_id: the run to undo; with `onto` the run to go back to.
        onto: undo every run after it.

    Raises:
        ConflictError: the run is not of this county, was rolled back, or its changes are not in the change
            log.
    """
    return target.history.propose(config.fips, RollbackScope(_run_id(run_id), onto), delete_bounds(config))


def rollback(
    config: CountyConfig,
    target: Target,
    *,
    run_id: str,
    onto: bool = False,
    digest: str | None = None,
    actor: str,
    trigger: str,
) -> tuple[RunOutcome, Certificate]:
    """Put everything back as it was before a run, or as it was after one, and put the county on hold.

    A rollback that was killed after its publish is certified by the next call; one that was killed before has
    changed nothing.

    Args:
        config: the county.
        target: an open target.
        run_id: the run to undo; with `onto` the run to go back to.
        onto: undo every run after it.
        digest: of the proposal that was shown. Needed where more rows leave than the delete guard allows;
            where it is given it must still be the proposal's.
        actor: who decided.
        trigger: where, for the run's record.

    Raises:
        ConflictError: rows stand against it, the digest is another, or a later run has taken the county;
            nothing was changed.
        RetryableError: PACS-008, another run of the county is at work.
        DataError: after the publish the rows are not what they were.
    """
    request = RunRequest("rollback", trigger, one_process=True)
    with audit_failures(config, target, "rollback", kind="rollback", trigger=trigger):
        target.migrate()
        undone_by = target.history.rolled_back_by(_run_id(run_id))
        if undone_by is not None and target.certifier.of_run(undone_by) is None:
            return _certified(config, target, undone_by)
        let_others_finish(config, target, request.kind)
        proposal = propose_rollback(config, target, run_id=run_id, onto=onto)
        _refuse(config, proposal, digest)
        made = _plan(config, target, proposal, request, confirmed=digest is not None)
    with fail_run_on_error(target, made.run_id):
        for plan in made.entities:
            _stage(config, target, made.run_id, plan)
        with audit_failures(config, target, "publish", made.run_id):
            target.publisher.publish(
                made.run_id, delete_bounds(config), relation_rules(config), actor=actor, history=True
            )
        return _certified(config, target, made.run_id)


def _run_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ConflictError(
            f"{text[:60]!r} is no run's id", remedy="`pacs audit COUNTY` lists the runs with their ids"
        ) from None


def _refuse(config: CountyConfig, proposal: RollbackProposal, digest: str | None) -> None:
    """Let nothing begin that publish would refuse."""
    again = f"pacs rollback {config.county} {proposal.run_id}"
    if not proposal.runs:
        raise ConflictError(
            f"{config.county}: no run was published after {proposal.run_id}",
            remedy="there is nothing to undo",
        )
    if proposal.conflict_count:
        first = proposal.conflicts[0]
        later = f" by run {first.run_id}" if first.run_id else ""
        raise ConflictError(
            f"{config.county}: {proposal.conflict_count} row(s) stand against the rollback, the first is "
            f"{first.entity} {first.source_key} ({first.reason}{later})",
            remedy=f"`{again} --dry-run` lists them; --onto undoes the later runs too",
        )
    if digest is not None and digest != proposal.digest:
        raise ConflictError(
            f"{config.county}: the rollback is no longer the one that was shown",
            remedy=f"look at it again: {again}",
        )
    if proposal.needs_digest and digest is None:
        leaving = sum(each.leaving for each in proposal.entities)
        raise ConflictError(
            f"{config.county}: {leaving} live rows would leave, more than the delete guard allows",
            remedy=f"look at `{again}` and decide with the digest that it shows: --apply --digest ...",
        )


def _plan(
    config: CountyConfig, target: Target, proposal: RollbackProposal, request: RunRequest, *, confirmed: bool
) -> RunPlan:
    """Claim the county and record the run with a plan per entity."""
    identity = target.runs.source_identity(config.fips) or {}
    epoch = target.runs.claim(
        county_id=config.fips, county=config.county, name=config.name, identity=identity
    )
    target.staging.drop_abandoned(config.fips)
    scope = RollbackScope(str(proposal.run_id), proposal.onto, confirmed)
    plans = tuple(_entity_plan(config, target, each.entity, scope) for each in proposal.entities)
    plan = RunPlan(str(uuid.uuid4()), config.fips, epoch, "rollback", plans)
    last = target.runs.run(str(proposal.run_id))
    target.runs.open(
        plan,
        trigger=request.trigger,
        moment=SourceMoment(str(last.source_now or ""), "", last.source_year),
        identity=identity,
        config=config.fingerprint,
        code=code_version(),
        one_process=request.one_process,
    )
    return plan


def _entity_plan(config: CountyConfig, target: Target, entity: str, scope: RollbackScope) -> ReadPlan:
    stored = target.history.newest_plan(config.fips, entity)
    if stored is None:
        raise ConflictError(
            f"{config.county}: no run of {entity} is recorded", remedy="there is nothing to put back"
        )
    what = f"as it was after run {scope.run_id}" if scope.onto else f"before-images of run {scope.run_id}"
    return replace(
        ReadPlan.from_json(stored),
        mode="keys",
        strategy=STRATEGY,
        reason=what,
        lower=None,
        upper=None,
        cursor=None,
        keys=(),
        pending_ids=(),
        probes_deletes=False,
        compares=False,
        rollback=scope,
    )


def _stage(config: CountyConfig, target: Target, run_id: str, plan: ReadPlan) -> None:
    """Extract from the change log, and record the verdict on exactly what was staged.

    The images passed their rules when they were published; they are put back as they were, whatever today's
    rules would say.
    """
    entity, scope = load_entities()[plan.entity], plan.rollback
    assert scope is not None
    table = stage_name(run_id, plan.entity, 1)
    with audit_failures(config, target, f"extract_{plan.entity}", run_id):
        target.runs.begin_extract(run_id, plan.entity, 1)
        rows = target.history.stage(entity, config.fips, table, scope)
        target.runs.end_extract(
            run_id,
            plan.entity,
            attempt=1,
            table=table,
            mode="keys",
            read=rows,
            staged=rows,
            seconds=0.0,
            expected=None,
        )
        staged = target.staging.count(table)
        result = RuleResult("RB.1", "block", _COMPLETE, staged == rows, rows, abs(rows - staged), False)
        target.runs.record_validation(
            run_id, plan.entity, table=table, attempt=1, rows=rows, results=[result]
        )


def _certified(config: CountyConfig, target: Target, run_id: str) -> tuple[RunOutcome, Certificate]:
    """Compare what was put back with its images and issue the certificate. The run's end falls here."""
    with audit_failures(config, target, "certify", run_id):
        rows = target.runs.entities(run_id)
        certificates = []
        for row in rows:
            entity, table = load_entities()[row.entity], str(row.stage_table)
            scope = row.read_plan.rollback
            assert scope is not None
            if target.staging.count(table) != row.verdict_rows:  # lost in a crash of the target
                target.history.stage(entity, config.fips, table, scope)
            equal, differing, missing, extra = target.history.compare(entity, config.fips, table)
            certificates.append(
                EntityCertificate(
                    row.entity,
                    "keys",
                    "drift" if differing + missing + extra else "rolled_back",
                    compared=equal + differing + missing + extra,
                    source_rows=equal + differing + missing,
                    target_rows=equal + differing + extra,
                    equal=equal,
                    missing=missing,
                    differing=differing,
                    extra_in_target=extra,
                    method="compared with the images of the change log; the source was not asked",
                )
            )
        certificate = target.certifier.issue(run_id, certificates, {})
        target.staging.drop([row.stage_table for row in rows if row.stage_table])
    outcome = target.publisher.publish(run_id, delete_bounds(config), relation_rules(config))
    if certificate.state != "rolled_back":
        raise DataError(
            f"{config.county}: after rollback {run_id} rows are not what they were",
            remedy=f"keep the county on hold and look at pacs certificate {config.county}",
        )
    return outcome, certificate
