"""A county's file is untrusted input to Airflow: nothing of it is rendered, and what it breaks is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from jinja2 import Environment

from airflow_provider_pacs import dag_builder
from airflow_provider_pacs.dag_builder import (
    as_text,
    build_county_dags,
    county_dags,
    county_page,
    raise_broken_counties,
)
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.runtime.errors import ConfigError

HOSTILE = (
    "{{ conn.terrafusion.password }}",
    "{% for x in range(9999999) %}{{ x }}{% endfor %}",
    "{# a comment #}",
    'a" }}{{ conn.terrafusion.password }}',
    "a\\' }} \\\" \\u007b\\u007b 1 }}",
    "{% raw %}{% endraw %}{{ 7 * 7 }}",
    "Łódź County, WA",
    "𝔅enton 😀 County",
    "\u00a0\u3000\ufeff",
)


def config_of(name: str) -> CountyConfig:
    return CountyConfig.model_validate({"county": "king_wa", "name": name})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_in_the_approvals_subject(name: str) -> None:
    """Case E7: what Airflow renders of it is the name, whatever is in it."""
    dag = dag_builder.approvals_dag(config_of(name))
    decide: Any = dag.get_task("decide")
    assert "subject" in decide.template_fields
    secrets: Any = {"conn": {"terrafusion": {"password": "s3cr3t"}}}
    rendered = Environment(autoescape=False).from_string(decide.subject).render(**secrets)
    assert rendered == f"{name}: delete these rows?"
    question: Any = dag_builder.rollback_dag(config_of(name)).get_task("decide")
    assert (
        Environment(autoescape=False).from_string(question.subject).render(**secrets) == f"{name}: roll back?"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_template_field_of_any_task_holds_a_countys_text(name: str) -> None:
    """Case E7, as its whole kind: a field that Airflow renders holds none of the file's texts but as Jinja's
    literal of it.
    """
    config = config_of(name).model_copy(update={"owner": "{{ 7 * 7 }}", "tags": ("{{ 7 * 7 }}",)})
    for make in (
        dag_builder.sync_dag,
        dag_builder.reconcile_dag,
        dag_builder.approvals_dag,
        dag_builder.rollback_dag,
    ):
        for task in make(config).tasks:
            for field in task.template_fields:
                value = str(getattr(task, field, "")).replace(as_text(name), "")
                assert "7 * 7" not in value
                assert name not in value


def test_a_name_is_text_on_the_dags_page() -> None:
    page = county_page(config_of("[click](javascript:alert(1)) <img src=x onerror=alert(1)>"), None)
    assert "](javascript" not in page
    assert "<img" not in page.replace("\\<img", "")


def test_a_county_whose_dags_fail_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case E5: whatever Airflow says to one county's settings, the others are built, and the banner names it."""
    for county in ("king_wa", "yakima_wa"):
        (tmp_path / f"{county}.yaml").write_text("owner: me\n", "utf-8")
    build = dag_builder.reconcile_dag

    def broken(config: CountyConfig) -> Any:
        if config.county == "yakima_wa":
            raise OverflowError("Python int too large to convert to C int")
        return build(config)

    monkeypatch.setattr(dag_builder, "reconcile_dag", broken)
    assert {dag_id.removeprefix("pacs_king_wa") for dag_id in build_county_dags(tmp_path)} == {
        "",
        "_reconcile",
        "_approvals",
    }
    with pytest.raises(ConfigError, match=r"yakima_wa: its DAGs can't be built: OverflowError"):
        raise_broken_counties(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "tags: [" + "t" * 300 + "]",
        "sync: {timeout_minutes: 99999999999999}",
        "sync: {batch_size: -0xFFFFFFFFF}",
        'fips: "53033"',
    ],
)
def test_a_county_file_out_of_bounds_stops_no_county(tmp_path: Path, text: str) -> None:
    """Cases E5 and E6: the other county's DAGs are there, and the banner says what is wrong."""
    (tmp_path / "yakima_wa.yaml").write_text(text, "utf-8")
    (tmp_path / "benton_wa.yaml").write_text("owner: me\n", "utf-8")
    if "fips" in text:
        (tmp_path / "king_wa.yaml").write_text("owner: me\n", "utf-8")
    assert set(build_county_dags(tmp_path)) == {
        "pacs_benton_wa",
        "pacs_benton_wa_reconcile",
        "pacs_benton_wa_approvals",
    }
    with pytest.raises(ConfigError, match="yakima_wa"):
        raise_broken_counties(tmp_path)


ONE_COUNTY = "from airflow_provider_pacs import county_dags\n\nglobals().update(county_dags({county!r}))\n"
"""The DAG file of one county, as docs/guide/4-production.md shows it."""
BROKEN = {
    "yakima_wa": ("tags: [" + "t" * 300 + "]", "tags.0: String should have at most 100 characters"),
    "ferry_wa": ("sinc: {}", "sinc: unknown key; did you mean 'sync'"),
    "ada_id": ('fips: "53033"\ntimezone: America/Boise', "'53033' is claimed by 2 counties"),
    "king_wa": ("owner: me", "'53033' is claimed by 2 counties"),
    "gone_wa": (None, "gone_wa.yaml: there is no such file"),
    "adams_wa": ("owner: me", "adams_wa: its DAGs can't be built: OverflowError"),
}


@pytest.fixture
def one_file_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good county and one of each kind of broken ones, each with a DAG file of its own."""
    (tmp_path / "counties").mkdir()
    for county, text in {
        "benton_wa": "owner: me",
        **{name: text for name, (text, _) in BROKEN.items()},
    }.items():
        if text is not None:
            (tmp_path / "counties" / f"{county}.yaml").write_text(text, "utf-8")
        (tmp_path / f"pacs_{county}.py").write_text(ONE_COUNTY.format(county=county), "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path / "counties"))
    build = dag_builder.reconcile_dag

    def broken(config: CountyConfig) -> Any:
        if config.county == "adams_wa":
            raise OverflowError("Python int too large to convert to C int")
        return build(config)

    monkeypatch.setattr(dag_builder, "reconcile_dag", broken)
    return tmp_path


def test_with_a_dag_file_each_a_broken_county_is_an_import_error_of_its_own(one_file_each: Path) -> None:
    """Case E5: Airflow names each by its own DAG file, with what is wrong with it and with no other's mistake."""
    bag = DagBag(str(one_file_each), collect_dags=False)
    for file in sorted(one_file_each.glob("*.py")):
        bag.process_file(str(file), only_if_updated=False)
    assert set(bag.dags) == {"pacs_benton_wa", "pacs_benton_wa_reconcile", "pacs_benton_wa_approvals"}
    errors = {Path(file).stem.removeprefix("pacs_"): text for file, text in bag.import_errors.items()}
    assert set(errors) == set(BROKEN)
    for county, (_, what) in BROKEN.items():
        assert what in errors[county]
        for other in {"yakima_wa", "ferry_wa", "gone_wa", "adams_wa"} - {county}:
            assert other not in errors[county]


def test_a_task_of_one_county_reads_no_other_file_with_a_dag_file_each(
    one_file_each: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "pacs_benton_wa_reconcile")
    assert set(county_dags("benton_wa")) == {
        "pacs_benton_wa",
        "pacs_benton_wa_reconcile",
        "pacs_benton_wa_approvals",
    }
    assert county_dags("yakima_wa") == {}
