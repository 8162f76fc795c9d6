-- What the operations page asks for, by index: the newest of each county, however long the history.
CREATE INDEX sync_run_by_kind ON pacs_ops.sync_run (county_id, kind, started_at DESC);
CREATE INDEX sync_run_good ON pacs_ops.sync_run (county_id, started_at DESC) WHERE kind = 'sync' AND state IN ('succeeded', 'held');
CREATE INDEX quarantine_open ON pacs_ops.quarantine (county_id, entity) WHERE state = 'open';
CREATE INDEX certificate_newest ON pacs_ops.certificate (county_id, issued_at DESC);
CREATE INDEX held_delete_open ON pacs_ops.held_delete (county_id) WHERE state = 'held';
CREATE INDEX audit_failures ON pacs_ops.audit (county_id, seq DESC) WHERE action = 'run.failed';
CREATE INDEX audit_run_failures ON pacs_ops.audit (run_id) WHERE action = 'run.failed';
