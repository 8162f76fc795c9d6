"""What a run notes for the page: progress beside an open COPY, and why a step failed."""

from __future__ import annotations

import uuid

import psycopg

from airflow_provider_pacs.sync.records import EntityPlan, RunPlan
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from airflow_provider_pacs.sync.target.postgres.read import OpsReader

FIPS = "53005"


def opened(target: PostgresTarget) -> str:
    target.migrate()
    epoch = target.claim(county_id=FIPS, county="benton_wa", name="Benton", identity={})
    run_id = str(uuid.uuid4())
    entity = EntityPlan(
        "property", "full", "last_modified", "first load", None, "2026-11-20", "datetime", "m", "s"
    )
    target.open_run(
        RunPlan(run_id, FIPS, epoch, "sync", (entity,)),
        trigger="cli",
        source_now="",
        identity={},
        config="c",
        code="0",
    )
    return run_id


def test_progress_is_seen_while_the_load_is_still_in_its_transaction(pg_url: str) -> None:
    with PostgresTarget.from_url(pg_url) as target, psycopg.connect(pg_url, autocommit=True) as other:
        run_id = opened(target)
        with target.transaction():
            target.note_progress(run_id, "property", 52_000, 4.0)
            assert other.execute(
                "SELECT rows_read, extract_seconds FROM pacs_ops.run_entity WHERE run_id = %s", (run_id,)
            ).fetchone() == (
                52_000,
                4.0,
            )


def test_a_failed_step_is_recorded_with_class_and_remedy(pg_url: str) -> None:
    with PostgresTarget.from_url(pg_url) as target:
        run_id = opened(target)
        target.note_failure(
            FIPS, "validate_property", DataError("two keys are the same", remedy="correct them"), run_id
        )
    with OpsReader(psycopg.conninfo.conninfo_to_dict(pg_url)) as reader:  # type: ignore[arg-type]
        failure = reader.run_failures(run_id)[0]
    assert failure.step == "validate_property"
    assert (failure.code, failure.error_class) == ("PACS-004", "DataError")
    assert (failure.message, failure.remedy) == ("two keys are the same", "correct them")
    assert (failure.trigger, failure.entity) == ("cli", "property")


def test_the_reader_can_write_nothing(pg_url: str) -> None:
    with OpsReader(psycopg.conninfo.conninfo_to_dict(pg_url)) as reader:  # type: ignore[arg-type]
        assert reader._one("SHOW transaction_read_only", {}) == {"transaction_read_only": "on"}
