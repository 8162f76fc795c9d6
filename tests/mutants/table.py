"""All mutants."""

from __future__ import annotations

from tests.mutants import (
    table_captures,
    table_certificate,
    table_feeds,
    table_history,
    table_proof,
    table_reads,
    table_realtime,
    table_roll,
    table_rows,
    table_runs,
    table_security,
    table_source,
    table_staging,
    table_windows,
)

MUTANTS = (
    *table_captures.MUTANTS,
    *table_windows.MUTANTS,
    *table_feeds.MUTANTS,
    *table_reads.MUTANTS,
    *table_staging.MUTANTS,
    *table_rows.MUTANTS,
    *table_roll.MUTANTS,
    *table_certificate.MUTANTS,
    *table_history.MUTANTS,
    *table_proof.MUTANTS,
    *table_runs.MUTANTS,
    *table_realtime.MUTANTS,
    *table_security.MUTANTS,
    *table_source.MUTANTS,
)
