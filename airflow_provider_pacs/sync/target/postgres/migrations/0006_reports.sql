-- Views for people and reports, over schema pacs. Each is made anew when the entities it stands on change.
CREATE SCHEMA IF NOT EXISTS pacs_report;
COMMENT ON SCHEMA pacs_report IS 'Views over schema pacs. Who reads one sees the counties that they may read there.';
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_read') THEN
    GRANT USAGE ON SCHEMA pacs_report TO pacs_read;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_sync') THEN
    GRANT USAGE, CREATE ON SCHEMA pacs_report TO pacs_sync;
  END IF;
END $$;
