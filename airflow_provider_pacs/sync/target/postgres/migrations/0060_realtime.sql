-- What realtime keeps of a county where Airflow has no asset state store (before 3.3): what to poll and the position that is handled ('followed'), how the last poll went ('polled').
CREATE TABLE pacs_ops.realtime_state (
  county_id text NOT NULL CHECK (county_id ~ '^[0-9]{5}$'),
  key text NOT NULL CHECK (key IN ('followed', 'polled')),
  value jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (county_id, key)
);
COMMENT ON TABLE pacs_ops.realtime_state IS 'Losing a row costs one run that finds nothing: cursors and epochs decide what a run reads.';
