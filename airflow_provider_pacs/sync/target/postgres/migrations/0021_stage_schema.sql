-- Staging in a schema of its own, which only the sync sees: rows are there before they are judged, redacted or even meant for the platform.
CREATE SCHEMA IF NOT EXISTS pacs_stage;
COMMENT ON SCHEMA pacs_stage IS 'Rows of running runs before they are published. Only the sync has rights here.';
DO $$
DECLARE
  moved record;
BEGIN
  FOR moved IN SELECT c.relname, c.relkind FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'pacs_ops'::regnamespace AND c.relname LIKE 'stage\_%' AND c.relkind IN ('r', 'v') LOOP
    EXECUTE format('ALTER %s pacs_ops.%I SET SCHEMA pacs_stage', CASE moved.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, moved.relname);
  END LOOP;
END $$;
