"""A county and its two ends -> a report of all that a run depends on.

Nothing is written, and no single failed look hides the others.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.preflight.connection import check_connection
from airflow_provider_pacs.sync.preflight.context import PreflightContext, attempt
from airflow_provider_pacs.sync.preflight.data import check_data
from airflow_provider_pacs.sync.preflight.database import check_clock, check_database
from airflow_provider_pacs.sync.preflight.followed import check_followed
from airflow_provider_pacs.sync.preflight.permissions import check_permissions
from airflow_provider_pacs.sync.preflight.report import Finding, PreflightReport
from airflow_provider_pacs.sync.preflight.tables import check_change_feeds, check_schema, check_sizes
from airflow_provider_pacs.sync.preflight.target import check_target
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

__all__ = ["Finding", "PreflightReport", "examine"]


def examine(
    config: CountyConfig,
    source: SourceReader,
    target: Target | PacsError,
    *,
    thorough: bool = False,
    now: datetime | None = None,
) -> PreflightReport:
    """Look at everything, in the order in which a connection comes about.

    Args:
        config: the county.
        source: a reader that need not be open yet.
        target: an open target, or the error that kept it from opening.
        thorough: count rows and look at some of the data too, which costs the source more than a run's own
            preflight should.
        now: our clock; for tests.
    """
    context = PreflightContext(config, source, target, thorough, now or datetime.now(UTC))
    findings, refused = check_connection(context)
    if refused is None:
        findings += attempt("permissions", "permissions", lambda: check_permissions(context))
        findings += attempt("database", "database", lambda: check_database(context))
        findings += attempt("schema", "schema", lambda: check_schema(context))
        findings += attempt("sizes", "sizes", lambda: check_sizes(context))
        findings += attempt("clock", "clock", lambda: check_clock(context))
        if thorough:
            findings += attempt("data", "data", lambda: check_data(context))
        findings += attempt("changes", "changes", lambda: check_change_feeds(context))
        findings += attempt("realtime", "changes", lambda: check_followed(context))
    findings += attempt("target", "target", lambda: check_target(context))
    return PreflightReport(config.county, context.now, thorough, tuple(findings), refused)
