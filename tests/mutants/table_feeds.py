"""Mutants of what reads a feed of the server: Change Tracking, and what the steps do with a feed."""

from __future__ import annotations

from tests.mutants.mutant import INCREMENTAL, Mutant, of

TRACKING, STRATEGY = (f"{INCREMENTAL}{name}.py" for name in ("change_tracking", "strategy"))
STEPS, TRIAL = "airflow_provider_pacs/sync/steps/", "airflow_provider_pacs/sync/preflight/feeds.py"
WIRE = "tests/wire/test_change_tracking_feed.py"
UNIT = "tests/unit/incremental/test_change_tracking.py"

MUTANTS = (
    Mutant(
        "the feed is asked again after the read",
        f"{STEPS}extract.py",
        "if not self.complete and self._feed_is_lost():",
        "if False:",
        of("change_tracking", "test_a_cleanup_between_the_plan_and_the_read_is_noticed"),
    ),
    Mutant(
        "a version that went back",
        TRACKING,
        '"behind": "@cursor > @now"',
        '"behind": "1 = 0"',
        of("change_tracking", "test_a_restored_database_whose_fork_is_not_shown"),
    ),
    Mutant(
        "a cursor below the smallest valid version",
        TRACKING,
        '"expired": " OR ".join(f"@cursor < @min{n}" for n in every)',
        '"expired": "1 = 0"',
        of("change_tracking", "test_an_expired_cursor_compares_this_table_alone"),
    ),
    Mutant(
        "tracking that began at the cursor",
        TRACKING,
        "(i{n}.object_id IS NULL AND",
        "(1 = 0 AND",
        of("change_tracking", "test_tracking_that_began_at_the_cursor_proves_nothing"),
    ),
    Mutant(
        "another feed than the cursor's",
        STRATEGY,
        'if feed != bounds.get("feed"):',
        "if False:",
        of("change_tracking", "test_tracking_switched_off_and_on_at_one_version"),
    ),
    Mutant(
        "idle tables move on",
        TRACKING,
        '"CONVERT(varchar(20), @hi) AS hi"',
        '"CONVERT(varchar(20), COALESCE(@cursor, @hi)) AS hi"',
        of("change_tracking", "test_all_entities_have_one_version_and_idle_ones_move_on"),
    ),
    Mutant(
        "one version for all entities",
        f"{STEPS}plan.py",
        "upper=self._uppers.get(strategy.name)",
        "upper=None",
        of("change_tracking", "test_all_entities_have_one_version_and_idle_ones_move_on"),
    ),
    Mutant(
        "rows newer than the version",
        TRACKING,
        '"ct.SYS_CHANGE_VERSION IS NOT NULL"',
        '"1 = 0"',
        of("change_tracking", "test_rows_that_come_and_go_before_the_certificate"),
    ),
    Mutant(
        "keys without a row are gone",
        f"{STEPS}extract.py",
        "if gone is not None:",
        "if False:",
        of("change_tracking", "test_every_kind_of_change_is_in_the_target_after_the_next_run"),
    ),
    Mutant(
        "only what the feed shows went since the run",
        f"{STEPS}next_run.py",
        "return {key for key in keys if part(key) in shown}",
        "return keys",
        of("change_tracking", "test_a_row_too_many_in_the_target_is_drift"),
    ),
    Mutant(
        "what the feed shows did go since the run",
        f"{STEPS}next_run.py",
        "return {key for key in keys if part(key) in shown}",
        "return set()",
        of("change_tracking", "test_rows_that_come_and_go_before_the_certificate"),
    ),
    Mutant(
        "the feed and its table at one moment",
        f"{STEPS}extract.py",
        "return in_snapshot(query) if plan.snapshot else query",
        "return query",
        of("change_tracking", "test_the_window_is_read_in_one_snapshot_where_the_database_allows_it"),
    ),
    Mutant(
        "a whole read is counted",
        f"{STEPS}extract.py",
        "if self.plan.probes_deletes or self.complete else None",
        "if self.plan.probes_deletes else None",
        of("change_tracking", "test_a_first_load_that_misses_a_row_is_counted"),
    ),
    Mutant(
        "root keys that the feed shows",
        f"{STEPS}extract.py",
        "shown = column_of(self.rows.source, roots) if roots is not None else []",
        "shown = []",
        of("change_tracking_harris", "test_a_change_of_each_contributing_table_is_in_the_target"),
    ),
    Mutant(
        "a feed is tried",
        TRIAL,
        "if not optional_query(self._source, query.sql, query.params):",
        "if False:",
        of("change_tracking", "test_a_server_that_does_not_answer_changetable"),
    ),
    Mutant(
        "the missing right is named",
        TRIAL,
        'if tried["smallest"] is None and tried["allowed"] == 0:',
        "if False:",
        f"{WIRE}::test_the_script_unlocks_the_feed_and_the_check_says_so",
    ),
    Mutant(
        "no feed of a readable secondary",
        TRIAL,
        "if not self._writable:",
        "if False:",
        f"{WIRE}::test_a_readable_secondary_is_named_with_its_remedy",
    ),
    Mutant(
        "tracked by the mapped key",
        TRACKING,
        "if {name.lower() for name in feed.key} != {name.lower() for name in key}:",
        "if False:",
        f"{UNIT}::test_it_fits_no_other",
    ),
    Mutant(
        "all tables of a joined entity are tracked",
        TRACKING,
        "lack = self._lack(facts, track.schema, track.table, track.key)",
        "lack = None",
        f"{UNIT}::test_a_joined_entity_needs_all_its_tables",
    ),
)
