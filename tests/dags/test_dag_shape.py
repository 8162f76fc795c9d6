"""The generated DAGs: their golden shape, what a parse costs, and what becomes of a broken county file."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, TriggerRule
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_pacs import dag_builder
from airflow_provider_pacs.dag_builder import build_county_dags, raise_broken_counties
from airflow_provider_pacs.sync.runtime.errors import ConfigError

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
SYNC = {
    "preflight": {"extract_property", "extract_owner", "extract_value", "extract_structure", "certify"},
    "extract_property": {"validate_property"},
    "extract_owner": {"validate_owner"},
    "extract_value": {"validate_value"},
    "extract_structure": {"validate_structure"},
    "validate_property": {"publish"},
    "validate_owner": {"publish"},
    "validate_value": {"publish"},
    "validate_structure": {"publish"},
    "publish": {"certify"},
    "certify": set(),
}


def write(folder: Path, county: str, text: str = "owner: me", name: str = "") -> Path:
    path = folder / f"{name or county}.yaml"
    path.write_text(f"county: {county}\n{text}\n", "utf-8")
    return path


def downstream(dag: DAG) -> dict[str, set[str]]:
    return {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}


def parsing(monkeypatch: pytest.MonkeyPatch, dag_id: str) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)


KING = {"pacs_king_wa", "pacs_king_wa_reconcile", "pacs_king_wa_approvals"}


@pytest.fixture
def model() -> dict[str, DAG]:
    return build_county_dags(DAGS / "counties")


def test_the_model_county_has_three_dags_of_golden_shape(model: dict[str, DAG]) -> None:
    assert list(model) == ["pacs_benton_wa", "pacs_benton_wa_reconcile", "pacs_benton_wa_approvals"]
    assert downstream(model["pacs_benton_wa"]) == SYNC
    assert downstream(model["pacs_benton_wa_reconcile"]) == SYNC
    assert downstream(model["pacs_benton_wa_approvals"]) == {
        "pending": {"decide"},
        "decide": {"apply"},
        "apply": set(),
    }
    assert set(model["pacs_benton_wa"].task_group.get_task_group_dict()) == {
        None,
        "property",
        "owner",
        "value",
        "structure",
    }


def test_publish_runs_whatever_became_of_the_entities_and_everything_else_needs_success(
    model: dict[str, DAG],
) -> None:
    rules = {task.task_id: task.trigger_rule for task in model["pacs_benton_wa"].tasks}
    assert rules.pop("publish") == TriggerRule.ALL_DONE
    assert set(rules.values()) == {TriggerRule.ALL_SUCCESS}


def test_schedules_are_in_the_countys_time_zone_without_catchup(model: dict[str, DAG]) -> None:
    crons = {
        dag_id: (dag.timetable.expression, str(dag.timetable.timezone))
        for dag_id, dag in model.items()
        if "approvals" not in dag_id
    }
    assert crons == {
        "pacs_benton_wa": ("0 2 * * *", "America/Los_Angeles"),
        "pacs_benton_wa_reconcile": ("30 4 * * 0", "America/Los_Angeles"),
    }
    for dag in model.values():
        assert (dag.catchup, dag.max_active_runs, dag.dagrun_timeout) == (False, 1, None)
        assert dag.tags == {"pacs", "benton_wa", "washington"}


def test_unpausing_starts_nothing_before_the_next_time_of_the_schedule(model: dict[str, DAG]) -> None:
    for dag_id in ("pacs_benton_wa", "pacs_benton_wa_reconcile"):
        dag = model[dag_id]
        known = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        info = known.timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=known._time_restriction
        )
        assert info is not None
        assert info.run_after > datetime.now(UTC)


def test_a_test_run_has_no_deadline_to_miss(model: dict[str, DAG], monkeypatch: pytest.MonkeyPatch) -> None:
    dag = model["pacs_benton_wa"]
    seen: list[object] = []
    monkeypatch.setattr(DAG, "test", lambda self, **kwargs: seen.append((self.deadline, kwargs)))
    dag.test(run_conf={"mode": "full"})
    assert seen == [(None, {"run_conf": {"mode": "full"}})]


def test_retries_back_off_and_every_task_has_a_time_limit(model: dict[str, DAG]) -> None:
    for dag in model.values():
        for task in dag.tasks:
            assert (task.retries, task.retry_delay, task.retry_exponential_backoff) == (
                3,
                timedelta(seconds=30),
                2.0,
            )
            limit = (
                None if task.task_id == "decide" else timedelta(minutes=60)
            )  # people take the time that they need
            assert (task.execution_timeout, task.pool, task.owner) == (
                limit,
                "default_pool",
                "data-engineering",
            )
        if dag.dag_id.endswith("_approvals"):
            assert dag.deadline is None
            continue
        (alert,) = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
        assert alert.interval == timedelta(minutes=60)


def test_a_county_with_a_history_has_a_rollback_that_somebody_starts_and_decides(tmp_path: Path) -> None:
    write(tmp_path, "king_wa", "history: {enabled: true}")
    dags = build_county_dags(tmp_path)
    assert set(dags) == KING | {"pacs_king_wa_rollback"}
    dag = dags["pacs_king_wa_rollback"]
    assert downstream(dag) == {"propose": {"decide"}, "decide": {"apply"}, "apply": set()}
    assert (dag.schedule, dag.deadline, dag.max_active_runs) == (None, None, 1)
    assert set(dag.params) == {"run", "onto"}


def test_deadline_alerts_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__PACS__DEADLINE_ALERTS", "False")
    assert [dag.deadline for dag in build_county_dags(DAGS / "counties").values()] == [None, None, None]


def test_a_county_without_a_change_feed_reads_everything(tmp_path: Path) -> None:
    write(tmp_path, "king_wa", "sync: {enable_cdc: false, entities: [owner], pool: few, cron: null}")
    dag = build_county_dags(tmp_path)["pacs_king_wa"]
    assert dag.get_task("extract_owner").task_type == "PacsExtractOperator"
    assert dag.params["mode"] == "full"
    assert dag.timetable.__class__.__name__ == "NullTimetable"
    assert {task.pool for task in dag.tasks} == {"few"}


def test_entities_of_several_tables_are_read_by_relation(tmp_path: Path) -> None:
    write(tmp_path, "king_wa", "source: {profile: harris_pacs_9}\nsync: {entities: [property, owner]}")
    dag = build_county_dags(tmp_path)["pacs_king_wa"]
    assert {dag.get_task(f"extract_{entity}").task_type for entity in ("property", "owner")} == {
        "PacsRelationshipOperator"
    }


def test_with_a_change_feed_the_trigger_form_may_ask_for_a_full_run(model: dict[str, DAG]) -> None:
    dag = model["pacs_benton_wa"]
    assert dag.get_task("extract_owner").task_type == "PacsChangesOperator"
    assert dag.params["mode"] == "auto"
    assert dag.params.get_param("mode").schema["enum"] == ["auto", "full"]


def test_the_page_names_what_an_operator_needs_to_know(model: dict[str, DAG]) -> None:
    page = model["pacs_benton_wa"].doc_md or ""
    for word in (
        "Benton County, WA",
        "`pacs_benton_wa`",
        "`terrafusion`",
        "`0 2 * * *` in America/Los_Angeles",
        "25 rows or 2 %",
        "pacs approve benton_wa",
    ):
        assert word in page


def test_two_parses_give_the_same_serialised_dag(model: dict[str, DAG]) -> None:
    again = build_county_dags(DAGS / "counties")
    for dag_id, dag in model.items():
        assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(again[dag_id])


def test_parsing_imports_no_driver_and_no_data_library() -> None:
    code = (
        "import sys, airflow_provider_pacs.dag_builder as b; assert b.build_county_dags(sys.argv[1]);"
        "heavy = {'great_expectations', 'pyarrow', 'pandas', 'numpy', 'pyodbc', 'arrow_odbc', 'psycopg', "
        "'psycopg2', 'pymssql'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(DAGS / "counties")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("dag_id", ["pacs_king_wa", "pacs_king_wa_reconcile", "pacs_king_wa_approvals"])
def test_for_one_task_only_its_countys_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    king = write(tmp_path, "king_wa")
    write(tmp_path, "yakima_wa")
    parsing(monkeypatch, dag_id)
    read: list[Path] = []
    load = dag_builder.load_county
    monkeypatch.setattr(dag_builder, "load_county", lambda file: read.append(file) or load(file))
    monkeypatch.setattr(dag_builder, "load_counties", lambda folder: pytest.fail("read the whole folder"))
    assert set(build_county_dags(tmp_path)) == KING
    assert read == [king]


def test_for_one_task_a_file_of_another_name_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case F7: a copy that still says another county's name stands for neither."""
    write(tmp_path, "king_wa", name="seattle")
    write(tmp_path, "yakima_wa", name="king_wa")
    parsing(monkeypatch, "pacs_king_wa")
    assert build_county_dags(tmp_path) == {}
    (tmp_path / "king_wa.yaml").unlink()
    write(tmp_path, "king_wa")
    assert set(build_county_dags(tmp_path)) == KING
    parsing(monkeypatch, "somebody_elses_dag")
    assert build_county_dags(tmp_path) == {}


