"""Mutants of what stands between both sides: staging tables, lists of keys, probed contents."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, Mutant, of

STAGING, STAGE_TABLES, KEYS, PROBES = (
    f"{POSTGRES}{name}.py" for name in ("staging", "stage_tables", "key_lists", "probes")
)

MUTANTS = (
    Mutant(
        "gone keys are no bad rows",
        STAGE_TABLES,
        "CREATE VIEW {} AS SELECT * FROM {} WHERE _op = 'U'",
        "CREATE VIEW {} AS SELECT * FROM {}",
        of("deletes", "test_too_many_deletes_wait_for_a_person", "test_a_hard_delete"),
    ),
    Mutant(
        "a try starts empty",
        STAGE_TABLES,
        'connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(stage(table))) connection.execute('
        'sql.SQL("CREATE UNLOGGED TABLE {} ({},',
        "if exists(connection, table):\n        return\n    connection.execute(\n"
        '        sql.SQL("CREATE UNLOGGED TABLE {} ({},',
        of("publish", "test_the_same_try_again"),
    ),
    Mutant(
        "the last pass counts",
        STAGING,
        "AND a._pass < d.last",
        "AND false",
        of("publish", "test_a_key_that_one_read_brings_twice"),
    ),
    Mutant(
        "an older pass of a gone key goes",
        STAGING,
        "AND a._pass < %s AND NOT EXISTS",
        "AND false AND a._pass < %s AND NOT EXISTS",
        of("mutant_guards_rows", "test_a_row_that_a_later_look_misses_is_gone"),
    ),
    Mutant(
        "what the last pass brought is not gone",
        STAGING,
        "WHERE NOT EXISTS (SELECT FROM {t} AS s WHERE s.{k} = g.key::{type})",
        "",
        of("deletes", "test_a_read_that_misses_a_row"),
    ),
    Mutant(
        "keys twice in one pass are found",
        STAGING,
        "_pass HAVING count(*) > 1",
        "_pass HAVING count(*) > 2",
        of("publish", "test_a_key_that_one_read_brings_twice"),
    ),
    Mutant(
        "keys in two passes are not twice at the source",
        STAGING,
        "GROUP BY s.{k}, _pass HAVING",
        "GROUP BY s.{k} HAVING",
        of("mutant_guards_rows", "test_two_passes_are_no_duplicate"),
    ),
    Mutant(
        "mark_rejects starts anew",
        STAGING,
        "unnest(s._reject) AS r WHERE starts_with(r, 'MAP.'))",
        "unnest(s._reject) AS r WHERE starts_with(r, ''))",
        of("publish", "test_validate_again"),
    ),
    Mutant(
        "vanished from quarantine",
        STAGING,
        "AND q.state = 'open' AND q.source_key <> '' AND NOT EXISTS (SELECT FROM {s} AS s WHERE {skey} = q.source_key)",
        "AND q.state = 'none' AND q.source_key <> '' AND NOT EXISTS (SELECT FROM {s} AS s WHERE {skey} = q.source_key)",
        of("mutant_guards_rows", "test_a_quarantined_key_that_a_full_read_does_not_bring_is_absent"),
    ),
    Mutant(
        "absent keys are live keys",
        STAGING,
        "SELECT {key} FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT EXISTS",
        "SELECT {key} FROM {l} AS l WHERE NOT EXISTS",
        of("mutant_guards_rows", "test_a_tombstone_is_not_absent_again"),
    ),
    Mutant(
        "differing: a tombstone is not here",
        STAGING,
        "LEFT JOIN {l} AS l ON l.{k} = s.{k} AND l._deleted_at IS NULL WHERE",
        "LEFT JOIN {l} AS l ON l.{k} = s.{k} WHERE",
        of("mutant_guards_rows", "test_a_comparison_names_what_is_missing_and_what_differs"),
    ),
    Mutant(
        "abandoned staging goes with its view",
        STAGE_TABLES,
        'sql.SQL("DROP TABLE {} CASCADE")',
        'sql.SQL("DROP TABLE {}")',
        of("publish", "test_a_stale_run_cannot_publish"),
    ),
    Mutant(
        "staging of a running run is not abandoned",
        STAGE_TABLES,
        "r.state <> 'running' AND coalesce(r.finished_at, r.started_at)",
        "coalesce(r.finished_at, r.started_at)",
        of("mutant_guards_rows", "test_staging_of_a_run_at_work_is_not_abandoned"),
    ),
    Mutant(
        "staging of a superseded run is abandoned",
        STAGE_TABLES,
        "(r.state = 'superseded' OR r.state <> 'running'",
        "(r.state <> 'running'",
        of("mutant_guards_rows", "test_staging_of_a_run_at_work_is_not_abandoned"),
    ),
    Mutant(
        "keys: staged rows that are new count",
        KEYS,
        "_totals(connection, _STAGED_NEW if there else _STAGED, parts),",
        "",
        of("mutant_guards_rows", "test_what_the_target_must_hold"),
    ),
    Mutant(
        "keys: quarantined rows that are not here count",
        KEYS,
        "_totals(connection, _QUARANTINED_NEW if there else _QUARANTINED, parts)",
        "KeyTotals(0, '0')",
        of("mutant_guards_rows", "test_what_the_target_must_hold"),
    ),
    Mutant(
        "keys: quarantined rows that are here count once",
        KEYS,
        "_QUARANTINED_NEW if there else _QUARANTINED",
        "_QUARANTINED",
        of("mutant_guards_rows", "test_what_the_target_must_hold"),
    ),
    Mutant(
        "keys: rows that are gone are taken off",
        KEYS,
        "target_totals = _minus(target_totals, _totals(connection, _STAGED_GONE, parts))",
        "pass",
        of("mutant_guards_rows", "test_what_the_target_must_hold"),
    ),
    Mutant(
        "keys: pending deletes are not expected at the source",
        KEYS,
        "SELECT count(*), sum({number_l}) FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT {pending}",
        "SELECT count(*), sum({number_l}) FROM {l} AS l WHERE l._deleted_at IS NULL",
        of("mutant_guards_rows", "test_pending_deletes_are_not_expected_at_the_source"),
    ),
    Mutant(
        "keys: a row that the target holds is not newer",
        KEYS,
        " OR EXISTS (SELECT FROM {l} AS l WHERE l._deleted_at IS NULL AND {lkey} = n.key))",
        ")",
        of("mutant_guards_rows", "test_what_the_target_must_hold"),
    ),
    Mutant(
        "keys: gone at the source",
        KEYS,
        "(SELECT coalesce(array_agg(h.key), '{{}}') FROM target_keys AS h WHERE NOT EXISTS "
        "(SELECT FROM source AS s WHERE s.key = h.key))",
        "(SELECT coalesce(array_agg(h.key), '{{}}') FROM target_keys AS h WHERE false AND NOT EXISTS "
        "(SELECT FROM source AS s WHERE s.key = h.key))",
        of("field_certificates", "test_hard_deletes_go_in_the_same_run"),
    ),
    Mutant(
        "keys: a pending row may come back",
        KEYS,
        "known = staged if complete else sure_live + staged + waiting",
        "known = staged if complete else all_live + staged + waiting",
        of("reader_attacks", "test_pending_rows_that_come_back_leave_their_set"),
    ),
    Mutant(
        "keys: what waits is known",
        KEYS,
        "known = staged if complete else sure_live + staged + waiting",
        "known = staged if complete else sure_live + staged",
        of("mutant_guards_rows", "test_a_list_of_keys_beside_what_is_known"),
    ),
    Mutant(
        "keys: a whole read knows what it staged",
        KEYS,
        "known = staged if complete else sure_live + staged + waiting",
        "known = sure_live + staged + waiting",
        of("mutant_guards_rows", "test_a_list_of_keys_beside_what_is_known"),
    ),
    Mutant(
        "keys are spelled as the target spells them",
        KEYS,
        "CASE WHEN k.k ~ {} THEN k.k::uuid::text ELSE k.k END",
        "CASE WHEN k.k ~ {} THEN k.k ELSE k.k END",
        of("field_certificates", "test_hard_deletes_go_in_the_same_run"),
    ),
    Mutant(
        "probes: what vanished and what came",
        PROBES,
        "FULL JOIN (SELECT * FROM pacs_ops.probed_contents",
        "JOIN (SELECT * FROM pacs_ops.probed_contents",
        of("mutant_guards_rows", "test_probed_contents_that_come_go_or_change"),
    ),
    Mutant(
        "probes: vanished keys are forgotten",
        PROBES,
        '"DELETE FROM pacs_ops.probed_contents AS o WHERE o.county_id = {county} AND o.entity = {entity} AND NOT '
        "EXISTS",
        '"DELETE FROM pacs_ops.probed_contents AS o WHERE o.county_id = {county} AND o.entity = {entity} AND false '
        "AND NOT EXISTS",
        of("mutant_guards_rows", "test_probed_contents_that_come_go_or_change"),
    ),
    Mutant(
        "probes: another digest is stored",
        PROBES,
        "SET digest = excluded.digest WHERE o.digest <> excluded.digest",
        "SET digest = o.digest WHERE o.digest <> excluded.digest",
        of("mutant_guards_rows", "test_probed_contents_that_come_go_or_change"),
    ),
    Mutant(
        "probes: the order of rows says nothing",
        PROBES,
        "ORDER BY line COLLATE",
        "ORDER BY ctid, line COLLATE",
        of("mutant_guards_rows", "test_probed_contents_that_come_go_or_change"),
    ),
)
