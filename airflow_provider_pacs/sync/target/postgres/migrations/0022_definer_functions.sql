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
  part oid;
BEGIN
  IF $2 IS NULL OR $2 !~ '^[0-9]{5}$' THEN
    RAISE EXCEPTION 'not a county id: %', $2 USING ERRCODE = '22023';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pacs' AND c.relname = $1 AND c.relkind = 'p') THEN
    RAISE EXCEPTION 'schema pacs has no partitioned table %', $1 USING ERRCODE = '42P01';
  END IF;
  EXECUTE pg_catalog.format('LOCK TABLE pacs_part.%I IN ACCESS EXCLUSIVE MODE', $1 || '_' || $2);
  SELECT c.oid INTO STRICT part FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pacs_part' AND c.relname = $1 || '_' || $2 AND c.relkind = 'r' AND NOT c.relispartition;
  -- Who reads a table runs what its owner hung on it, with the reader's rights: nothing may hang on a partition.
  IF EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = part AND NOT t.tgisinternal)
    OR EXISTS (SELECT FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a WHERE c.oid = part AND a.grantee <> c.relowner)
    OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = part AND a.attacl IS NOT NULL)
    OR EXISTS (SELECT FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class = part)
    OR EXISTS (SELECT FROM pg_catalog.pg_policy AS y WHERE y.polrelid = part)
    OR EXISTS (SELECT FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = part)
    OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE part IN (h.inhrelid, h.inhparent))
    OR EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = part AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
    OR EXISTS (SELECT FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxrelid = part)
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = part AND k.contype NOT IN ('p', 'n')
      AND (k.contype <> 'c' OR pg_catalog.pg_get_constraintdef(k.oid) <> pg_catalog.format('CHECK ((county_id = %L::text))', $2)))
  THEN
    RAISE EXCEPTION 'the table of county % for % has triggers, policies, grants, defaults or constraints of its own', $2, $1 USING ERRCODE = '42501';
  END IF;
  EXECUTE pg_catalog.format('ALTER TABLE pacs_part.%I OWNER TO CURRENT_USER', $1 || '_' || $2);
  IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'pacs_sync') THEN
    EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON pacs_part.%I TO pacs_sync', $1 || '_' || $2);
  END IF;
  EXECUTE pg_catalog.format('ALTER TABLE pacs.%I ATTACH PARTITION pacs_part.%I FOR VALUES IN (%L)', $1, $1 || '_' || $2, $2);
END $$;
COMMENT ON FUNCTION pacs_ops.attach_partition IS 'Takes the county''s finished table in schema pacs_part over from the sync and makes it a partition. The sync writes its rows, and can change nothing else of it.';
REVOKE ALL ON FUNCTION pacs_ops.attach_partition(text, text) FROM PUBLIC;