def test_a_broken_county_is_in_airflows_banner_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "king_wa")
    broken = write(tmp_path, "yakima_wa", "sync: {batch_size: 0, cron: daily}")
    twice = [write(tmp_path, "benton_wa", name=name) for name in ("one", "two")]
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    bag = DagBag(str(DAGS), collect_dags=False)
    for name in ("pacs_counties.py", "pacs_county_errors.py"):
        bag.process_file(str(DAGS / name), only_if_updated=False)
    assert set(bag.dags) == KING
    ((where, banner),) = bag.import_errors.items()
    assert Path(where).name == "pacs_county_errors.py"
    assert f"{broken}: sync.batch_size: " in banner
    assert f"{broken}: sync.cron: " in banner
    assert all(str(file) in banner for file in twice)


def test_good_counties_raise_no_banner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "king_wa")
    raise_broken_counties(tmp_path)
    write(tmp_path, "yakima_wa", "nonsense: 1")
    with pytest.raises(ConfigError, match=r"yakima_wa\.yaml: nonsense: unknown key"):
        raise_broken_counties(tmp_path)
    parsing(monkeypatch, "pacs_king_wa")
    raise_broken_counties(tmp_path)


def test_a_missing_folder_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"counties_path"):
        build_county_dags(tmp_path / "gone")
