-- What the tables said on any day, and a way back (docs/adr/0040-history-and-rollback.md). Written by publish, in its transaction, where the county's file asks for it.
CREATE TABLE pacs_ops.change_log (
  county_id text NOT NULL,
  entity text NOT NULL,
  row_key uuid NOT NULL,
  source_key text NOT NULL,
  property_id uuid,
  party text,
  run_id uuid NOT NULL,
  at timestamptz NOT NULL,
  op text NOT NULL CHECK (op IN ('I', 'U', 'D', 'X')),
  before jsonb,
  after_digest bytea
) PARTITION BY RANGE (at);
CREATE INDEX change_log_row ON pacs_ops.change_log (county_id, row_key);
CREATE INDEX change_log_property ON pacs_ops.change_log (county_id, property_id);
CREATE INDEX change_log_party ON pacs_ops.change_log (county_id, party) WHERE party IS NOT NULL;
CREATE INDEX change_log_at ON pacs_ops.change_log USING brin (at);
COMMENT ON TABLE pacs_ops.change_log IS 'One row per changed row and publish: what the row was before. A first load is not in it: its rows are those with _first_seen_at = change_set.at.';
COMMENT ON COLUMN pacs_ops.change_log.at IS 'The publish''s time, the same as _changed_at; strictly increasing in a county, also where the server''s clock goes back.';
COMMENT ON COLUMN pacs_ops.change_log.op IS 'I came, U changed, D became a tombstone, X was removed by the rollback of the run that brought it.';
COMMENT ON COLUMN pacs_ops.change_log.before IS 'The whole row before, provenance included; NULL where there was none. Redacted like the row itself.';
COMMENT ON COLUMN pacs_ops.change_log.after_digest IS 'SHA-256 over change_set.columns of the row after, and whether it is a tombstone. No personal column is in it.';

CREATE TABLE pacs_ops.change_set (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  run_id uuid NOT NULL,
  entity text NOT NULL,
  at timestamptz NOT NULL,
  columns text[] NOT NULL,
  actor text NOT NULL DEFAULT '',
  PRIMARY KEY (county_id, at, entity)
);
CREATE INDEX change_set_run ON pacs_ops.change_set (run_id);
COMMENT ON TABLE pacs_ops.change_set IS 'One row per published entity of a run whose changes are in the change log.';
COMMENT ON COLUMN pacs_ops.change_set.actor IS 'Who approved the run, where somebody did.';

CREATE TABLE pacs_ops.change_log_state (
  county_id text NOT NULL,
  entity text NOT NULL,
  run_id uuid NOT NULL,
  at timestamptz NOT NULL,
  what text NOT NULL CHECK (what IN ('cursor', 'quarantine', 'probe', 'pending', 'run')),
  key text NOT NULL,
  before jsonb
);
CREATE INDEX change_log_state_at ON pacs_ops.change_log_state (county_id, at);
COMMENT ON TABLE pacs_ops.change_log_state IS 'The journal''s rows before a publish changed them, so that a rollback can put them back: cursors, quarantine, probed contents, pending deletes, runs.';

CREATE TABLE pacs_ops.history_span (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  since timestamptz NOT NULL,
  PRIMARY KEY (county_id, entity)
);
COMMENT ON TABLE pacs_ops.history_span IS 'From when on every change of the entity is in the change log without a gap. No row: the history is off, or a run published without it.';

ALTER TABLE pacs_ops.sync_run ADD COLUMN rolled_back_by uuid;
COMMENT ON COLUMN pacs_ops.sync_run.rolled_back_by IS 'The rollback that undid the run.';
ALTER TABLE pacs_ops.sync_run DROP CONSTRAINT sync_run_state_check;
ALTER TABLE pacs_ops.sync_run ADD CONSTRAINT sync_run_state_check
  CHECK (state IN ('running', 'published', 'succeeded', 'pending', 'blocked', 'drift', 'failed', 'superseded', 'rolled_back'));
ALTER TABLE pacs_ops.certificate DROP CONSTRAINT certificate_state_check;
ALTER TABLE pacs_ops.certificate ADD CONSTRAINT certificate_state_check
  CHECK (state IN ('clean', 'pending', 'blocked', 'drift', 'rolled_back'));
ALTER TABLE pacs_ops.pending_delete DROP CONSTRAINT pending_delete_state_check;
ALTER TABLE pacs_ops.pending_delete ADD CONSTRAINT pending_delete_state_check
  CHECK (state IN ('pending', 'approved', 'rejected', 'replaced', 'applied', 'rolled_back'));

CREATE FUNCTION pacs_ops.open_change_log_months() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  first timestamptz;
  part text;
