-- The core drawn again: plans are stored whole, a verdict belongs to one staging table, a certificate is arithmetic (docs/adr/0008-one-way-in.md).
ALTER TABLE pacs_ops.sync_run DROP CONSTRAINT sync_run_kind_check, DROP CONSTRAINT sync_run_state_check;
UPDATE pacs_ops.sync_run SET kind = 'approval' WHERE kind = 'approve';
UPDATE pacs_ops.sync_run SET state = 'pending' WHERE state = 'held';
ALTER TABLE pacs_ops.sync_run
  ADD CONSTRAINT sync_run_kind_check CHECK (kind IN ('sync', 'reconcile', 'backfill', 'approval', 'rollback', 'realtime')),
  ADD CONSTRAINT sync_run_state_check
    CHECK (state IN ('running', 'published', 'succeeded', 'pending', 'blocked', 'drift', 'failed', 'superseded')),
  ADD COLUMN source_utc text,
  ADD COLUMN source_year int NOT NULL DEFAULT 0,
  ADD COLUMN mapping_version int NOT NULL DEFAULT 1,
  ADD COLUMN heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN pacs_ops.sync_run.source_utc IS 'The source''s clock in UTC when the run was planned, as SQL Server''s text.';
COMMENT ON COLUMN pacs_ops.sync_run.source_year IS 'The calendar year of the county at that moment: the "now" of every rule.';
DROP INDEX pacs_ops.sync_run_good;
CREATE INDEX sync_run_good ON pacs_ops.sync_run (county_id, started_at DESC) WHERE kind = 'sync' AND state IN ('succeeded', 'pending');

ALTER TABLE pacs_ops.run_entity DROP CONSTRAINT run_entity_mode_check, DROP CONSTRAINT run_entity_state_check;
UPDATE pacs_ops.run_entity SET mode = 'window' WHERE mode = 'changes';
UPDATE pacs_ops.run_entity SET family = 'joined' WHERE family = 'related';
ALTER TABLE pacs_ops.run_entity RENAME COLUMN family TO strategy;
ALTER TABLE pacs_ops.run_entity RENAME COLUMN map_fingerprint TO fingerprint;
ALTER TABLE pacs_ops.run_entity RENAME COLUMN rows_held TO rows_pending;
ALTER TABLE pacs_ops.run_entity
  ADD CONSTRAINT run_entity_mode_check CHECK (mode IN ('full', 'window', 'keys')),
  ADD CONSTRAINT run_entity_state_check
    CHECK (state IN ('planned', 'extracting', 'staged', 'passed', 'blocked', 'published', 'failed')),
  ADD COLUMN plan jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN verdict_table text,
  ADD COLUMN verdict_rows bigint,
  ADD COLUMN source_count bigint,
  ADD COLUMN source_key_sum text,
  ADD COLUMN sample_keys text[] NOT NULL DEFAULT '{}',
  DROP COLUMN source_columns,
  DROP COLUMN added_columns;
COMMENT ON COLUMN pacs_ops.run_entity.plan IS 'How the entity is read in this run: made once, executed by the later steps as it is.';
COMMENT ON COLUMN pacs_ops.run_entity.verdict_table IS 'The staging table that validation passed; publish takes exactly this one, with verdict_rows rows.';
COMMENT ON COLUMN pacs_ops.run_entity.source_count IS 'Rows at the source that the target must hold, published or quarantined, when the extract counted them.';

UPDATE pacs_ops.sync_state SET family = 'joined' WHERE family = 'related';
ALTER TABLE pacs_ops.sync_state RENAME COLUMN family TO strategy;
ALTER TABLE pacs_ops.sync_state RENAME COLUMN map_fingerprint TO fingerprint;
ALTER TABLE pacs_ops.sync_state ADD COLUMN source_utc text;
COMMENT ON COLUMN pacs_ops.sync_state.source_utc IS 'The source''s clock in UTC then: an earlier one now means that its clock was set back.';

ALTER TABLE pacs_ops.held_delete RENAME TO pending_delete;
ALTER TABLE pacs_ops.pending_delete RENAME COLUMN held_id TO pending_id;
ALTER TABLE pacs_ops.pending_delete RENAME COLUMN held_at TO created_at;
ALTER TABLE pacs_ops.pending_delete DROP CONSTRAINT held_delete_state_check;
ALTER TABLE pacs_ops.pending_delete ALTER COLUMN state SET DEFAULT 'pending';
UPDATE pacs_ops.pending_delete SET state = 'pending' WHERE state = 'held';
ALTER TABLE pacs_ops.pending_delete
  ADD CONSTRAINT pending_delete_state_check CHECK (state IN ('pending', 'approved', 'rejected', 'replaced', 'applied'));
