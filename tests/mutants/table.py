"""All mutants."""

from __future__ import annotations

from tests.mutants import table_certificate, table_rows, table_runs, table_source, table_windows

MUTANTS = (
    *table_windows.MUTANTS,
    *table_rows.MUTANTS,
    *table_certificate.MUTANTS,
    *table_runs.MUTANTS,
    *table_source.MUTANTS,
)
