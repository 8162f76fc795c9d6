"""Mutants of what keeps secrets, people and counties apart: error texts, TLS, broken counties, promoted columns."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, STEPS, SYNC, Mutant, of

MONITOR = "airflow_provider_pacs/monitor/"
DAGS = "airflow_provider_pacs/dag_builder.py"
DAG_TEXTS = "airflow_provider_pacs/dag_texts.py"
TEXTS, PAGE, FILES = (
    "tests/unit/test_error_texts.py",
    "tests/ui/test_overload.py",
    "tests/dags/test_dag_security.py",
)
TLS = "security_tls"

MUTANTS = (
    Mutant(
        "our messages are masked",
        f"{SYNC}runtime/errors.py",
        "self.message = mask_credentials(message)",
        "self.message = message",
        f"{TEXTS}::test_no_message_of_ours_holds_a_credential",
    ),
    Mutant(
        "the page shows no foreign text",
        f"{MONITOR}targets.py",
        "can't be asked: {describe_foreign(error)}",
        "can't be asked: {error}",
        f"{TEXTS}::test_a_target_that_fails_in_no_foreseen_way_shows_the_page_its_class",
    ),
    Mutant(
        "the task's log shows no foreign text",
        "airflow_provider_pacs/hooks/airflow_errors.py",
        'raise AirflowException(f"{step}: {describe_foreign(error)}") from None',
        "raise",
        "tests/unit/test_operators.py::test_of_a_defect_the_log_gets_class_and_place_only",
    ),
    Mutant(
        "the banner shows no foreign text",
        DAGS,
        "its DAGs can't be built: {describe_foreign(error)}",
        "its DAGs can't be built: {error}",
        f"{TEXTS}::test_a_file_that_fails_in_no_foreseen_way_shows_no_foreign_text",
    ),
    Mutant(
        "SQL Server's values without quotes",
        f"{SYNC}source/errors.py",
        "key value is|",
        "no such text|",
        f"{TEXTS}::test_a_value_of_sql_server_is_cut_with_or_without_quotes",
    ),
    Mutant(
        "PGHOSTADDR is a network",
        f"{POSTGRES}tls.py",
        "params.get(n) or os.environ.get(v) for",
        "params.get(n) for",
        of(TLS, "test_an_address_or_a_service_from_the_environment_is_a_network"),
    ),
    Mutant(
        "no OpenSSL engine is loaded",
        f"{POSTGRES}session.py",
        "refuse_engines(stated)",
        "pass",
        of(TLS, "test_an_engine_is_refused_by_every_opener"),
    ),
    Mutant(
        "an export is the text that was hashed",
        f"{POSTGRES}audit.py",
        'bytes(digest).hex(), "text": text',
        'bytes(digest).hex(), "text": json.dumps(json.loads(text))',
        of("security_audit", "test_an_export_can_be_checked_without_the_database"),
    ),
    Mutant(
        "a name beyond the BMP is text",
        DAG_TEXTS,
        "json.dumps(name, ensure_ascii=False)",
        "json.dumps(name)",
        f"{FILES}::test_a_name_is_text_in_the_approvals_subject",
    ),
    Mutant(
        "a county's DAG file shows that county's error",
        DAGS,
        "raise loaded.reasons[county]",
        "raise loaded.broken[0]",
        f"{FILES}::test_with_a_dag_file_each_a_broken_county_is_an_import_error_of_its_own",
    ),
    Mutant(
        "a broken county is a row",
        f"{MONITOR}routes_overview.py",
        "lines.append(broken_line(county, cause))",
        "pass",
        f"{PAGE}::test_two_files_with_one_code_are_two_broken_files",
    ),
    Mutant(
        "a broken county is who may read it's",
        f"{MONITOR}routes_overview.py",
        "for county in readable_names(user, loaded.reasons):",
        "for county in loaded.reasons:",
        f"{PAGE}::test_a_broken_county_is_a_row_for_who_may_read_its_dag_only",
    ),
    Mutant(
        "a county without DAG is broken",
        f"{MONITOR}presenters.py",
        "if dag is not None and dag.missing:",
        "if False:",
        f"{PAGE}::test_a_county_of_which_airflow_has_no_dag_is_broken",
    ),
    Mutant(
        "promoted: by the owner only",
        f"{POSTGRES}ddl.py",
        "return [] _require_owner(connection) with connection.transaction(): connection.execute("
        '"SELECT pg_advisory_xact_lock(%s)", (_LOCK,)) applied = [promotion.add',
        'return []\n    with connection.transaction():\n        connection.execute("SELECT pg_advisory_xact_lock(%s)", '
        "(_LOCK,))\n        applied = [promotion.add",
        of("promoted", "test_a_run_promotes_nothing_by_itself"),
    ),
    Mutant(
        "promoted: the plan asks for the column",
        f"{STEPS}preconditions.py",
        "if lacking := promoted_lacking(config, there):",
        "if lacking := ():",
        of("promoted", "test_a_run_promotes_nothing_by_itself", "test_one_name_has_one_type"),
    ),
    Mutant(
        "promoted: by this county",
        f"{SYNC}mapping/batches.py",
        "for number, name in enumerate(extra) if name in promoted",
        "for number, name in enumerate(extra)",
        "tests/unit/test_extra.py::test_promoted_names_leave_the_json_and_get_their_types",
    ),
    Mutant(
        "promoted: not in the JSON as well",
        f"{SYNC}mapping/batches.py",
        "json_column(batch, extra, sources)",
        "json_column(batch, extra)",
        "tests/unit/test_extra.py::test_promoted_names_leave_the_json_and_get_their_types",
    ),
    Mutant(
        "promoted: another county's digests stay",
        f"{POSTGRES}sql.py",
        "own = [name for name in entity.column_names if name not in entity.promoted]",
        "own = list(entity.column_names)",
        of("promoted", "test_a_county_that_does_not_promote_is_unaffected"),
    ),
    Mutant(
        "promoted: a partition has all columns",
        f"{POSTGRES}ddl.py",
        "promotion.complete(connection, entity, table, partition_name(entity, county_id))",
        "pass",
        of("promoted", "test_a_first_load_survives_a_promotion_by_another_county"),
    ),
    Mutant(
        "promoted: part of the map",
        f"{SYNC}profiles/__init__.py",
        "*([self.promoted] if self.promoted else [])",
        "*()",
        "tests/unit/test_extra.py::test_a_promotion_is_part_of_the_mapping_and_none_changes_none",
    ),
    Mutant(
        "promoted: one name, one type",
        f"{POSTGRES}promotion.py",
        "elif types[column.name] != column.type:",
        "elif False:",
        of("promoted", "test_one_name_has_one_type"),
    ),
    Mutant(
        "promoted: silent in the past",
        f"{POSTGRES}publisher.py",
        "dict(redaction.values) | dict.fromkeys(entity.promoted)",
        "dict(redaction.values)",
        of("field_harris", "test_promoted_columns_are_silent_for_a_confidential_owner"),
    ),
    Mutant(
        "printed scripts call PostgreSQL's own functions",
        f"{POSTGRES}grants.py",
        "EXECUTE pg_catalog.format('GRANT {1}",
        "EXECUTE format('GRANT {1}",
        of("staff_roles", "test_a_function_in_public_does_not_run_as_the_dba"),
    ),
    Mutant(
        "the page's buttons take JSON only",
        f"{MONITOR}routes_actions.py",
        'if request.method == "POST" and content_type != "application/json":',
        "if False:",
        "tests/ui/test_actions.py::test_a_body_that_any_page_may_send_presses_no_button",
    ),
    Mutant(
        "no formula in a report's CSV",
        f"{MONITOR}routes_reports.py",
        "as_text(v) if isinstance(v, str) else v",
        "v",
        "tests/ui/test_api.py::test_no_text_of_a_source_is_a_formula_in_a_reports_csv",
    ),
    Mutant(
        "a promoted column is hidden in the history",
        "airflow_provider_pacs/cli/history.py",
        "if name in shown else",
        "if True else",
        of("promoted", "test_the_history_shows_no_value_of_a_promoted_column"),
    ),
    Mutant(
        "a line end in a text ends no row of a CSV",
        f"{SYNC}reports/formats.py",
        "lineterminator=_LINE_END)",
        'lineterminator="")',
        "tests/unit/test_report_formats.py::test_a_text_with_a_line_end_makes_no_row",
    ),
)
