-- Roles without login; a DBA grants them to people and services. Where the sync may not create roles, a DBA runs this file and the sync goes on.
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['pacs_read', 'pacs_ops_read', 'pacs_sync'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'role % does not exist and % may not create it: ask a DBA to run 0002_roles.sql', wanted, current_user;
      WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this cluster made it just now
      END;
    END IF;
  END LOOP;
END $$;

-- Which role reads which county. Row-level security of every table in schema pacs asks this table.
CREATE TABLE pacs_ops.county_grant (
  role_name name NOT NULL,
  county_id text NOT NULL,
  PRIMARY KEY (role_name, county_id)
);
COMMENT ON TABLE pacs_ops.county_grant IS 'role_name (a role or a group role) may read county_id; ''*'' stands for every county.';

CREATE FUNCTION pacs_ops.readable_counties() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT c.county_id FROM pacs_ops.county AS c
  WHERE EXISTS (
    SELECT 1 FROM pacs_ops.county_grant AS g JOIN pg_roles AS r ON r.rolname = g.role_name
    WHERE g.county_id IN (c.county_id, '*') AND pg_has_role(session_user, r.oid, 'member'))
$$;
COMMENT ON FUNCTION pacs_ops.readable_counties() IS 'Counties that the session''s login may read. By login, so that SET ROLE can''t widen it.';

DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_read') THEN
    GRANT USAGE ON SCHEMA pacs TO pacs_read;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_ops_read') THEN
    GRANT USAGE ON SCHEMA pacs_ops TO pacs_ops_read;
    GRANT SELECT ON ALL TABLES IN SCHEMA pacs_ops TO pacs_ops_read;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pacs_sync') THEN
    GRANT USAGE, CREATE ON SCHEMA pacs, pacs_part, pacs_ops TO pacs_sync;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pacs_ops TO pacs_sync;
    REVOKE UPDATE, DELETE, TRUNCATE ON pacs_ops.audit FROM pacs_sync;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pacs_ops TO pacs_sync;
  END IF;
END $$;
