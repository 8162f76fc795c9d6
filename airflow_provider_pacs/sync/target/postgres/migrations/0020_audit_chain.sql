-- The audit as a chain per county: each row holds SHA-256 over its predecessor's hash and its own text, so an edit, a gap or another order shows (`pacs audit verify`).
-- No role but the owner may touch rows; everybody else appends through pacs_ops.append_audit, which sets actor, time and sequence itself (docs/adr/0020-roles-and-audit.md).
CREATE TABLE pacs_ops.audit_head (
  chain text PRIMARY KEY,
  position bigint NOT NULL,
  hash bytea NOT NULL
);
COMMENT ON TABLE pacs_ops.audit_head IS 'The last row of each chain (a county''s id; '''' for rows of no county). Its row lock puts the appends of a county in one order.';

ALTER TABLE pacs_ops.audit ADD COLUMN position bigint, ADD COLUMN previous bytea, ADD COLUMN hash bytea;

CREATE FUNCTION pacs_ops.audit_text(entry pacs_ops.audit) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_catalog.jsonb_build_object(
    'position', entry.position, 'seq', entry.seq,
    'at', pg_catalog.to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'county_id', entry.county_id, 'run_id', entry.run_id, 'actor', entry.actor, 'action', entry.action,
    'object', entry.object, 'details', entry.details)::text
$$;
COMMENT ON FUNCTION pacs_ops.audit_text IS 'The canonical text of a row: what its hash covers beside the predecessor''s hash.';

CREATE FUNCTION pacs_ops.chain_audit() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO pacs_ops.audit_head AS h (chain, position, hash) VALUES (coalesce(NEW.county_id, ''), 1, ''::pg_catalog.bytea)
    ON CONFLICT (chain) DO UPDATE SET position = h.position + 1 RETURNING h.position, h.hash INTO NEW.position, NEW.previous;
  NEW.seq := pg_catalog.nextval('pacs_ops.audit_seq_seq'::pg_catalog.regclass); -- after the lock, so that both orders are one
  NEW.hash := pg_catalog.sha256(NEW.previous || pg_catalog.convert_to(pacs_ops.audit_text(NEW), 'UTF8'));
  UPDATE pacs_ops.audit_head AS h SET hash = NEW.hash WHERE h.chain = coalesce(NEW.county_id, '');
  RETURN NEW;
END $$;

-- Rows of earlier versions get their place in the chain now.
ALTER TABLE pacs_ops.audit DISABLE TRIGGER audit_rows_stay;
DO $$
DECLARE
  entry pacs_ops.audit;
BEGIN
  FOR entry IN SELECT * FROM pacs_ops.audit ORDER BY seq LOOP
    INSERT INTO pacs_ops.audit_head AS h (chain, position, hash) VALUES (coalesce(entry.county_id, ''), 1, ''::bytea)
      ON CONFLICT (chain) DO UPDATE SET position = h.position + 1 RETURNING h.position, h.hash INTO entry.position, entry.previous;
    entry.hash := sha256(entry.previous || convert_to(pacs_ops.audit_text(entry), 'UTF8'));
    UPDATE pacs_ops.audit AS a SET position = entry.position, previous = entry.previous, hash = entry.hash WHERE a.seq = entry.seq;
    UPDATE pacs_ops.audit_head AS h SET hash = entry.hash WHERE h.chain = coalesce(entry.county_id, '');
  END LOOP;
END $$;
ALTER TABLE pacs_ops.audit ENABLE TRIGGER audit_rows_stay;
ALTER TABLE pacs_ops.audit ALTER COLUMN position SET NOT NULL, ALTER COLUMN previous SET NOT NULL, ALTER COLUMN hash SET NOT NULL;
CREATE UNIQUE INDEX audit_chain ON pacs_ops.audit ((coalesce(county_id, '')), position);
CREATE TRIGGER audit_is_chained BEFORE INSERT ON pacs_ops.audit FOR EACH ROW EXECUTE FUNCTION pacs_ops.chain_audit();

CREATE FUNCTION pacs_ops.append_audit(county_id text, run_id uuid, action text, object text, details jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place bigint;
BEGIN
  IF $3 IS NULL OR $3 !~ '^[a-z][a-z0-9_.]{0,63}$' THEN
    RAISE EXCEPTION 'an audit row needs an action of lower-case words' USING ERRCODE = '22023';
  END IF;
  IF pg_catalog.octet_length($5::text) > 1048576 OR pg_catalog.octet_length($4) > 65536 THEN
    RAISE EXCEPTION 'an audit row holds counts and names, 1 MB at most' USING ERRCODE = '22023';
  END IF;
  INSERT INTO pacs_ops.audit AS a (county_id, run_id, action, object, details)
    VALUES ($1, $2, $3, coalesce($4, ''), coalesce($5, '{}'::pg_catalog.jsonb)) RETURNING a.position INTO place;
  RETURN place;
END $$;
COMMENT ON FUNCTION pacs_ops.append_audit IS 'The only way for a role other than the owner to write an audit row: actor (session_user), time, sequence and hash are set here. Returns the row''s position in the county''s chain.';
REVOKE ALL ON FUNCTION pacs_ops.append_audit(text, uuid, text, text, jsonb) FROM PUBLIC;
