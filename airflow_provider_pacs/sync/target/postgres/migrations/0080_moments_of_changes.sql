-- A change is of a day: a moment beyond all time, which the sync's login could note, would stop the months of the change log from being opened.
ALTER TABLE pacs_ops.change_set ADD CONSTRAINT change_set_at_is_a_day
  CHECK (at >= timestamptz '2020-01-01 00:00:00+00' AND at < timestamptz '2200-01-01 00:00:00+00');
