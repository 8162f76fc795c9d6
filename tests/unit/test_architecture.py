"""The rules of the architecture that a machine can check.

The reasons are in airflow_provider_pacs/docs/adr/0001-architecture.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_pacs"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
DRAWERS = re.compile(r"(^|_)(utils?|helpers?|managers?|base|common|misc)$")
ALLOWED_DRAWERS = {
    "airflow_provider_pacs/operators/base.py",
    "airflow_provider_pacs/sync/target/postgres/base.py",
}
LOCKS = (
    "uv.lock",
    "pylock*.toml",
    "poetry.lock",
    "Pipfile.lock",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
)


def tool(*command: str) -> None:
    """Runs one tool of the environment at the root and shows its words only where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_a_fresh_python(code: str) -> str:
    """What `code` prints in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.lint
def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


@pytest.mark.lint
def test_ruff_has_nothing_to_say() -> None:
    tool("ruff", "check", ".")


@pytest.mark.lint
def test_the_code_is_formatted() -> None:
    tool("ruff", "format", "--check", ".")


@pytest.mark.lint
def test_types_are_strict() -> None:
    tool("mypy")


@pytest.mark.filterwarnings("default")
def test_modules_stay_readable() -> None:
    """Over 450 lines is a warning, not a failure: one concern of 500 lines beats two halves; 600 are two concerns."""
    lines = {module: len((ROOT / module).read_text("utf-8").splitlines()) for module in MODULES}
    for module, count in lines.items():
        if count > 450:
            warnings.warn(f"{module} has {count} lines: is it one concern?", stacklevel=1)
    assert [module for module, count in lines.items() if count > 600] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_named_after_what_it_does(module: str) -> None:
    path = Path(module)
    assert module in ALLOWED_DRAWERS or not any(
        DRAWERS.search(part) for part in (*path.parent.parts, path.stem)
    )


def test_the_engine_runs_without_airflow() -> None:
    in_a_fresh_python("import sys; sys.modules['airflow'] = None; import airflow_provider_pacs.sync.steps")


def test_the_command_line_runs_without_airflow() -> None:
    in_a_fresh_python("import sys; sys.modules['airflow'] = None; import airflow_provider_pacs.cli")


@pytest.mark.parametrize("module", ["airflow_provider_pacs", "airflow_provider_pacs.get_provider_info"])
def test_importing_the_provider_is_light(module: str) -> None:
    """Airflow imports these in every process it starts."""
    heavy = (
        "{'airflow', 'great_expectations', 'pandas', 'pyarrow', 'pyodbc', 'arrow_odbc', 'psycopg', "
        "'sqlalchemy'}"
    )
    assert in_a_fresh_python(f"import sys, {module}; print(*sorted({heavy} & sys.modules.keys()))") == ""


@pytest.mark.parametrize("line", (ROOT / "constraints.txt").read_text("utf-8").splitlines())
def test_a_constraint_is_one_version_and_no_address(line: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][\w.]*( ; [^@]+)?", line)
    assert "/" not in line


def test_no_lock_file_with_addresses_is_tracked() -> None:
    names = [*LOCKS, *(f"**/{lock}" for lock in LOCKS)]
    tracked = subprocess.run(
        ["git", "ls-files", "--", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    texts = {name: (ROOT / name).read_text("utf-8") for name in tracked.stdout.split()}
    assert [name for name, text in texts.items() if '"resolved"' in text or "registry" in text] == []
