"""The five steps of every run, in order: plan -> extract, validate (per entity) -> publish -> certify.

Start here.

Each step finds what it needs in the run's rows (schema pacs_ops), so a step may run in another process, or
again: Airflow's tasks and the command line call the same functions. A run kind (sync, reconcile, backfill,
approval) differs from others only in the rows that its plan selects; `publish` is the only code that writes
rows of schema `pacs`.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.records import RunRequest
from airflow_provider_pacs.sync.steps.approve import approve, pending_deletes, reject
from airflow_provider_pacs.sync.steps.certify import CertificateError, certify
from airflow_provider_pacs.sync.steps.extract import extract
from airflow_provider_pacs.sync.steps.hold import hold, resume
from airflow_provider_pacs.sync.steps.publish import publish
from airflow_provider_pacs.sync.steps.realtime import FollowedState, FollowOutcome, follow, poll_plan
from airflow_provider_pacs.sync.steps.rollback import propose_rollback, rollback
from airflow_provider_pacs.sync.steps.run import backfill, check, plan, reconcile, run_all, sync
from airflow_provider_pacs.sync.steps.validate import validate

__all__ = [
    "CertificateError",
    "FollowOutcome",
    "FollowedState",
    "RunRequest",
    "approve",
    "backfill",
    "certify",
    "check",
    "extract",
    "follow",
    "hold",
    "pending_deletes",
    "plan",
    "poll_plan",
    "propose_rollback",
    "publish",
    "reconcile",
    "reject",
    "resume",
    "rollback",
    "run_all",
    "sync",
    "validate",
]
