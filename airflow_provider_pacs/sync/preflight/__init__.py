"""A county and its two ends -> a report of all that a run depends on.

Nothing is written, and no single failed look hides the others.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.errors import PacsError
from airflow_provider_pacs.sync.preflight.connection import look_at_connection
from airflow_provider_pacs.sync.preflight.data import look_at_data
from airflow_provider_pacs.sync.preflight.database import look_at_clock, look_at_database
from airflow_provider_pacs.sync.preflight.report import Finding, Report
from airflow_provider_pacs.sync.preflight.rights import look_at_rights
from airflow_provider_pacs.sync.preflight.tables import look_at_changes, look_at_schema, look_at_sizes
from airflow_provider_pacs.sync.preflight.target import look_at_target
from airflow_provider_pacs.sync.preflight.visit import Visit, attempt
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

__all__ = ["Finding", "Report", "examine"]


def examine(
    config: CountyConfig,
    source: SourceReader,
    target: Target | PacsError,
    *,
    thorough: bool = False,
    now: datetime | None = None,
) -> Report:
    """Look at everything, in the order in which a connection comes about.

    Args:
        config: the county.
        source: a reader that need not be open yet.
        target: an open target, or the error that kept it from opening.
        thorough: count rows and look at some of the data too, which costs the source more than a run's own
            preflight should.
        now: our clock; for tests.
    """
    visit = Visit(config, source, target, thorough, now or datetime.now(UTC))
    findings, refused = look_at_connection(visit)
    if refused is None:
        findings += attempt("rights", "rights", lambda: look_at_rights(visit))
        findings += attempt("database", "database", lambda: look_at_database(visit))
        findings += attempt("schema", "schema", lambda: look_at_schema(visit))
        findings += attempt("sizes", "sizes", lambda: look_at_sizes(visit))
        findings += attempt("clock", "clock", lambda: look_at_clock(visit))
        if thorough:
            findings += attempt("data", "data", lambda: look_at_data(visit))
        findings += attempt("changes", "changes", lambda: look_at_changes(visit))
    findings += attempt("target", "target", lambda: look_at_target(visit))
    return Report(config.county, visit.now, thorough, tuple(findings), refused)
