"""`make audit`, the bill of materials and the licences: each check can fail (issue 14, part 7)."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / ".ci" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


AUDIT = script("audit")


def repository(folder: Path, text: str) -> Path:
    (folder / "settings.txt").write_text(text, "utf-8")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE" + " KEY-----\n" + "A" * 64,
        "-----BEGIN RSA PRIVATE" + " KEY-----\n" + "A" * 64,
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "token: ghp_" + "a1B2" * 9,
        "url = postgresql://sync:" + "Tr0ub4dor3xyzzy@db.county.gov/platform",
        "AccountKey=" + "aB3/" * 21 + "==",
        "jwt eyJ" + "hbGciOiJIUzI1NiJ9abcdef" + ".eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0abc" + "." + "x" * 40,
    ],
)
def test_a_secret_in_a_committed_file_is_seen_and_not_repeated(tmp_path: Path, text: str) -> None:
    (fault,) = AUDIT.secrets(repository(tmp_path, f"first line\n{text}\n"))
    assert fault.startswith("settings.txt:2: looks like ")
    assert text[-12:] not in fault


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:password@host:5432/database",
        "postgresql://u:s3cr3t-of-somebody@db.example/x",
        "-----BEGIN PRIVATE" + " KEY-----",
        "postgresql://sync:${POSTGRES_PASSWORD}@db.county.gov/x",
    ],
)
def test_what_only_looks_like_one_is_not(tmp_path: Path, text: str) -> None:
    assert list(AUDIT.secrets(repository(tmp_path, text))) == []


def answered(*said: dict[str, object]) -> Callable[[Path], str]:
    return lambda listed: json.dumps({"dependencies": list(said), "fixes": []})


def test_a_known_fault_is_named_with_what_helps() -> None:
    fault = {"id": "PYSEC-1", "fix_versions": ["14.0.1"], "aliases": ["CVE-1"], "description": "x"}
    said = answered(
        {"name": "PyArrow", "version": "14.0.0", "vulns": [fault]}, {"name": "pydantic", "vulns": []}
    )
    advisories = AUDIT.known_faults({"pyarrow": "14.0.0", "pydantic": "2.12"}, said)
    assert advisories.faults == ("pyarrow 14.0.0: PYSEC-1, CVE-1; mended in 14.0.1",)
    assert (advisories.asked, advisories.not_asked) == (2, ())


@pytest.mark.parametrize(
    "ask",
    [
        answered({"name": "pyarrow", "skip_reason": "Dependency not found on PyPI"}),
        answered(),
        lambda listed: "",
    ],
)
def test_a_package_that_could_not_be_asked_about_is_not_free_of_faults(ask: Callable[[Path], str]) -> None:
    """pip-audit itself says "No known vulnerabilities found" and ends with 0 then."""
    advisories = AUDIT.known_faults({"pyarrow": "14.0.0"}, ask)
    assert (advisories.faults, advisories.asked, len(advisories.not_asked)) == ((), 0, 1)


@pytest.mark.parametrize(
    ("faults", "asked", "not_asked", "status", "word"),
    [
        ((), 1, (), 0, "known faults: none"),
        (("pyarrow 14: X",), 1, (), 1, "known faults: 1"),
        ((), 0, ("pyarrow 14: no network",), 3, "known faults: not checked"),
        (("pyarrow 14: X",), 1, ("numpy 2: no network",), 1, "NOT CHECKED: 1 packages"),
    ],
)
def test_the_exit_status_says_whether_the_faults_were_asked_for(
    faults: tuple[str, ...],
    asked: int,
    not_asked: tuple[str, ...],
    status: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(AUDIT, "known_faults", lambda *_: AUDIT.Advisories(faults, asked, not_asked))
    for check in ("unmet", "altered", "secrets", "unbounded", "old_bill"):
        monkeypatch.setattr(AUDIT, check, lambda *_: iter(()))
    monkeypatch.setattr(sys, "argv", ["audit"])
    assert AUDIT.main() == status
    assert word in capsys.readouterr().out


def test_no_advisory_is_written_down_here() -> None:
    """A list kept by hand is old the day after; only a database that is asked can know."""
    assert not (ROOT / ".ci" / "advisories.toml").exists()
    assert "CVE-" not in (ROOT / ".ci" / "audit").read_text("utf-8")


def test_every_requirement_is_bounded_and_met() -> None:
    assert list(AUDIT.unbounded()) == []
    unmet = list(AUDIT.unmet({"pyarrow": "99.0"}))
    assert any("pyarrow 99.0" in line for line in unmet)
    assert any("is not installed" in line for line in unmet)


def test_the_repository_passes_its_own_audit() -> None:
    assert list(AUDIT.secrets()) == []


def test_the_bill_of_materials_is_what_would_be_written() -> None:
    subprocess.run([sys.executable, str(ROOT / ".ci" / "sbom"), "--check"], check=True)
    bill = json.loads((ROOT / "airflow_provider_pacs" / "docs" / "sbom.cdx.json").read_text("utf-8"))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert len(bill["components"]) == len(required)
    assert bill["specVersion"] == "1.6"


def test_licences_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    scripts = ROOT / "airflow_provider_pacs" / "monitor" / "static"
    assert "Apache License 2.0" in (scripts / "LICENSE").read_text("utf-8")
