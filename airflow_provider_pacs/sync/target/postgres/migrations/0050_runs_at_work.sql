-- The page asks for runs that have no end yet, whatever their kind, however long the history.
CREATE INDEX sync_run_at_work ON pacs_ops.sync_run (county_id, started_at DESC) WHERE state IN ('running', 'published');
