-- Keys made of a source's own keys, and what was last seen of tables that are watched by their contents (docs/adr/0005-joined-entities.md).
-- A version-8 UUID (RFC 9562): the first 16 bytes of SHA-256 of county, entity and source key, with the version and variant bits set.
CREATE FUNCTION pacs_ops.surrogate_key(county_id text, entity text, source_key text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE digest bytea := sha256(convert_to(county_id || '/' || entity || '/' || source_key, 'UTF8'));
BEGIN
  digest := set_byte(digest, 6, (get_byte(digest, 6) & 15) | 128);
  digest := set_byte(digest, 8, (get_byte(digest, 8) & 63) | 128);
  RETURN encode(substring(digest FROM 1 FOR 16), 'hex')::uuid;
END $$;
COMMENT ON FUNCTION pacs_ops.surrogate_key IS 'The canonical key of a row whose source has no GUID. The same for ever: links to it survive a load from nothing.';

CREATE TABLE pacs_ops.watched (
  county_id text NOT NULL REFERENCES pacs_ops.county,
  entity text NOT NULL,
  watch text NOT NULL,
  scope text NOT NULL,
  digest bytea NOT NULL,
  PRIMARY KEY (county_id, entity, watch, scope)
);
COMMENT ON TABLE pacs_ops.watched IS 'Per scope (a property) a digest of the contents of a watched table, as of the last run that was published. No values.';
