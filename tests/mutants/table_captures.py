"""Mutants of Change Data Capture and of PACS's own journal."""

from __future__ import annotations

from tests.mutants.mutant import INCREMENTAL, STEPS, SYNC, Mutant, of

CDC, LOG = f"{INCREMENTAL}cdc.py", f"{INCREMENTAL}change_log.py"
CAPTURES = f"{SYNC}schema/captures.py"
UNIT = "tests/unit/schema/test_captures.py::test_"

MUTANTS = (
    Mutant(
        "CDC: a range begins after the last LSN that was read",
        CDC,
        "WHERE c.[__$start_lsn] > @last",
        "",
        of("cdc", "test_every_kind_of_change_is_there_after_the_next_run"),
    ),
    Mutant(
        "CDC: the range is one that the server takes",
        CDC,
        "CASE WHEN @next > @to THEN @to ELSE @next END",
        "@next",
        of("cdc", "test_what_happens_during_a_full_load_is_in_the_feed_behind_it"),
    ),
    Mutant(
        "CDC: a cursor below the smallest LSN",
        CDC,
        "CASE WHEN @from < @min OR @min",
        "CASE WHEN @min",
        of("cdc", "test_changes_that_were_cleaned_up_mean_a_comparison"),
    ),
    Mutant(
        "CDC: another transaction has the cursor's LSN",
        CDC,
        "CASE WHEN CONVERT(varchar(23), @known, 121) <> SUBSTRING(@cursor, 24, 23) OR",
        "CASE WHEN",
        of("cdc", "test_a_restored_database_is_another_log"),
    ),
    Mutant(
        "CDC: no transaction has the cursor's LSN",
        CDC,
        "OR (@known IS NULL AND @from >= @min)",
        "",
        of("cdc", "test_a_restored_database_is_another_log"),
    ),
    Mutant(
        "CDC: the smallest LSN is looked at again after the read",
        f"{STEPS}extract.py",
        "if not self.complete and self._feed_is_lost():",
        "if False:",
        of("cdc", "test_a_cleanup_during_the_read_is_noticed"),
    ),
    Mutant(
        "CDC: a range that the server refuses means a comparison",
        f"{STEPS}extract.py",
        "if self.complete or not self._feed_is_lost():",
        "if True:",
        of("cdc", "test_a_cleanup_during_the_read_is_noticed"),
    ),
    Mutant(
        "CDC: a capture process that stands still",
        CAPTURES,
        "if self.seconds > minutes * 60:",
        "if False:",
        f"{of('cdc', 'test_a_capture_process_that_stands_still_is_a_failure')} {UNIT}the_servers_own_error_is_named",
    ),
    Mutant(
        "CDC: what it was read by is gone",
        f"{STEPS}lost_capture.py",
        "if choice.strategy not in FEEDS and not pinned:",
        "if False:",
        of("cdc", "test_a_capture_instance_that_vanished_is_a_failure"),
    ),
    Mutant(
        "CDC: an instance that passes a column over",
        CAPTURES,
        "return tuple(name for name in self.uncaptured if name in wanted)",
        "return ()",
        f"{of('cdc', 'test_an_instance_that_passes_a_column_over_is_not_read')} "
        f"{UNIT}an_instance_misses_what_it_does_not_capture",
    ),
    Mutant(
        "CDC: a computed column changes with its row",
        CAPTURES,
        "if wanted & set(self.computed):",
        "if False:",
        f"{UNIT}an_instance_misses_what_it_does_not_capture",
    ),
    Mutant(
        "CDC: the older of two instances first",
        CDC,
        "for instance in feed.instances:",
        "for instance in reversed(feed.instances):",
        of("cdc", "test_two_instances_hand_over_without_a_gap"),
    ),
    Mutant(
        "CDC: a certificate waits for the capture process",
        f"{STEPS}next_run.py",
        "if not isinstance(strategy, LaggingFeed):",
        "if True:",
        of("cdc", "test_a_certificate_waits_for_what_is_not_captured_yet"),
    ),
    Mutant(
        "change_log: the overlap of late numbers",
        LOG,
        "DECLARE @since datetime = DATEADD(MINUTE, -@overlap, @at);",
        "DECLARE @since datetime = DATEADD(DAY, 1, @at);",
        of("change_log", "test_a_low_number_that_comes_late_is_not_passed_by"),
    ),
    Mutant(
        "change_log: an open transaction holds the cursor back",
        LOG,
        "CASE WHEN @open > @lag THEN @open ELSE @lag END",
        "@lag",
        of("change_log", "test_a_low_number_that_comes_late_is_not_passed_by"),
    ),
    Mutant(
        "change_log: compared while it is switched off",
        LOG,
        'for name in ("machines", "tables") if bounds[name]]',
        "for name in ()]",
        of("change_log", "test_while_the_journal_is_switched_off_every_row_is_compared"),
    ),
    Mutant(
        "change_log: and once more when it is on again",
        LOG,
        "{_folded('machines')} + ' ' + {_folded('tables')} + ' ' + {_folded('made')} AS feed",
        "'always' AS feed",
        of("change_log", "test_while_the_journal_is_switched_off_every_row_is_compared"),
    ),
    Mutant(
        "change_log: what was open while it was switched off",
        LOG,
        'if bounds["rests"] == 1:',
        "if False:",
        of("change_log", "test_what_was_changed_without_an_entry_may_be_committed_later"),
    ),
    Mutant(
        "change_log: what a failed run saw switched off",
        f"{STEPS}plan.py",
        "self._target.runs.distrust_feed(self._config.fips, cursor.entity)",
        "pass",
        of("change_log", "test_what_a_run_saw_switched_off_is_not_forgotten_when_it_fails"),
    ),
    Mutant(
        "change_log: a journal that was cut",
        LOG,
        "CASE WHEN j.first_id > @id + 1 THEN 1 ELSE 0 END AS cut",
        "0 AS cut",
        of("change_log", "test_a_journal_that_was_cut_means_a_comparison"),
    ),
    Mutant(
        "change_log: a journal that was emptied",
        LOG,
        "CASE WHEN COALESCE(j.last_id, 0) < @id THEN 1 ELSE 0 END AS behind",
        "0 AS behind",
        of("change_log", "test_a_journal_that_was_cut_means_a_comparison"),
    ),
    Mutant(
        "change_log: a column that is not audited",
        LOG,
        "missing = sorted(name for name in each.columns if name.lower() not in feed.columns)",
        "missing: list[str] = []",
        of("change_log", "test_a_journal_that_passes_a_column_over_is_not_read"),
    ),
    Mutant(
        "change_log: a table without its triggers",
        f"{SYNC}schema/journal.py",
        "missing = [event for event in _EVENTS if event not in (events or ())]",
        "missing: list[str] = []",
        "tests/unit/schema/test_journal.py::test_without_one_of_its_triggers_a_table_is_none",
    ),
)
