-- What runs as its owner names every object with its schema and looks for nothing in a schema that its caller can fill: pg_temp stands last, and said so, since it is searched first where it is not named.
CREATE OR REPLACE FUNCTION pacs_ops.readable_counties() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.county_id FROM pacs_ops.county AS c
  WHERE EXISTS (
    SELECT 1 FROM pacs_ops.county_grant AS g JOIN pg_catalog.pg_roles AS r ON r.rolname = g.role_name
    WHERE g.county_id IN (c.county_id, '*') AND pg_catalog.pg_has_role(session_user, r.oid, 'member'))
$$;
REVOKE ALL ON FUNCTION pacs_ops.readable_counties() FROM PUBLIC;

CREATE FUNCTION pacs_ops.attach_partition(entity_table text, county_id text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  root oid;
BEGIN
  IF $2 IS NULL OR $2 !~ '^[0-9]{5}$' THEN
    RAISE EXCEPTION 'not a county id: %', $2 USING ERRCODE = '22023';
  END IF;
  SELECT c.oid INTO root FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pacs' AND c.relname = $1 AND c.relkind = 'p';
  IF root IS NULL THEN
    RAISE EXCEPTION 'schema pacs has no partitioned table %', $1 USING ERRCODE = '42P01';
  END IF;
  EXECUTE pg_catalog.format('ALTER TABLE pacs.%I ATTACH PARTITION pacs_part.%I FOR VALUES IN (%L)', $1, $1 || '_' || $2, $2);
END $$;
COMMENT ON FUNCTION pacs_ops.attach_partition IS 'Makes the county''s finished table in schema pacs_part its partition. Only the owner of a root may do that; the sync owns partitions, not roots.';
REVOKE ALL ON FUNCTION pacs_ops.attach_partition(text, text) FROM PUBLIC;