BEGIN
  -- A publish that begins before midnight may write after it, and where the server's clock went back its time is after the last one's.
  FOR first IN SELECT DISTINCT pg_catalog.date_trunc('month', m, 'UTC') FROM pg_catalog.unnest(ARRAY[pg_catalog.now(),
    pg_catalog.now() + interval '2 days', (SELECT max(t.at) + interval '1 second' FROM pacs_ops.change_set AS t)]) AS m
    WHERE m IS NOT NULL LOOP
    part := 'change_log_' || pg_catalog.to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
    CONTINUE WHEN pg_catalog.to_regclass(pg_catalog.format('pacs_ops.%I', part)) IS NOT NULL;
    PERFORM pg_catalog.pg_advisory_xact_lock(1885430643, 40);
    CONTINUE WHEN pg_catalog.to_regclass(pg_catalog.format('pacs_ops.%I', part)) IS NOT NULL;
    -- Made beside the table and attached: PARTITION OF would stop every reader and writer of the others.
    EXECUTE pg_catalog.format('CREATE TABLE pacs_ops.%I (LIKE pacs_ops.change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'pacs_sync') THEN
      EXECUTE pg_catalog.format('REVOKE ALL ON pacs_ops.%I FROM pacs_sync', part);
    END IF;
    EXECUTE pg_catalog.format('ALTER TABLE pacs_ops.change_log ATTACH PARTITION pacs_ops.%I FOR VALUES FROM (%L) TO (%L)',
      part, first, pg_catalog.date_trunc('month', first + interval '40 days', 'UTC'));
  END LOOP;
END $$;
COMMENT ON FUNCTION pacs_ops.open_change_log_months IS 'Makes the change log''s partitions of this month and the day after tomorrow''s, for a login that may not create tables here.';
REVOKE ALL ON FUNCTION pacs_ops.open_change_log_months() FROM PUBLIC;

CREATE FUNCTION pacs_ops.redact_change_log(county_id text, entity text, parties text[], says jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  redacted bigint;
BEGIN
  UPDATE pacs_ops.change_log AS c SET before = c.before || $4, after_digest = NULL
    WHERE c.county_id = $1 AND c.entity = $2 AND c.party = ANY ($3)
      AND (c.after_digest IS NOT NULL OR NOT c.before @> $4);
  GET DIAGNOSTICS redacted = ROW_COUNT;
  IF redacted > 0 THEN
    PERFORM pacs_ops.append_audit($1, NULL, 'history.redacted', $2, pg_catalog.jsonb_build_object('images', redacted));
  END IF;
  RETURN redacted;
END $$;
COMMENT ON FUNCTION pacs_ops.redact_change_log IS 'Before-images of these parties say what a new row of theirs would. Returns how many said more; audited.';
REVOKE ALL ON FUNCTION pacs_ops.redact_change_log(text, text, text[], jsonb) FROM PUBLIC;

CREATE FUNCTION pacs_ops.redact_change_log_rows(county_id text, entity text, keys uuid[], says jsonb[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  redacted bigint;
BEGIN
  UPDATE pacs_ops.change_log AS c SET before = c.before || r.says, after_digest = NULL
    FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS r(key, says)
    WHERE c.county_id = $1 AND c.entity = $2 AND c.row_key = r.key AND NOT c.before @> r.says;
  GET DIAGNOSTICS redacted = ROW_COUNT;
  IF redacted > 0 THEN
    PERFORM pacs_ops.append_audit($1, NULL, 'history.redacted', $2, pg_catalog.jsonb_build_object('images', redacted));
  END IF;
  RETURN redacted;
END $$;
COMMENT ON FUNCTION pacs_ops.redact_change_log_rows IS 'Before-images of rows that are confidential now say no more than the row. Returns how many said more; audited.';
REVOKE ALL ON FUNCTION pacs_ops.redact_change_log_rows(text, text, uuid[], jsonb[]) FROM PUBLIC;

CREATE FUNCTION pacs_ops.prune_change_log(county_id text, entity text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pruned bigint;
BEGIN
  IF $3 IS NULL OR $3 > pg_catalog.now() - interval '365 days' THEN
    RAISE EXCEPTION 'a year of the change log always stays' USING ERRCODE = '22023';
  END IF;
  DELETE FROM pacs_ops.change_log AS c WHERE c.county_id = $1 AND c.entity = $2 AND c.at < $3;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  DELETE FROM pacs_ops.change_log_state AS s WHERE s.county_id = $1 AND s.entity = $2 AND s.at < $3;
  UPDATE pacs_ops.history_span AS h SET since = $3 WHERE h.county_id = $1 AND h.entity = $2 AND h.since < $3;
  PERFORM pacs_ops.append_audit($1, NULL, 'history.pruned', $2, pg_catalog.jsonb_build_object('images', pruned, 'before', $3));
  RETURN pruned;
END $$;
COMMENT ON FUNCTION pacs_ops.prune_change_log IS 'Removes what is older than a county keeps, never of the last year. Returns the before-images that went; audited.';
REVOKE ALL ON FUNCTION pacs_ops.prune_change_log(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION pacs_ops.drop_empty_change_log_months() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  part text;
  filled boolean;
  dropped int := 0;
BEGIN
  FOR part IN SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'pacs_ops.change_log'::pg_catalog.regclass
      AND c.relname < 'change_log_' || pg_catalog.to_char((pg_catalog.now() - interval '365 days') AT TIME ZONE 'UTC', 'YYYY_MM') LOOP
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM pacs_ops.%I)', part) INTO filled;
    CONTINUE WHEN filled;
    BEGIN
      EXECUTE pg_catalog.format('DROP TABLE pacs_ops.%I', part);
      dropped := dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      NULL; -- a publish is writing: the next removal drops it
    END;
  END LOOP;
  RETURN dropped;
END $$;
COMMENT ON FUNCTION pacs_ops.drop_empty_change_log_months IS 'Drops months of the change log that are older than a year and hold nothing any more.';
REVOKE ALL ON FUNCTION pacs_ops.drop_empty_change_log_months() FROM PUBLIC;
