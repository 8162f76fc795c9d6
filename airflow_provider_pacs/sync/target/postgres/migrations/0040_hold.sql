-- A county on hold: nothing of it is published until somebody resumes it (docs/adr/0040-history-and-rollback.md).
CREATE TABLE pacs_ops.county_hold (
  hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  county_id text NOT NULL CHECK (county_id ~ '^[0-9]{5}$'),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  held_by text NOT NULL,
  held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  run_id uuid,
  resumed_by text,
  resumed_at timestamptz,
  CHECK ((resumed_by IS NULL) = (resumed_at IS NULL))
);
CREATE UNIQUE INDEX county_hold_open ON pacs_ops.county_hold (county_id) WHERE resumed_at IS NULL;
COMMENT ON TABLE pacs_ops.county_hold IS 'Holds of counties, open ones and those that were lifted. A county may be on hold before its first run.';
COMMENT ON COLUMN pacs_ops.county_hold.run_id IS 'The rollback that put the county on hold; NULL where a person did.';
