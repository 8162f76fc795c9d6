"""Without the extra `sandbox` the command line says which one to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

PACKAGES = ("duckdb", "sqlglot", "cryptography")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from airflow_provider_pacs.cli import main\n"
        "sys.exit(main(['sandbox', 'serve']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert package in done.stderr
    assert "pip install 'airflow-provider-pacs[sandbox]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_the_other_commands_do_not_need_it(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from airflow_provider_pacs.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "usage: pacs" in done.stdout) == (0, True), done.stderr
