"""Mutants of what a run writes: the county's partition, quarantine, redaction, the delete guard."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, SYNC, Mutant, of

APPLY, PUBLISHER = f"{POSTGRES}apply.py", f"{POSTGRES}publisher.py"
RECORDS, SQL = f"{SYNC}records/approvals.py", f"{POSTGRES}sql.py"
GUARD = "tests/unit/target/test_guard.py::test_the_guard"
CONFIDENTIAL = of("harris", "test_a_confidential_owner_is_silent_also_in_the_past")

MUTANTS = (
    Mutant(
        "what was seen is kept",
        PUBLISHER,
        "probes.store(connection, run.county_id, entity, row.stage_table)",
        "pass",
        of("harris", "test_a_whole_county_in_full_and_then_only_what_changed"),
    ),
    Mutant(
        "guard: percent",
        RECORDS,
        "(live + earlier) * self.max_percent / 100",
        "0",
        f"{GUARD} {of('deletes', 'test_the_guard_takes_the_larger_bound')}",
    ),
    Mutant("guard: rows", RECORDS, "max(self.max_rows, (live", "max(0, (live", GUARD),
    Mutant(
        "guard: at all",
        RECORDS,
        "return source_is_empty or gone + earlier >",
        "return source_is_empty or 0 >",
        f"{GUARD} {of('deletes', 'test_too_many_deletes_wait_for_a_person')}",
    ),
    Mutant(
        "guard: its bound is allowed",
        RECORDS,
        "or gone + earlier > allowed",
        "or gone + earlier >= allowed",
        GUARD,
    ),
    Mutant(
        "guard: empty source",
        RECORDS,
        "return source_is_empty or gone",
        "return gone",
        f"{GUARD} {of('deletes', 'test_an_empty_source_waits_for_a_person')}",
    ),
    Mutant(
        "guard: an empty source is noticed",
        PUBLISHER,
        "source_is_empty=row.source_count == 0",
        "source_is_empty=False",
        of("reader_attacks", "test_an_emptied_table_waits_for_a_person_in_a_window_too"),
    ),
    Mutant(
        "guard: days",
        APPLY,
        "_deleted_at > now() - make_interval(days => %(days)s)",
        "_deleted_at > now() - make_interval(days => %(days)s * 0)",
        of("deletes", "test_all_runs_share_one_guard")
        + " "
        + of("field_certificates", "test_many_small_runs_do_not_delete_what_one_may_not"),
    ),
    Mutant(
        "guard: approved deletes do not count for others",
        APPLY,
        "AND kind = 'approval')",
        "AND kind = 'none')",
        of("mutant_guards_rows", "test_approved_deletes_do_not_count_for_the_next_run"),
    ),
    Mutant(
        "guard: what a run deleted before its retry",
        APPLY,
        "earlier=earlier + this_run,",
        "earlier=earlier,",
        of("mutant_guards_rows", "test_what_the_same_run_deleted_before_counts"),
    ),
    Mutant(
        "guard: approved keys are not counted",
        APPLY,
        'AS x WHERE x.key NOT IN (" + approved + ")), count(*) FILTER (WHERE _deleted_at IS NULL), count',
        'AS x WHERE x.key NOT IN (" + approved + " AND false)), "\n'
        '            "count(*) FILTER (WHERE _deleted_at IS NULL), count',
        of("approve", "test_an_approved_set_is_applied_once"),
    ),
    Mutant(
        "guard: children that moved count",
        APPLY,
        "AND (s._op = 'D' OR (s._op = 'U' AND s._reject = ARRAY[{waiting}]::text[] "
        "AND l.{parent} IS DISTINCT FROM s.{parent}))",
        "AND s._op = 'D'",
        of("field_certificates", "test_owners_that_move_to_a_quarantined_parent_wait_for_a_person"),
    ),
    Mutant(
        "a move closes the old link",
        APPLY,
        " IS DISTINCT FROM s.{parent}",
        " IS DISTINCT FROM l.{parent}",
        of(
            "relations",
            "test_an_owner_moves_to_a_property_that_is_not_there_yet",
            "test_a_reconcile_closes_the_old_link_too",
        ),
    ),
    Mutant(
        "children are not cascaded",
        APPLY,
        " AND l.{parent} IS DISTINCT FROM s.{parent}",
        "",
        of("relations", "test_the_parent_deleted_while_the_child_lives"),
    ),
    Mutant(
        "a newer pending set replaces an older one",
        APPLY,
        "SET state = 'replaced' WHERE county_id",
        "SET state = 'pending' WHERE county_id",
        of("approve", "test_a_newer_set_replaces_an_undecided_one"),
    ),
    Mutant(
        "undelete clears the tombstone",
        APPLY,
        "_changed_at = {now}, _deleted_at = NULL ",
        "_changed_at = {now} ",
        of("deletes", "test_delete_and_insert_again"),
    ),
    Mutant(
        "an equal row comes back",
        APPLY,
        "({differs} OR l._deleted_at IS NOT NULL)",
        "{differs}",
        of("deletes", "test_the_same_row_inserted_again"),
    ),
    Mutant(
        "unchanged rows are not written",
        APPLY,
        "({differs} OR l._deleted_at IS NOT NULL)",
        "true",
        of("publish", "test_nothing_changed_nothing_written"),
    ),
    Mutant(
        "tombstones, not drops",
        APPLY,
        "SET _deleted_at = {now}, _changed_at = {now}, _run_id = {run}",
        "SET _deleted_at = NULL, _changed_at = {now}, _run_id = {run}",
        of("deletes", "test_a_hard_delete"),
    ),
    Mutant(
        "quarantine keeps the old row",
        APPLY,
        "{s} AS s WHERE s._reject IS NULL AND s._op = 'U' AND l.{k} = s.{k}",
        "{s} AS s WHERE s._op = 'U' AND l.{k} = s.{k}",
        of("publish", "test_a_bad_row_keeps_its_last_good_version"),
    ),
    Mutant(
        "quarantine knows the present image",
        APPLY,
        "source_version = excluded.source_version, payload_digest = excluded.payload_digest,",
        "source_version = excluded.source_version,",
        of("mutant_guards_rows", "test_quarantine_follows_the_image_of_a_bad_row"),
    ),
    Mutant(
        "quarantine opens again",
        APPLY,
        "attempts = q.attempts + 1, state = 'open',",
        "attempts = q.attempts + 1,",
        of("mutant_guards_rows", "test_a_row_that_turns_bad_again_is_in_quarantine_again"),
    ),
    Mutant(
        "release from quarantine",
        APPLY,
        "SET state = 'released'",
        "SET state = 'open'",
        of("publish", "test_a_corrected_row_is_released"),
    ),
    Mutant(
        "only rows that passed are released",
        APPLY,
        "q.state = 'open' AND s._reject IS NULL AND {key} = q.source_key",
        "q.state = 'open' AND {key} = q.source_key",
        of("publish", "test_bad_rows_are_set_aside"),
    ),
    Mutant(
        "children wait",
        PUBLISHER,
        "if waiting: apply.reject_orphans",
        "if False:\n        apply.reject_orphans",
        of("relations", "test_a_child_before_its_parent", "test_a_child_that_a_reconcile_brings_waits_too"),
    ),
    Mutant(
        "a deleted parent is no parent",
        APPLY,
        "NOT EXISTS (SELECT FROM {} AS p WHERE p.{} = s.{} AND p._deleted_at IS NULL)",
        "NOT EXISTS (SELECT FROM {} AS p WHERE p.{} = s.{})",
        of("mutant_guards_rows", "test_a_child_of_a_deleted_parent_waits"),
    ),
    Mutant(
        "many orphans block",
        PUBLISHER,
        "blocks = fresh > max(ORPHAN_FLOOR, evaluated * ORPHAN_PERCENT / 100)",
        "blocks = False",
        of("mutant_guards_rows", "test_many_orphans_block_their_entity"),
    ),
    Mutant(
        "few orphans never block",
        PUBLISHER,
        "fresh > max(ORPHAN_FLOOR, evaluated * ORPHAN_PERCENT / 100)",
        "fresh > evaluated * ORPHAN_PERCENT / 100",
        of("relations", "test_a_child_before_its_parent"),
    ),
    Mutant(
        "orphans that are explained block nothing",
        APPLY,
        "(q.entity = %(entity)s AND q.source_key = {key} OR q.entity = %(parent)s AND q.source_key = {parent_key})",
        "(q.entity = %(entity)s AND q.source_key = {key})",
        of("field_certificates", "test_owners_that_move_to_a_quarantined_parent_wait_for_a_person"),
    ),
    Mutant(
        "redaction is published",
        PUBLISHER,
        "_redact(connection, run, row)",
        "pass",
        CONFIDENTIAL,
    ),
    Mutant(
        "redaction of what says more",
        APPLY,
        "FROM {parties} AS p WHERE l.{by} = p.party AND ({said})",
        "FROM {parties} AS p WHERE l.{by} = p.party AND l._deleted_at IS NULL AND ({said})",
        CONFIDENTIAL,
    ),
    Mutant(
        "redaction is fenced",
        PUBLISHER,
        "run_records.fence(connection, run)",
        'if any(row.state == "passed" for row in rows):\n        run_records.fence(connection, run)',
        of("mutant_guards_harris", "test_an_overtaken_run_redacts_nothing"),
    ),
    Mutant(
        "equal to the byte",
        SQL,
        "record_image_ne(ROW({}), ROW({}))",
        "ROW({}) IS DISTINCT FROM ROW({})",
        of("reconcile", "test_the_smallest_differences_count"),
    ),
)
