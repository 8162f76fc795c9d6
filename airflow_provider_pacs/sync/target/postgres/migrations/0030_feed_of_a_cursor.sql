-- A cursor over a feed of the server belongs to one feed: a table that was made again, or whose tracking was switched off and on, has another.
ALTER TABLE pacs_ops.sync_state ADD COLUMN feed text;
COMMENT ON COLUMN pacs_ops.sync_state.feed IS 'Which feed of the source the watermark belongs to, as text; NULL where the strategy reads none. Under another one every row is compared.';
