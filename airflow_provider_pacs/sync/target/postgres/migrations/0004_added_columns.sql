-- Columns that a source's table got after its first load: what `sync.new_columns: add` carries in `extra`, the same from run to run.
ALTER TABLE pacs_ops.run_entity ADD COLUMN added_columns text[] NOT NULL DEFAULT '{}';
ALTER TABLE pacs_ops.sync_state ADD COLUMN added_columns text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN pacs_ops.sync_state.added_columns IS 'Source columns that appeared after the first load and have a type that can be carried in extra.';
