-- What each run found when it looked at both ends before it read, also a run that was refused and has no row of its own.
CREATE TABLE pacs_ops.check_report (
  check_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  county_id text NOT NULL,
  run_id uuid REFERENCES pacs_ops.sync_run ON DELETE CASCADE,
  trigger text NOT NULL,
  state text NOT NULL CHECK (state IN ('ok', 'warn', 'fail', 'unknown')),
  report jsonb NOT NULL,
  checked_at timestamptz NOT NULL
);
COMMENT ON COLUMN pacs_ops.check_report.report IS 'Findings with their remedies. Counts, names of columns and codes; no values of personal columns.';
CREATE INDEX check_report_newest ON pacs_ops.check_report (county_id, checked_at DESC);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_ops_read') THEN
    GRANT SELECT ON pacs_ops.check_report TO pacs_ops_read;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_sync') THEN
    GRANT SELECT, INSERT, DELETE ON pacs_ops.check_report TO pacs_sync;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pacs_ops TO pacs_sync;
  END IF;
END $$;
