"""Mutants of the roll's entities, of reports, and of who may read them."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, SYNC, Mutant, of

HARRIS = f"{SYNC}profiles/harris_pacs_9.yaml"
REPORTS = f"{SYNC}reports/"
GRANTS = f"{POSTGRES}migrations/0070_staff_roles.sql"
ROLES = of("staff_roles", "test_what_each_must_not")

MUTANTS = (
    Mutant(
        "sale: its price is hidden",
        HARRIS,
        "sale_price: \"CASE WHEN {sa.confidential_sale} = 'T' THEN NULL ELSE {sa.sl_price} END\"",
        'sale_price: "{sa.sl_price}"',
        of("roll", "test_the_price_of_a_confidential_sale_does_not_leave_the_source"),
    ),
    Mutant(
        "sale: and in the target",
        HARRIS,
        "set: {is_confidential: true, sale_price: null, adjusted_price: null}",
        "set: {is_confidential: true}",
        of("roll", "test_the_price_of_a_confidential_sale_does_not_leave_the_source"),
    ),
    Mutant(
        "land: no snapshot at a sale",
        HARRIS,
        "AND {ld.sup_num} = cur.sup_num AND {ld.sale_id} = 0 AND {ld.prop_id} = cur.prop_id",
        "AND {ld.sup_num} = cur.sup_num AND {ld.prop_id} = cur.prop_id",
        of("roll", "test_the_roll_in_full_and_then_only_what_changed"),
    ),
    Mutant(
        "history: an old layer's key is its own",
        HARRIS,
        "layers: \"CASE WHEN cur.is_current = 1 THEN '' ELSE '/@' + CONVERT(varchar(4), CONVERT(int, cur.yr)) END\"",
        "layers: \"''\"",
        of("roll", "test_history_adds_rows_and_takes_none_away"),
    ),
    Mutant(
        "history: a current row keeps its key",
        HARRIS,
        "layers: \"CASE WHEN cur.is_current = 1 THEN '' ELSE",
        "layers: \"CASE WHEN cur.is_current = 2 THEN '' ELSE",
        of("roll", "test_history_adds_rows_and_takes_none_away"),
    ),
    Mutant(
        "taxable: its table is looked at",
        HARRIS,
        'option: taxable_value root_key: "{wp.prop_id}"',
        'option: future_layer\n        root_key: "{wp.prop_id}"',
        of("roll", "test_a_night_reaches_every_entity"),
    ),
    Mutant(
        "the land's dictionary is a setting",
        HARRIS,
        'used_as: " AS lt "',
        'used_as: " AS nothing "',
        of("roll", "test_a_renamed_code_is_seen_in_the_next_run"),
    ),
    Mutant(
        "an upgrade adds no entity to a county",
        f"{SYNC}entities/land.yaml",
        "by_default: false",
        "by_default: true",
        of("roll", "test_a_county_has_the_four_entities_unless_its_file_names_others"),
    ),
    Mutant(
        "owners of each year add up by themselves",
        f"{SYNC}quality/suites/owner.yaml",
        ", within: tax_year}",
        "}",
        of("quality_rules", "test_each_rule_finds_its_bad_rows_and_no_other"),
    ),
    Mutant(
        "report: granted counties only",
        f"{REPORTS}__init__.py",
        'return f"{alias}.county_id IN (SELECT pacs_ops.readable_counties())"',
        'return f"{alias}.county_id IS NOT NULL"',
        of("staff_roles", "test_reports_are_for_the_granted_county_alone"),
    ),
    Mutant(
        "report: a barrier",
        f"{POSTGRES}reports.py",
        "WITH (security_barrier = true) AS ",
        "AS ",
        of("staff_roles", "test_a_function_in_a_readers_condition_sees_no_other_county"),
    ),
    Mutant(
        "report: an error for a county that may not be read",
        f"{POSTGRES}report_reader.py",
        "if hidden or not readable:",
        "if False:",
        of("reports", "test_a_login_without_counties_gets_an_error_and_no_empty_report"),
    ),
    Mutant(
        "report: the worst certificate counts",
        f"{REPORTS}parts/counties.sql",
        "'clean'])[min(coalesce(",
        "'clean'])[max(coalesce(",
        of("reports", "test_a_sale_stands_on_its_weakest_entity"),
    ),
    Mutant(
        "report: outliers are left out",
        f"{REPORTS}ratio_study.yaml",
        "3 * (q.q3 - q.q1) AND q.q3 + 3 * (q.q3 - q.q1)",
        "9 * (q.q3 - q.q1) AND q.q3 + 99 * (q.q3 - q.q1)",
        of("reports", "test_ratio_studies_are_those_of_scipy"),
    ),
    Mutant(
        "report: all parcels of a deed",
        f"{REPORTS}parts/sold.sql",
        "AND m.valued_parcels = s.parcels THEN",
        "THEN",
        of("reports", "test_a_ratio_is_of_all_parcels_of_the_deed"),
    ),
    Mutant(
        "report: supplements of certified years",
        f"{REPORTS}supplements.yaml",
        "AND r.roll_status = 'certified' AND r._deleted_at IS NULL",
        "AND r._deleted_at IS NULL",
        of("reports", "test_the_roll_by_status_and_what_supplements_change"),
    ),
    Mutant(
        "grant: nobody to himself",
        GRANTS,
        "IF pg_catalog.pg_has_role(session_user, $1, 'member') AND NOT",
        "IF false AND NOT",
        of("staff_roles", "test_who_reads_which_county_is_decided_by_it_and_written_down"),
    ),
    Mutant(
        "grant: written down",
        GRANTS,
        "PERFORM pacs_ops.append_audit(CASE WHEN $2 = '*' THEN NULL ELSE $2 END, NULL, 'county.grant', $1::text, "
        "pg_catalog.jsonb_build_object('county_id', $2));",
        "",
        of("staff_roles", "test_who_reads_which_county_is_decided_by_it_and_written_down"),
    ),
    Mutant(
        "role: valuation reads no owners",
        f"{POSTGRES}privileges.py",
        "return (READ, ASSESSOR) if name in _NOT_FOR_VALUATION else (READ, ASSESSOR, VALUATION)",
        "return (READ, ASSESSOR, VALUATION)",
        ROLES,
    ),
    Mutant(
        "role: the page reads no rows",
        f"{POSTGRES}privileges.py",
        "*(() if report.per_row else (MONITOR,))",
        "MONITOR",
        of("staff_roles", "test_the_page_reads_sums_and_no_rows"),
    ),
)
