"""Where county files are read and written: where Airflow looks, or with a word about where it should."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.cli.county_files import county_folder, folder_to_write
from airflow_provider_pacs.sync.config import load_county
from airflow_provider_pacs.sync.config.new_county import reference_file

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow home that this shell works in."""
    for name in ("AIRFLOW__PACS__COUNTIES_PATH", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    monkeypatch.chdir(home)
    return home


def configure(home: Path, text: str) -> None:
    (home / "airflow.cfg").write_text(text, "utf-8")


def test_init_writes_where_the_configuration_points(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case F3: `[pacs] counties_path` of airflow.cfg counts, as it does for Airflow."""
    configure(home, f"[core]\ndags_folder = /nowhere/dags\n[pacs]\ncounties_path = {tmp_path}/files %s\n")
    assert main(["init", "benton_wa"]) == 0
    assert (tmp_path / "files %s" / "benton_wa.yaml").is_file()
    assert "export AIRFLOW__PACS__COUNTIES_PATH" not in capsys.readouterr().out


def test_the_variable_comes_before_the_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(home, f"[pacs]\ncounties_path = {tmp_path}/file\n")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path / "variable"))
    assert folder_to_write(None) == county_folder(None) == tmp_path / "variable"
    assert county_folder(tmp_path) == tmp_path


def test_init_in_airflows_home_writes_where_airflow_looks(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case F3: it wrote ./counties, where Airflow does not look."""
    configure(home, f"[core]\ndags_folder = {home}/dags\n[pacs]\n# counties_path =\n")
    assert main(["init", "benton_wa"]) == 0
    assert (home / "dags" / "counties" / "benton_wa.yaml").is_file()
    assert not (home / "counties").exists()
    assert "export AIRFLOW__PACS__COUNTIES_PATH" not in capsys.readouterr().out


def test_init_elsewhere_prints_the_path_to_set(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case F3: where the file is not where Airflow looks, the setting is printed that makes it look there."""
    elsewhere = tmp_path / "a folder"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    configure(home, f"[core]\ndags_folder = {home}/dags\n")
    assert main(["init", "benton_wa"]) == 0
    assert f"export AIRFLOW__PACS__COUNTIES_PATH='{elsewhere}/counties'" in capsys.readouterr().out


def test_a_configuration_that_is_broken_names_no_folder(home: Path) -> None:
    configure(home, "not an ini file\x00")
    assert county_folder(None) is None
    assert folder_to_write(None) == Path("counties")


def test_the_reference_that_the_header_names_ships_and_loads(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case F3: the header named a file that the wheel lacks."""
    assert main(["init", "benton_wa"]) == 0
    header = (home / "counties" / "benton_wa.yaml").read_text("utf-8")
    assert "docs/examples/benton_wa.yaml in the package airflow_provider_pacs" in header
    file = reference_file()
    assert file.is_relative_to(ROOT / "airflow_provider_pacs")
    assert str(file) in capsys.readouterr().out
    assert load_county(file).county == "benton_wa"


def test_the_reference_is_the_county_of_the_repository() -> None:
    assert filecmp.cmp(reference_file(), ROOT / "dags" / "counties" / "benton_wa.yaml", shallow=False)
