"""Mutants of the history: what publish notes, what `as_of` shows, what a rollback refuses, the hold."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, STEPS, Mutant, of

PUBLISHER, APPLY, HISTORY, ROLLBACKS, RESTORE, REPORTS = (
    f"{POSTGRES}{name}.py"
    for name in ("publisher", "apply", "history", "rollbacks", "restore", "history_reports")
)
MIGRATION = f"{POSTGRES}migrations/0041_history.sql"
AS_OF = "tests/model/test_history.py::test_as_of_is_the_copy_kept_aside_after_each_of_20_runs"
ANY = "tests/model/test_history.py::test_a_sequence_with_everything_in_it"

MUTANTS = (
    Mutant(
        "no run is planned in a county on hold",
        f"{STEPS}hold.py",
        "if standing is not None:",
        "if False:",
        of("hold", "test_a_county_on_hold_refuses_every_run_and_says_why"),
    ),
    Mutant(
        "a run at work does not publish into a county on hold",
        PUBLISHER,
        "holds.refuse_held(connection, run)",
        "",
        of("hold", "test_a_run_at_work_does_not_publish_once_the_county_is_on_hold"),
    ),
    Mutant(
        "a rollback puts the county on hold",
        PUBLISHER,
        "holds.place(connection, run.county_id, reason, request.actor, run_id)",
        "",
        of("rollback", "test_after_it_the_county_is_on_hold_until_somebody_resumes"),
    ),
    Mutant(
        "a rollback is fenced",
        PUBLISHER,
        "run_records.fence(connection, run)",
        'if run.kind != "rollback":\n        run_records.fence(connection, run)',
        of("rollback", "test_an_overtaken_rollback_changes_nothing"),
    ),
    Mutant(
        "a rollback is looked at again in its transaction",
        PUBLISHER,
        "if proposal.conflict_count or (proposal.needs_digest and not scope.confirmed):",
        "if False:",
        of("rollback", "test_a_row_that_changes_while_a_rollback_is_at_work_is_not_overwritten"),
    ),
    Mutant(
        "a rollback keeps that the feed was lost",
        RESTORE,
        "_keep_distrust(connection, run.county_id, entity.name, scope)",
        "pass",
        of("reader_attacks", "test_a_rollback_keeps_that_the_feed_was_lost"),
    ),
    Mutant(
        "names leave a history that is no longer kept",
        PUBLISHER,
        "change_log.redact_confidential(connection, run, entity)",
        "if at is not None:\n        change_log.redact_confidential(connection, run, entity)",
        of("history", "test_names_leave_a_history_that_is_no_longer_kept"),
    ),
    Mutant(
        "an update is noted with the row as it was",
        APPLY,
        'history.note_rows(connection, staged.run, entity, staged.at, "U", changing, before="l", after="s")',
        "pass",
        of("history", "test_every_change_is_in_it_once_with_the_row_as_it_was"),
    ),
    Mutant(
        "a tombstone is noted",
        APPLY,
        'if staged.at is not None:\n        leaving',
        'if False:\n        leaving',
        of("history", "test_every_change_is_in_it_once_with_the_row_as_it_was"),
    ),
    Mutant("the quarantine is noted", HISTORY, 'note_state(connection, run, entity.name, at, "quarantine", rows)', "pass", ANY),
    Mutant(
        "a run without history breaks it off",
        PUBLISHER,
        "change_log.break_off(connection, run.county_id, entity)",
        "pass",
        of("rollback", "test_a_gap_in_the_history_is_no_bridge"),
    ),
    Mutant(
        "the publish's time only goes on",
        HISTORY,
        "(SELECT max(at) + interval '1 microsecond' FROM pacs_ops.change_set",
        "(SELECT min(at) - interval '1 day' FROM pacs_ops.change_set",
        of("rollback", "test_a_clock_that_went_back_leaves_the_order_of_runs"),
    ),
    Mutant(
        "rows of later runs stand against a rollback",
        ROLLBACKS,
        "_changed_later(connection, entity, county_id, scope) if not scope.onto else []",
        "[]",
        of("rollback", "test_rows_that_a_later_run_touched_stand_against_it_and_are_listed"),
    ),
    Mutant(
        "rows that something else changed stand against it",
        ROLLBACKS,
        "n.after_digest <> {digest}",
        "false",
        of("rollback", "test_a_row_that_something_else_changed_is_not_overwritten"),
    ),
    Mutant(
        "a parent of rows that stay is not removed",
        ROLLBACKS,
        "return conflicts + _left_behind(connection, entity, county_id, scope)",
        "return conflicts",
        of("rollback", "test_a_parent_of_rows_that_stay_is_not_removed"),
    ),
    Mutant(
        "the delete guard counts what a rollback takes away",
        ROLLBACKS,
        "any(bounds.refuses(each.leaving, each.live) for each in entities)",
        "False",
        of("rollback", "test_the_delete_guard_asks_for_a_digest"),
    ),
    Mutant(
        "the digest binds the decision",
        f"{STEPS}rollback.py",
        "if digest is not None and digest != proposal.digest:",
        "if False:",
        of("rollback", "test_a_rollback_is_shown_before_it_is_done"),
    ),
    Mutant(
        "a rollback's own changes are noted",
        RESTORE,
        'history.note_rows(connection, run, entity, at, "X", going, before="l", after=None)',
        "",
        ANY,
    ),
    Mutant("what a rollback chooses is chosen once", ROLLBACKS, "ORDER BY x.row_key, x.at, x.before", "ORDER BY x.row_key, x.at DESC", ANY),
    Mutant(
        "as_of shows the counties of the session alone",
        REPORTS,
        "SELECT t.* FROM {table} AS t WHERE t.county_id IN (SELECT id FROM readable) AND",
        "SELECT t.* FROM {table} AS t WHERE",
        of("history", "test_a_tenant_sees_the_past_of_its_counties_alone"),
    ),
    Mutant("as_of takes the first image after the moment", REPORTS, "ORDER BY c.county_id, c.row_key, c.at)", "ORDER BY c.county_id, c.row_key, c.at DESC)", AS_OF),
    Mutant(
        "as_of refuses a moment that the history does not reach",
        REPORTS,
        "IF lacking IS NOT NULL THEN",
        "IF false THEN",
        of("rollback", "test_a_gap_in_the_history_is_no_bridge"),
    ),
    Mutant(
        "after a rollback every row is read again",
        f"{POSTGRES}holds.py",
        "_distrust_rolled_back(connection, rows[0])",
        "pass",
        of("rollback", "test_what_only_a_comparison_had_found_is_found_again"),
    ),
    Mutant(
        "before-images of a confidential row are redacted",
        PUBLISHER,
        "change_log.redact_confidential(connection, run, entity)",
        "pass",
        of("history", "test_a_row_that_became_confidential_has_no_name_in_its_history"),
    ),
    Mutant(
        "before-images of a confidential party are redacted",
        PUBLISHER,
        "change_log.redact(connection, run.county_id, entity, parties, values)",
        "",
        of("harris", "test_a_confidential_owner_is_silent_also_in_the_past"),
    ),
    Mutant(
        "a year of the history always stays",
        MIGRATION,
        "IF $3 IS NULL OR $3 > pg_catalog.now() - interval '365 days' THEN",
        "IF false THEN",
        of("history", "test_the_sync_login_adds_to_the_change_log_and_changes_nothing_in_it"),
    ),
)  # fmt: skip
