-- Schemas, the state that lives with the data, and the append-only audit.
CREATE SCHEMA IF NOT EXISTS pacs;
CREATE SCHEMA IF NOT EXISTS pacs_part;
CREATE SCHEMA IF NOT EXISTS pacs_ops;
COMMENT ON SCHEMA pacs IS 'Canonical tables, partitioned by county. Read these.';
COMMENT ON SCHEMA pacs_part IS 'The partitions. Nobody has grants here: a grant on a leaf would bypass row-level security.';
COMMENT ON SCHEMA pacs_ops IS 'State, history and evidence of the sync.';

CREATE TABLE pacs_ops.county (
  county_id text PRIMARY KEY CHECK (county_id ~ '^[0-9]{5}$'),
  county text NOT NULL UNIQUE,
  name text NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  source_identity jsonb,
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN pacs_ops.county.source_identity IS 'The database that the cursors were made from; another one behind the connection is refused.';
COMMENT ON COLUMN pacs_ops.county.epoch IS 'Fencing: a run takes the next epoch when it starts and may publish only while the county still has it.';

CREATE TABLE pacs_ops.sync_run (
  run_id uuid PRIMARY KEY,
  county_id text NOT NULL REFERENCES pacs_ops.county,
  epoch bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('sync', 'reconcile', 'backfill', 'approve')),
  trigger text NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'published', 'succeeded', 'held', 'failed', 'superseded')),
  source_now text,
  source_identity jsonb,
  config_fingerprint text NOT NULL,
  code_version text NOT NULL,
  message text NOT NULL DEFAULT '',
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz,
  finished_at timestamptz
);
CREATE INDEX ON pacs_ops.sync_run (county_id, started_at DESC);

CREATE TABLE pacs_ops.run_entity (
  run_id uuid NOT NULL REFERENCES pacs_ops.sync_run ON DELETE CASCADE,
  entity text NOT NULL,
  position int NOT NULL,
  mode text NOT NULL CHECK (mode IN ('full', 'changes')),
  family text NOT NULL,
  reason text NOT NULL,
  lower_bound text,
  upper_bound text,
  change_type text,
  map_fingerprint text NOT NULL,
  schema_fingerprint text NOT NULL,
  source_columns jsonb NOT NULL DEFAULT '{}',
  state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'staged', 'passed', 'blocked', 'published', 'failed')),
  stage_table text,
  attempt int NOT NULL DEFAULT 0,
  rows_read bigint NOT NULL DEFAULT 0,
  rows_staged bigint NOT NULL DEFAULT 0,
  rows_inserted bigint NOT NULL DEFAULT 0,
  rows_updated bigint NOT NULL DEFAULT 0,
  rows_deleted bigint NOT NULL DEFAULT 0,
  rows_quarantined bigint NOT NULL DEFAULT 0,
  rows_released bigint NOT NULL DEFAULT 0,
  rows_held bigint NOT NULL DEFAULT 0,
  extract_seconds double precision NOT NULL DEFAULT 0,
  message text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, entity)
);

COMMENT ON COLUMN pacs_ops.run_entity.rows_staged IS 'Rows in the staging table when extract ended: publish refuses a table that holds another number, as after a crash of PostgreSQL, which empties unlogged tables.';

CREATE TABLE pacs_ops.sync_state (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  family text NOT NULL,
  watermark text,
  watermark_type text,
  map_fingerprint text NOT NULL,
  schema_fingerprint text NOT NULL,
  source_columns jsonb NOT NULL DEFAULT '{}',
  epoch bigint NOT NULL,
  run_id uuid NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (county_id, entity)
);
COMMENT ON COLUMN pacs_ops.sync_state.watermark IS 'Text made by SQL Server in watermark_type; handed back as it is, never parsed.';

CREATE TABLE pacs_ops.quarantine (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  source_key text NOT NULL,
  rules text[] NOT NULL,
  source_version text,
  payload_digest bytea NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released')),
  attempts int NOT NULL DEFAULT 1,
  run_id uuid NOT NULL,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (county_id, entity, source_key)
);
COMMENT ON TABLE pacs_ops.quarantine IS 'Rows that broke a rule: key, rules and a digest. No values, so no personal data.';

CREATE TABLE pacs_ops.quality_result (
  run_id uuid NOT NULL REFERENCES pacs_ops.sync_run ON DELETE CASCADE,
  entity text NOT NULL,
  rule_id text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('block', 'quarantine', 'warn')),
  title text NOT NULL,
  success boolean NOT NULL,
  evaluated bigint NOT NULL,
  unexpected bigint NOT NULL,
  blocks boolean NOT NULL,
  detail text NOT NULL DEFAULT '',
  judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, entity, rule_id)
);

CREATE TABLE pacs_ops.held_delete (
  held_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  run_id uuid NOT NULL,
  row_count bigint NOT NULL,
  live_count bigint NOT NULL,
  digest bytea NOT NULL,
  reason text NOT NULL,
  state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'approved', 'rejected', 'replaced', 'applied')),
  held_at timestamptz NOT NULL DEFAULT now(),
  decided_by text,
  decided_at timestamptz
);
CREATE TABLE pacs_ops.held_delete_key (
  held_id bigint NOT NULL REFERENCES pacs_ops.held_delete ON DELETE CASCADE,
  source_key text NOT NULL,
  PRIMARY KEY (held_id, source_key)
);

CREATE TABLE pacs_ops.certificate (
  certificate_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id uuid NOT NULL REFERENCES pacs_ops.sync_run ON DELETE CASCADE,
  county_id text NOT NULL,
  entity text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('delta', 'full')),
  clean boolean NOT NULL,
  upper_bound text,
  source_rows bigint NOT NULL,
  target_rows bigint NOT NULL,
  quarantined_rows bigint NOT NULL,
  late_rows bigint NOT NULL,
  missing bigint NOT NULL,
  differing bigint NOT NULL,
  ghosts bigint NOT NULL,
  repaired bigint NOT NULL,
  held bigint NOT NULL,
  remaining bigint NOT NULL,
  sums jsonb,
  source_digest bytea,
  target_digest bytea,
  sample_keys text[] NOT NULL DEFAULT '{}',
  config_fingerprint text NOT NULL,
  code_version text NOT NULL,
  issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (run_id, entity, scope)
);

CREATE TABLE pacs_ops.audit (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  county_id text,
  run_id uuid,
  actor text NOT NULL DEFAULT session_user,
  action text NOT NULL,
  object text NOT NULL DEFAULT '',
  details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON pacs_ops.audit (county_id, seq DESC);

CREATE FUNCTION pacs_ops.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'pacs_ops.audit is append-only: % refused', TG_OP USING ERRCODE = '42501';
END $$;
CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON pacs_ops.audit FOR EACH ROW EXECUTE FUNCTION pacs_ops.audit_is_append_only();
CREATE TRIGGER audit_stays BEFORE TRUNCATE ON pacs_ops.audit FOR EACH STATEMENT EXECUTE FUNCTION pacs_ops.audit_is_append_only();
