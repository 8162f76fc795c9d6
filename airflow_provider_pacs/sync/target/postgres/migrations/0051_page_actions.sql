-- What people do on the page: written by functions that set who and when themselves, so that the page's login needs no right to write.
CREATE TABLE pacs_ops.quarantine_dismissal (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  source_key text NOT NULL,
  payload_digest bytea NOT NULL,
  reason text NOT NULL CHECK (pg_catalog.length(reason) BETWEEN 1 AND 500),
  dismissed_by text NOT NULL,
  dismissed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (county_id, entity, source_key)
);
COMMENT ON TABLE pacs_ops.quarantine_dismissal IS 'Somebody looked at a quarantined row and leaves it as it is. It stays unpublished and every certificate counts it; another image of the row (payload_digest) opens it again.';

CREATE FUNCTION pacs_ops.page_action(county_id text, action text, object text, details jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF $2 IS NULL OR $2 !~ '^page\.[a-z_]{1,40}$' THEN
    RAISE EXCEPTION 'not an action of the page: %', $2 USING ERRCODE = '22023';
  END IF;
  IF NOT EXISTS (SELECT FROM pacs_ops.county AS c WHERE c.county_id = $1) THEN
    RAISE EXCEPTION 'not a county: %', $1 USING ERRCODE = '22023';
  END IF;
  RETURN pacs_ops.append_audit($1, NULL, $2, $3, $4);
END $$;
COMMENT ON FUNCTION pacs_ops.page_action IS 'Appends an audit row of an action that somebody took on the page.';
REVOKE ALL ON FUNCTION pacs_ops.page_action(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION pacs_ops.dismiss_quarantine(county_id text, entity text, keys text[], reason text, dismissed_by text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dismissed text[];
BEGIN
  WITH done AS (
    INSERT INTO pacs_ops.quarantine_dismissal AS d (county_id, entity, source_key, payload_digest, reason, dismissed_by)
    SELECT q.county_id, q.entity, q.source_key, q.payload_digest, $4, $5 FROM pacs_ops.quarantine AS q
    WHERE q.county_id = $1 AND q.entity = $2 AND q.source_key = ANY ($3) AND q.state = 'open'
    ON CONFLICT ON CONSTRAINT quarantine_dismissal_pkey DO UPDATE SET payload_digest = excluded.payload_digest,
      reason = excluded.reason, dismissed_by = excluded.dismissed_by, dismissed_at = pg_catalog.clock_timestamp()
    RETURNING d.source_key)
  SELECT coalesce(pg_catalog.array_agg(done.source_key ORDER BY done.source_key), '{}') INTO dismissed FROM done;
  PERFORM pacs_ops.append_audit($1, NULL, 'quarantine.dismissed', $2, pg_catalog.jsonb_build_object(
    'rows', pg_catalog.cardinality(dismissed), 'keys', pg_catalog.to_jsonb(dismissed[1:100]), 'reason', $4, 'by', $5));
  RETURN pg_catalog.cardinality(dismissed);
END $$;
COMMENT ON FUNCTION pacs_ops.dismiss_quarantine IS 'Notes that somebody leaves these quarantined rows as they are; returns how many.';
REVOKE ALL ON FUNCTION pacs_ops.dismiss_quarantine(text, text, text[], text, text) FROM PUBLIC;
