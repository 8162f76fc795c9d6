"""What a DAG's author imports from the package, and how an operator is given its county."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG

import airflow_provider_pacs
from airflow_provider_pacs import CountyConfig, PacsExtractOperator, PacsPublishOperator, load_county
from airflow_provider_pacs.sync.runtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def counties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\nname: Benton\n", "utf-8")
    (tmp_path / "chelan_wa.yml").write_text("county: chelan_wa\n", "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    return tmp_path


def test_every_name_is_there_and_is_what_its_module_says() -> None:
    assert set(airflow_provider_pacs.__all__) <= set(dir(airflow_provider_pacs))
    for name in airflow_provider_pacs.__all__:
        value = getattr(airflow_provider_pacs, name)
        assert value.__name__ == name
        assert value.__module__.startswith("airflow_provider_pacs.")


def test_a_star_import_brings_them_all() -> None:
    names: dict[str, object] = {}
    exec("from airflow_provider_pacs import *", names)
    assert set(airflow_provider_pacs.__all__) <= names.keys()


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PacsHok'"):
        _ = airflow_provider_pacs.PacsHok
    with pytest.raises(ImportError):
        exec("from airflow_provider_pacs import PacsHok")


def test_a_county_is_loaded_without_airflow() -> None:
    """`load_county` belongs to the engine: a script that reads a county's file needs no Airflow."""
    code = (
        "import sys; sys.modules['airflow'] = None\nfrom airflow_provider_pacs import CountyConfig, load_county\n"
        "from pathlib import Path; print(load_county(Path('dags/counties/benton_wa.yaml')).fips)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "53005\n"


def test_mypy_knows_the_types_of_the_names(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(
        "from airflow_provider_pacs import CountyConfig, PacsHook, build_county_dags, load_county\n"
        "reveal_type(load_county)\nreveal_type(PacsHook)\nreveal_type(build_county_dags)\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--follow-imports=silent", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(revealed) == 3, done.stdout + done.stderr
    assert "CountyConfig" in revealed[0]
    assert not any('"Any"' in line for line in revealed)


@pytest.mark.parametrize("form", ["config", "name", "text path", "path"])
def test_an_operator_takes_a_county_by_config_name_or_file(form: str, counties: Path) -> None:
    file = counties / "benton_wa.yaml"
    county: CountyConfig | str | Path = {
        "config": load_county(file),
        "name": "benton_wa",
        "text path": str(file),
        "path": file,
    }[form]
    with DAG("d"):
        extract = PacsExtractOperator(task_id="extract", config=county, entity="property")
        publish = PacsPublishOperator(task_id="publish", config=county)
    assert extract.config == publish.config == load_county(file)
    assert len(publish.outlets) == 4


def test_a_name_finds_its_file_by_either_ending(counties: Path) -> None:
    assert PacsExtractOperator(task_id="t", config="chelan_wa", entity="owner").config.county == "chelan_wa"


def test_a_county_that_is_nowhere_names_those_that_are(counties: Path) -> None:
    with pytest.raises(ConfigError, match=r"no county 'yakima_wa' in .*benton_wa, chelan_wa"):
        PacsExtractOperator(task_id="t", config="yakima_wa", entity="owner")


def test_a_broken_file_of_the_named_county_says_what_is_wrong_with_it(counties: Path) -> None:
    (counties / "benton_wa.yaml").write_text("county: benton_wa\nsync: {batch_size: 0}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"sync\.batch_size"):
        PacsExtractOperator(task_id="t", config="benton_wa", entity="owner")
