"""Comparisons of a run -> its certificate and its end, in one transaction.

No row of schema `pacs` is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    Certificate,
    Comparison,
    Coverage,
    EntityCertificate,
)
from airflow_provider_pacs.sync.target.postgres import audit, comparison, ddl, run_records
from airflow_provider_pacs.sync.target.postgres.database import Database
from airflow_provider_pacs.sync.target.postgres.retry import retry_on_deadlock
from airflow_provider_pacs.sync.target.postgres.sql import partition

Connection = psycopg.Connection[Any]
COLUMNS = {
    "covered": "covered",
    "state": "state",
    "compared": "compared_rows",
    "source_rows": "source_rows",
    "target_rows": "target_rows",
    "equal": "equal_rows",
    "quarantined": "quarantined_rows",
    "waiting": "waiting_rows",
    "newer": "newer_rows",
    "kept": "kept_rows",
    "pending_deletes": "pending_deletes",
    "missing": "missing",
    "differing": "differing",
    "extra_in_target": "extra_in_target",
    "lower": "lower_bound",
    "upper": "upper_bound",
    "method": "method",
    "source_control": "source_control",
    "target_control": "target_control",
    "sample_keys": "sample_keys",
    "message": "message",
}
"""Field of `EntityCertificate` -> column of `pacs_ops.certificate`."""


class PostgresCertifier:
    """The port `Certifier` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def compare(
        self,
        entity: Entity,
        county_id: str,
        fresh: str,
        staged: str | None,
        *,
        complete: bool,
        waiting_rule: str | None,
    ) -> Comparison:
        """Lay what the source says now beside the partition."""
        with self._db.statements() as connection:
            return comparison.compare(
                connection, entity, county_id, fresh, staged, complete=complete, waiting_rule=waiting_rule
            )

    def live_rows(self, entity: Entity, county_id: str) -> int:
        """Live rows of the county's partition."""
        with self._db.statements() as connection:
            return ddl.live_count(connection, entity, county_id)

    def control(self, entity: Entity, county_id: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
        """Control totals of the live rows."""
        with self._db.statements() as connection:
            return comparison.control(connection, entity, county_id, columns)

    def orphaned(self, child: Entity, county_id: str, rule: Rule) -> list[RuleResult]:
        """A warning that counts the live children of deleted parents: they stay as they are (case 114)."""
        with self._db.statements() as connection:
            return orphaned(connection, child, county_id, rule)

    def issue(
        self,
        run_id: str,
        certificates: Sequence[EntityCertificate],
        warnings: Mapping[str, Sequence[RuleResult]],
    ) -> Certificate:
        """Store the certificate and the run's end in one transaction."""

        def once() -> Certificate:
            with self._db.transaction() as connection:
                return issue(connection, run_id, certificates, warnings)

        return retry_on_deadlock(once)

    def latest(self, county_id: str, *, kind: str | None = None) -> Certificate | None:
        """The county's newest certificate."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT c.run_id::text FROM pacs_ops.certificate AS c JOIN pacs_ops.sync_run AS r USING "
                "(run_id) "
                "WHERE c.county_id = %s AND (%s::text IS NULL OR r.kind = %s) "
                "ORDER BY c.issued_at DESC, c.certificate_id DESC LIMIT 1",
                (county_id, kind, kind),
            ).fetchone()
            return stored(connection, row[0]) if row else None

    def of_run(self, run_id: str) -> Certificate | None:
        """The certificate of a run; None where none was issued."""
        with self._db.statements() as connection:
            return stored(connection, run_id)


def orphaned(connection: Connection, child: Entity, county_id: str, rule: Rule) -> list[RuleResult]:
    """A warning that counts the live children of deleted parents."""
    parent = load_entities()[str(child.parent)]
    if not (
        ddl.partition_exists(connection, child, county_id)
        and ddl.partition_exists(connection, parent, county_id)
    ):
        return []
    counted = connection.execute(
        sql.SQL(
            "SELECT count(*), count(*) FILTER (WHERE c.{link} IN "
            "(SELECT p.{key} FROM {parents} AS p WHERE p._deleted_at IS NOT NULL)) "
            "FROM {children} AS c WHERE c._deleted_at IS NULL"
        ).format(
            link=sql.Identifier(str(child.parent_key)),
            key=sql.Identifier(parent.key),
            parents=partition(parent, county_id),
            children=partition(child, county_id),
        )
    ).fetchone()
    live, left = counted or (0, 0)
    title = f"No {child.name} is left behind by a deleted {parent.name}"
    return [RuleResult(f"{rule.id}-deleted", "warn", title, left == 0, live, left, blocks=False)]


def issue(
    connection: Connection,
    run_id: str,
    certificates: Sequence[EntityCertificate],
    warnings: Mapping[str, Sequence[RuleResult]],
) -> Certificate:
    """Store a run's certificate, its end and the audit row, in the caller's transaction.

    Raises:
        ConflictError: a later run has taken the county.
    """
    run = run_records.run(connection, run_id)
    run_records.fence(connection, run)
    for entity, results in warnings.items():
        run_records.record_results(connection, run_id, entity, results)
    covered: Coverage = _covered(certificates)
    certificate = Certificate(
        run_id,
        run.county_id,
        run.kind,
        covered,
        tuple(certificates),
        code_version=run.code_version,
        mapping_version=run.mapping_version,
        source_now=run.source_now,
    )
    details = {
        each.entity: {
            "state": each.state,
            "covered": each.covered,
            "drift": each.drift,
            "pending": each.pending_deletes,
        }
        for each in certificates
    }
    audit.append(
        connection,
        run.county_id,
        run_id,
        "run.certificate",
        covered,
        {"state": certificate.state, "entities": details},
    )
    head = str(audit.head(connection, run.county_id) or "")
    for each in certificates:
        _store(connection, certificate, each, run.config_fingerprint, head)
    message = "; ".join(f"{each.entity}: {each.state}" for each in certificates if each.state != "clean")
    run_records.set_run_state(connection, run_id, certificate.run_state, message, finished=True)
    return replace(certificate, audit_head=head)


def _covered(certificates: Sequence[EntityCertificate]) -> Coverage:
    kinds = {each.covered for each in certificates}
    return "keys" if "keys" in kinds else "window" if "window" in kinds or not kinds else "all_rows"


def _store(
    connection: Connection, certificate: Certificate, each: EntityCertificate, config: str, head: str
) -> None:
    values: dict[str, object] = {column: getattr(each, name) for name, column in COLUMNS.items()}
    for name in ("source_control", "target_control"):
        values[name] = Jsonb(values[name]) if values[name] is not None else None
    values |= {
        "run_id": certificate.run_id,
        "county_id": certificate.county_id,
        "entity": each.entity,
        "sample_keys": list(each.sample_keys),
        "config_fingerprint": config,
        "code_version": certificate.code_version,
        "mapping_version": certificate.mapping_version,
        "source_now": certificate.source_now,
        "audit_head": head,
    }
    names = sorted(values)
    connection.execute(
        sql.SQL(
            "INSERT INTO pacs_ops.certificate ({names}) VALUES ({marks}) ON CONFLICT (run_id, entity) DO "
            "UPDATE SET "
            "{again}, issued_at = clock_timestamp()"
        ).format(
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            marks=sql.SQL(", ").join(map(sql.Placeholder, names)),
            again=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names
            ),
        ),
        values,
    )


def stored(connection: Connection, run_id: str) -> Certificate | None:
    """The certificate of a run as it was stored."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT c.*, r.kind FROM pacs_ops.certificate AS c JOIN pacs_ops.sync_run AS r USING (run_id) "
            "JOIN pacs_ops.run_entity AS e ON e.run_id = c.run_id AND e.entity = c.entity "
            "WHERE c.run_id = %s ORDER BY e.position",
            (run_id,),
        ).fetchall()
    if not rows:
        return None
    entities = []
    issued: datetime = max(row["issued_at"] for row in rows)
    for row in rows:
        values = {name: row[column] for name, column in COLUMNS.items()}
        values["sample_keys"] = tuple(row["sample_keys"])
        entities.append(EntityCertificate(entity=row["entity"], **values))
    first = rows[0]
    return Certificate(
        run_id,
        first["county_id"],
        first["kind"],
        _covered(entities),
        tuple(entities),
        code_version=first["code_version"],
        mapping_version=first["mapping_version"],
        source_now=first["source_now"],
        issued_at=issued,
        audit_head=first["audit_head"],
    )
