-- Columns that a county's file promotes out of `extra`: `pacs migrate` adds them to the entity's table, once for all counties, and remembers them here. A run reads
-- this list and adds nothing; who may change the tables of schema pacs is not the sync.
CREATE TABLE pacs_ops.promoted_column (
  entity text NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  promoted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  promoted_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (entity, name)
);
COMMENT ON TABLE pacs_ops.promoted_column IS 'Columns of schema pacs beyond the canonical ones. NULL in the rows of counties that do not promote them.';
