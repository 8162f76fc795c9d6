"""Mutants of the incremental strategies and the statements that they share."""

from __future__ import annotations

from tests.mutants.mutant import INCREMENTAL, Mutant, of

MODIFIED, ROWVERSION, JOINED = (
    f"{INCREMENTAL}{name}.py" for name in ("last_modified", "rowversion", "joined")
)
STATEMENTS, FULL, CHOICE = (f"{INCREMENTAL}{name}.py" for name in ("statements", "full", "__init__"))
QUERIES = "tests/unit/incremental/test_queries.py"

MUTANTS = (
    Mutant(
        "lag",
        MODIFIED,
        "DATEADD(SECOND, -@lag, @now)",
        "DATEADD(SECOND, -@lag * 0, @now)",
        of("windows", "test_the_lag_keeps_the_bound_behind_the_clock"),
    ),
    Mutant(
        "overlap",
        MODIFIED,
        "DATEADD(MINUTE, -@overlap, @from)",
        "DATEADD(MINUTE, -@overlap * 0, @from)",
        of("windows", "test_a_late_commit"),
    ),
    Mutant(
        "overlap of a date",
        MODIFIED,
        "DATEADD(DAY, -1 - @overlap / 1440, @from)",
        "DATEADD(DAY, 0, @from)",
        of("windows", "test_change_columns_of_other_types"),
    ),
    Mutant(
        "lower bound included",
        MODIFIED,
        "({column} >= @lo",
        "({column} > @lo",
        of("windows", "test_a_tie_at_the_lower_bound"),
    ),
    Mutant(
        "upper bound included",
        MODIFIED,
        "{column} <= @hi)",
        "{column} < @hi)",
        of("windows", "test_a_row_at_the_upper_bound"),
    ),
    Mutant(
        "upper bound at all",
        MODIFIED,
        " AND {column} <= @hi)",
        ")",
        of("windows", "test_a_row_that_moves_while_it_is_read"),
    ),
    Mutant(
        "soft deletes travel",
        MODIFIED,
        "WHERE ({column} >= @lo AND",
        "WHERE {'s.[IsActive] = 1 AND ' if table.map.entity == 'property' else ''}({column} >= @lo AND",
        of("deletes", "test_a_soft_delete"),
    ),
    Mutant(
        "NULL sweep",
        MODIFIED,
        " OR {column} IS NULL OR",
        " OR",
        of("windows", "test_rows_without_a_stamp"),
    ),
    Mutant(
        "future sweep",
        MODIFIED,
        " OR {column} > DATEADD(DAY, 1, @hi)",
        "",
        of("windows", "test_a_row_stamped_in_the_far_future"),
    ),
    Mutant(
        "oldest writer holds hi",
        MODIFIED,
        "CASE WHEN @oldest < @base THEN @oldest ELSE @base END",
        "@base",
        of("windows", "test_a_transaction_open_for_longer_than_the_overlap"),
    ),
    Mutant(
        "a window begins before a bound that went back",
        MODIFIED,
        "CASE WHEN @cursor > @hi THEN @hi ELSE @cursor END;",
        "@cursor;",
        of("mutant_guards_reads", "test_a_window_behind_its_cursor_begins_before_its_end"),
    ),
    Mutant(
        "bounds typed like the column",
        MODIFIED,
        "DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\\n DECLARE @hi {change_type} = "
        "CONVERT({change_type}, ?, 121);\\n SELECT {select_list(table)} FROM {rows_of(table)}\\n",
        'DECLARE @lo datetime2(7) = CONVERT(datetime2(7), ?, 121);\\n"\n'
        'f"DECLARE @hi datetime2(7) = CONVERT(datetime2(7), ?, 121);\\n"\n'
        'f"SELECT {select_list(table)} FROM {rows_of(table)}\\n',
        of("windows", "test_ticks_that_three_digits_do_not_hold"),
    ),
    Mutant(
        "running unit left out",
        MODIFIED,
        'f"DATEADD({unit}, -1, @safe)" if unit else "@safe"',
        '"@safe"',
        of("windows", "test_change_columns_of_other_types"),
    ),
    Mutant(
        "rows newer than the bound: stamps",
        MODIFIED,
        '{column} > @hi"',
        '{column} >= @hi"',
        of("mutant_guards_reads", "test_a_row_stamped_with_the_bound_is_read_and_is_not_newer"),
    ),
    Mutant(
        "a backfill ends before its end",
        MODIFIED,
        "{column} >= @lo AND {column} < @hi",
        "{column} >= @lo AND {column} <= @hi",
        of("backfill", "test_a_window_is_read_again"),
    ),
    Mutant(
        "rowversion waits for open writers",
        ROWVERSION,
        "MIN_ACTIVE_ROWVERSION();\\n",
        "CONVERT(binary(8), CONVERT(bigint, 1000000));\\n",
        of("identity_and_rowversion", "test_a_rowversion_window_waits_for_open_writers"),
    ),
    Mutant(
        "rowversion: the late flag includes the bound",
        ROWVERSION,
        '{column} >= @hi")',
        '{column} > @hi")',
        of("mutant_guards_reads", "test_the_row_that_a_rowversion_bound_names_is_newer"),
    ),
    Mutant(
        "rowversion: the window ends before its bound",
        ROWVERSION,
        "{column} >= @lo AND {column} < @hi",
        "{column} >= @lo AND {column} <= @hi",
        of("mutant_guards_reads", "test_the_row_that_a_rowversion_bound_names_is_newer"),
    ),
    Mutant(
        "rowversion: the window begins with its cursor",
        ROWVERSION,
        "{column} >= @lo AND {column} < @hi",
        "{column} > @lo AND {column} < @hi",
        of("mutant_guards_reads", "test_the_row_that_a_rowversion_bound_names_is_newer"),
    ),
    Mutant(
        "rowversion: a counter that went back",
        ROWVERSION,
        "CASE WHEN @cursor > @hi THEN 1 ELSE 0 END AS behind",
        "0 AS behind",
        of("mutant_guards_reads", "test_row_versions_behind_the_cursor_mean_a_full_comparison"),
    ),
    Mutant(
        "rowversion: not on a readable secondary",
        ROWVERSION,
        "if not facts.writable:",
        "if False:",
        f"{QUERIES}::test_the_choice_says_why",
    ),
    Mutant(
        "joined: the window ends before its bound",
        JOINED,
        'distinct_root_keys(_stamped(table, ">= @lo", "< @hi"))',
        'distinct_root_keys(_stamped(table, ">= @lo"))',
        of("mutant_guards_harris", "test_bounds_of_joined_entities"),
    ),
    Mutant(
        "joined: the late flag includes the bound",
        JOINED,
        "{_stamped(table, '>= @hi')}",
        "{_stamped(table, '> @hi')}",
        of("mutant_guards_harris", "test_bounds_of_joined_entities"),
    ),
    Mutant(
        "rowversions that are probed",
        STATEMENTS,
        "WHERE s.[_root_key] IN (SELECT c.root_key",
        "WHERE 1 = 0 AND s.[_root_key] IN (SELECT c.root_key",
        of("harris", "test_an_edit_of_any_contributing_table_reads_that_property_only"),
    ),
    Mutant(
        "a better feed is named",
        "airflow_provider_pacs/sync/preflight/resolve.py",
        'reason = f"{reason} (not by a better feed: {lacks[0]})"',
        "pass",
        of("windows", "test_the_runs_reason_names_a_better_feed"),
    ),
    Mutant(
        "a pinned strategy must fit",
        CHOICE,
        "if support.table is None:",
        "if False:",
        f"{QUERIES}::test_a_county_may_pin_a_strategy_that_fits_and_no_other",
    ),
    Mutant(
        "keys per statement",
        FULL,
        "KEYS_PER_STATEMENT = 500",
        "KEYS_PER_STATEMENT = 2_101",
        of("mutant_guards_reads", "test_more_keys_than_a_statement_takes"),
    ),
    Mutant(
        "keys per statement: with their root keys",
        FULL,
        "KEYS_PER_STATEMENT = 500",
        "KEYS_PER_STATEMENT = 1_051",
        of("mutant_guards_harris", "test_keys_of_a_joined_entity_fit_into_a_statement"),
    ),
    Mutant(
        "GUIDs as text are known by their digits",
        FULL,
        "if is_guid_as_text(table, column):",
        "if False:",
        of("odd_tables", "test_a_key_of_text_that_changes_only_its_spelling"),
    ),
    Mutant(
        "a census counts what is newer",
        STATEMENTS,
        "COUNT_BIG(CASE WHEN {newer} THEN 1 END) AS late",
        "COUNT_BIG(CASE WHEN 1 = 0 THEN 1 END) AS late",
        of("mutant_guards_reads", "test_rows_newer_than_the_bound_are_counted_and_mean_no_comparison"),
    ),
    Mutant(
        "a census leaves what is newer out of its sums",
        STATEMENTS,
        "CASE WHEN {newer} THEN 0 ELSE {value} END",
        "CASE WHEN 1 = 0 THEN 0 ELSE {value} END",
        of("mutant_guards_reads", "test_control_totals_leave_out_what_is_newer"),
    ),
    Mutant(
        "a census sums its keys",
        STATEMENTS,
        "SUM({_key_number(table)})",
        "SUM(0)",
        of("mutant_guards_reads", "test_rows_newer_than_the_bound_are_counted_and_mean_no_comparison"),
    ),
)
