"""Every command of docs/guide is run, in order, as a reader would type it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import yaml

from airflow_provider_pacs.sync.config import load_county
from tests.docs.conftest import Reader
from tests.docs.guide import GUIDE, Block, blocks, filled, script

ROOT = GUIDE.parents[2]
FIRST_HOUR = GUIDE / "first-hour.md"
PHASES = [
    GUIDE / name
    for name in (
        "1-database-access.md",
        "2-field-mapping.md",
        "3-test-sync.md",
        "4-production.md",
        "5-history.md",
        "6-realtime.md",
    )
]
NewReader = Callable[[str], Reader]


def followed(reader: Reader, page: Path, *, slow: bool = False) -> str:
    """What a page's commands print; fails with the block that failed."""
    kinds = {"", "slow"} if slow else {""}
    parts = [block for block in blocks(page) if block.kind in kinds]
    done = reader.run(script(parts, reader.values))
    assert done.returncode == 0, f"{done.stdout[-2500:]}\n---\n{done.stderr[-2500:]}"
    return done.stdout


@pytest.fixture(scope="module")
def migrated_airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an Airflow that was just installed; a reader has one before the guide begins."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "AIRFLOW_HOME": str(home)}
    airflow = Path(sys.executable).parent / "airflow"
    done = subprocess.run(
        [airflow, "db", "migrate"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return home / "airflow.db"


def test_the_first_hour_ends_with_a_certificate_and_a_dag(
    new_reader: NewReader, migrated_airflow: Path
) -> None:
    """Cases F1, F2: the first steps lead from the wheel to the first certified sync, and both DAG files are in them."""
    reader = new_reader("franklin_wa")
    (reader.home / "airflow.db").write_bytes(migrated_airflow.read_bytes())
    printed = followed(reader, FIRST_HOUR)
    assert "Certificate (all rows): clean" in printed
    assert {"pacs_franklin_wa", "pacs_franklin_wa_reconcile", "pacs_franklin_wa_approvals"} <= set(
        printed.split()
    )
    assert "No data found" in printed, "an import error is listed"
    broken = Path(reader.values["AIRFLOW__PACS__COUNTIES_PATH"]) / "grant_wa.yaml"
    broken.write_text("fips: 53\n", "utf-8")
    again = reader.run(
        "airflow dags reserialize || true; airflow dags list-import-errors; airflow dags list --columns dag_id"
    )
    assert "grant_wa.yaml" in again.stdout
    assert "pacs_county_errors.py" in again.stdout
    assert "pacs_franklin_wa " in again.stdout, "a broken county hides the others"


@pytest.fixture
def yakima(new_reader: NewReader, migrated_airflow: Path) -> Reader:
    """Somebody with the DAG files in place."""
    reader = new_reader("yakima_wa")
    (reader.home / "airflow.db").write_bytes(migrated_airflow.read_bytes())
    dags = "\n".join(block.text for block in blocks(FIRST_HOUR) if "pacs_counties.py" in block.text)
    assert reader.run(dags).returncode == 0
    return reader


def test_access_mapping_and_a_test_sync(yakima: Reader) -> None:
    """The login of phase 1 is enough for all that follows, and the mapping of phase 2 is what phase 3 loads."""
    access, mapping, test, history = (followed(yakima, page) for page in [*PHASES[:3], PHASES[4]])
    assert "The login can read, and nothing else." in access
    assert json.loads((yakima.home / "access.json").read_text("utf-8"))["state"] != "fail"
    for_pacs = (yakima.home / "pacs_dba.sql").read_text("utf-8")
    for_platform = (yakima.home / "platform_dba.sql").read_text("utf-8")
    assert "GRANT SELECT ON OBJECT::" in for_pacs
    assert "tf_pacs_sync" not in for_pacs
    assert "tf_pacs_reader" not in for_platform
    assert "0 failed" in mapping
    assert "property_id" in mapping
    assert test.count("Certificate (all rows): clean") >= 2
    assert "Nothing was changed. pacs rollback yakima_wa" in history
    assert "Certificate (keys): rolled_back" in history
    assert "yakima_wa runs again" in history
    with psycopg.connect(yakima.values["PLATFORM_DBA_URL"]) as connection:
        owner = connection.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'pacs'")
        assert owner.fetchone() == ("pacs_owner",)
        carried = connection.execute("SELECT count(*) > 100 FROM pacs.property WHERE extra ? 'situs_city'")
        assert carried.fetchone() == (True,)


@pytest.mark.slow
def test_all_four_phases_with_a_rehearsal_of_the_dag(yakima: Reader) -> None:
    for page in PHASES[:3]:
        followed(yakima, page)
    production = followed(yakima, PHASES[3], slow=True)
    assert "No data found" in production
    assert "pacs_yakima_wa_approvals" in production
    county = Path(yakima.values["AIRFLOW__PACS__COUNTIES_PATH"]) / "yakima_wa.yaml"
    county.write_text(county.read_text("utf-8") + "\nrealtime:\n  enabled: true\n", "utf-8")
    assert "pacs_yakima_wa_realtime" in followed(yakima, PHASES[5], slow=True)
    with psycopg.connect(yakima.values["PLATFORM_DBA_URL"]) as connection:
        run = "SELECT state FROM pacs_ops.sync_run ORDER BY started_at DESC LIMIT 1"
        assert connection.execute(run).fetchone() == ("succeeded",)


def test_the_wheel_is_where_the_guide_says(tmp_path: Path) -> None:
    """Case F1: `make wheel` gives the file that the next line installs."""
    (block,) = (block for block in blocks(FIRST_HOUR) if block.kind == "install")
    make, install = block.text.splitlines()
    assert make == "make wheel"
    wheel = install.removeprefix("pip install ")
    (ROOT / wheel).unlink(missing_ok=True)
    subprocess.run(make.split(), cwd=ROOT, check=True, capture_output=True)
    pip = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--target", str(tmp_path / "there")]
    subprocess.run([*pip, str(ROOT / wheel)], check=True, capture_output=True)
    shipped = tmp_path / "there" / "airflow_provider_pacs" / "docs"
    for page in (
        "guide/first-hour.md",
        "architecture.md",
        "reference/domain.md",
        "reference/tsql/04_rowversion.sql",
    ):
        assert (shipped / page).is_file(), f"{page} is cited and does not ship"
    assert wheel.startswith("dist/")
    assert wheel in (ROOT / "README.md").read_text("utf-8")


def test_every_page_is_followed() -> None:
    """A page that no test follows would rot."""
    with_commands = {page for page in GUIDE.glob("*.md") if list(blocks(page))}
    assert with_commands == {FIRST_HOUR, *PHASES}


@pytest.mark.parametrize("page", [FIRST_HOUR, *PHASES], ids=lambda page: page.name)
def test_examples_of_a_county_file_load(page: Path, tmp_path: Path) -> None:
    import re

    for number, example in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ):
        file = tmp_path / f"kittitas{number}_wa.yaml"
        file.write_text(yaml.safe_dump({"fips": "53037", **yaml.safe_load(example)}), "utf-8")
        load_county(file)


def test_a_placeholder_is_filled_and_everything_else_is_left() -> None:
    text = "export A='x y'\nexport B=2\necho export A=3\n"
    assert filled(text, {"A": "o'brien"}) == "export A='o'\"'\"'brien'\nexport B=2\necho export A=3\n"


def test_a_block_in_a_list_is_taken_out_of_its_indent() -> None:
    taken = [block for page in [FIRST_HOUR, *PHASES] for block in blocks(page)]
    assert all(isinstance(block, Block) and not block.text.startswith(" ") for block in taken)
    assert any("airflow connections add terrafusion" in block.text for block in taken)
