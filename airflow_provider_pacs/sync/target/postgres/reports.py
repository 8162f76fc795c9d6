"""Canonical entities and reports -> the views of schema `pacs_report`.

`certificate` and `children_of_deleted` run with their reader's rights. The reports of `sync/reports` run with
their owner's, name the readable counties themselves and hold no personal data (docs/adr/0071-reports.md).
"""

from __future__ import annotations

from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.reports import COMPUTED, ReportView, load_reports
from airflow_provider_pacs.sync.target.postgres.sql import root

_CHILDREN = (
    "SELECT c.county_id, {child} AS entity, c.{key}::text AS source_key, {parent} AS parent, "
    "c.{parent_key}::text AS parent_key, "
    "p._deleted_at AS parent_deleted_at FROM {children} AS c JOIN {parents} AS p ON p.county_id = "
    "c.county_id AND p.{its_key} = c.{parent_key} "
    "WHERE c._deleted_at IS NULL AND p._deleted_at IS NOT NULL"
)


_CERTIFICATE = """SELECT DISTINCT ON (c.county_id, c.entity) c.county_id, c.entity, c.state, c.covered, c.issued_at,
  r.kind AS run_kind, c.run_id, c.source_rows, c.target_rows, c.equal_rows, c.quarantined_rows, c.waiting_rows,
  c.newer_rows, c.kept_rows, c.pending_deletes, c.missing, c.differing, c.extra_in_target, c.compared_rows,
  c.lower_bound, c.upper_bound, c.source_now, c.method, c.source_control, c.target_control, c.code_version,
  c.mapping_version, c.audit_head, c.message
FROM pacs_ops.certificate AS c JOIN pacs_ops.sync_run AS r USING (run_id)
ORDER BY c.county_id, c.entity, c.issued_at DESC, c.certificate_id DESC"""  # noqa: E501
"""The newest certificate of each entity, with everything it covered and said."""


def views() -> dict[str, sql.Composed]:
    """Name -> the statements that make the view anew."""
    children = [entity for entity in load_entities().values() if entity.parent is not None]
    return {
        "certificate": _view("certificate", sql.Composed([sql.SQL(_CERTIFICATE)])),
        "children_of_deleted": _view(
            "children_of_deleted",
            sql.SQL(" UNION ALL ").join(_children_of_deleted(child) for child in children),
        ),
        **{name: _report(report) for name, report in load_reports().items()},
    }


def _report(report: ReportView) -> sql.Composed:
    """The report's view with a comment on it and on each of its columns.

    `security_barrier`: a function in a reader's WHERE sees no row of a county that the reader may not read.
    """
    view = sql.Identifier("pacs_report", report.name)
    made = [
        sql.SQL("DROP VIEW IF EXISTS {0}; CREATE VIEW {0} WITH (security_barrier = true) AS ").format(view),
        sql.SQL(report.sql),  # a file of this package
        sql.SQL("; COMMENT ON VIEW {} IS {}").format(view, sql.Literal(report.title)),
    ]
    made += [
        sql.SQL("; COMMENT ON COLUMN {}.{} IS {}").format(view, sql.Identifier(column), sql.Literal(about))
        for column, about in report.columns
        if column not in COMPUTED
    ]
    return sql.Composed(made)


def _view(name: str, body: sql.Composed) -> sql.Composed:
    return sql.SQL(
        "DROP VIEW IF EXISTS {view}; CREATE VIEW {view} WITH (security_invoker = true) AS {body}; "
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_read') THEN GRANT SELECT ON "
        "{view} TO pacs_read; END IF; END $$"
    ).format(view=sql.Identifier("pacs_report", name), body=body)


def _children_of_deleted(child: Entity) -> sql.Composed:
    parent = load_entities()[str(child.parent)]
    return sql.SQL(_CHILDREN).format(
        child=sql.Literal(child.name),
        key=sql.Identifier(child.key),
        parent=sql.Literal(parent.name),
        parent_key=sql.Identifier(str(child.parent_key)),
        children=root(child),
        parents=root(parent),
        its_key=sql.Identifier(parent.key),
    )
