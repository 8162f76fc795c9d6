-- Who may read which county is decided by an IT administrator through two functions that write the audit, never by writing the table; and nobody decides it for himself.
-- The owner, who reads everything anyway, sees every county in the reports too.
INSERT INTO pacs_ops.county_grant (role_name, county_id) VALUES ('pacs_owner', '*') ON CONFLICT DO NOTHING;

CREATE FUNCTION pacs_ops.grant_county(reader name, county text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = $1) THEN
    RAISE EXCEPTION 'there is no role %', $1 USING ERRCODE = '42704';
  END IF;
  IF $2 <> '*' AND NOT EXISTS (SELECT FROM pacs_ops.county AS c WHERE c.county_id = $2) THEN
    RAISE EXCEPTION 'there is no county %', $2 USING ERRCODE = '22023';
  END IF;
  IF pg_catalog.pg_has_role(session_user, $1, 'member') AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) THEN
    RAISE EXCEPTION 'nobody grants a county to himself' USING ERRCODE = '42501';
  END IF;
  INSERT INTO pacs_ops.county_grant AS g (role_name, county_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;
  PERFORM pacs_ops.append_audit(CASE WHEN $2 = '*' THEN NULL ELSE $2 END, NULL, 'county.grant', $1::text, pg_catalog.jsonb_build_object('county_id', $2));
END $$;
COMMENT ON FUNCTION pacs_ops.grant_county IS 'Lets a role read a county (''*'': every one) in what it has rights to. Refuses a role that the caller has; writes the audit.';
REVOKE ALL ON FUNCTION pacs_ops.grant_county(name, text) FROM PUBLIC;

CREATE FUNCTION pacs_ops.revoke_county(reader name, county text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM pacs_ops.county_grant AS g WHERE g.role_name = $1 AND g.county_id = $2 AND $1 <> 'pacs_owner';
  IF NOT FOUND THEN
    RAISE EXCEPTION '% has no grant of %', $1, $2 USING ERRCODE = '22023';
  END IF;
  PERFORM pacs_ops.append_audit(CASE WHEN $2 = '*' THEN NULL ELSE $2 END, NULL, 'county.revoke', $1::text, pg_catalog.jsonb_build_object('county_id', $2));
END $$;
COMMENT ON FUNCTION pacs_ops.revoke_county IS 'Takes back what grant_county gave; writes the audit.';
REVOKE ALL ON FUNCTION pacs_ops.revoke_county(name, text) FROM PUBLIC;