ALTER TABLE pacs_ops.held_delete_key RENAME TO pending_delete_key;
ALTER TABLE pacs_ops.pending_delete_key RENAME COLUMN held_id TO pending_id;
DROP INDEX pacs_ops.held_delete_open;
CREATE INDEX pending_delete_open ON pacs_ops.pending_delete (county_id, entity) WHERE state = 'pending';

ALTER TABLE pacs_ops.watched RENAME TO probed_contents;
ALTER TABLE pacs_ops.probed_contents RENAME COLUMN watch TO probe;
ALTER TABLE pacs_ops.probed_contents RENAME COLUMN scope TO root_key;

ALTER TABLE pacs_ops.quality_result RENAME COLUMN judged_at TO validated_at;

ALTER TABLE pacs_ops.certificate DROP CONSTRAINT certificate_run_id_entity_scope_key, DROP CONSTRAINT certificate_scope_check;
ALTER TABLE pacs_ops.certificate RENAME COLUMN scope TO covered;
UPDATE pacs_ops.certificate SET covered = CASE covered WHEN 'full' THEN 'all_rows' ELSE 'window' END;
DELETE FROM pacs_ops.certificate AS a USING pacs_ops.certificate AS b
WHERE a.run_id = b.run_id AND a.entity = b.entity AND a.certificate_id < b.certificate_id;
ALTER TABLE pacs_ops.certificate RENAME COLUMN ghosts TO extra_in_target;
ALTER TABLE pacs_ops.certificate RENAME COLUMN held TO pending_deletes;
ALTER TABLE pacs_ops.certificate RENAME COLUMN late_rows TO newer_rows;
ALTER TABLE pacs_ops.certificate
  ADD CONSTRAINT certificate_covered_check CHECK (covered IN ('all_rows', 'window', 'keys')),
  ADD COLUMN state text NOT NULL DEFAULT 'clean' CHECK (state IN ('clean', 'pending', 'blocked', 'drift')),
  ADD COLUMN lower_bound text,
  ADD COLUMN compared_rows bigint NOT NULL DEFAULT 0,
  ADD COLUMN equal_rows bigint NOT NULL DEFAULT 0,
  ADD COLUMN waiting_rows bigint NOT NULL DEFAULT 0,
  ADD COLUMN kept_rows bigint NOT NULL DEFAULT 0,
  ADD COLUMN method text NOT NULL DEFAULT '',
  ADD COLUMN source_control jsonb,
  ADD COLUMN target_control jsonb,
  ADD COLUMN mapping_version int NOT NULL DEFAULT 1,
  ADD COLUMN source_now text,
  ADD COLUMN audit_head text NOT NULL DEFAULT '',
  ADD COLUMN message text NOT NULL DEFAULT '',
  ADD CONSTRAINT certificate_once_per_run UNIQUE (run_id, entity);
UPDATE pacs_ops.certificate SET state = CASE WHEN clean THEN 'clean' WHEN pending_deletes > 0 AND remaining = 0 THEN 'pending' ELSE 'drift' END;
ALTER TABLE pacs_ops.certificate
  DROP COLUMN clean, DROP COLUMN repaired, DROP COLUMN remaining, DROP COLUMN sums, DROP COLUMN source_digest, DROP COLUMN target_digest;
COMMENT ON TABLE pacs_ops.certificate IS
  'source_rows = equal + quarantined + waiting + newer + missing + differing; target_rows = equal + kept + pending_deletes + extra_in_target + differing.';

-- No hash is kept per row: nothing may trust it, rows are compared by their images.
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['property', 'owner', 'value_history', 'structure'] LOOP
    EXECUTE format('ALTER TABLE IF EXISTS pacs.%I DROP COLUMN IF EXISTS _row_hash', wanted);
  END LOOP;
END $$;

ALTER TABLE pacs_ops.sync_run ADD COLUMN backend_pid int, ADD COLUMN backend_start timestamptz;
COMMENT ON COLUMN pacs_ops.sync_run.backend_pid IS 'Of a run whose steps share one process: the server process of its connection. When that is gone, so is the run.';
