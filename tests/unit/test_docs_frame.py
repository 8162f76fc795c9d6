"""What stands around the code: licence, workflows, hooks, templates."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def matrix(job: str) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = CI[job]["strategy"]["matrix"]
    return axes


def recipe(target: str) -> list[str]:
    """The commands of a make target, without the silencing `@`."""
    text = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert text is not None
    return [line.lstrip("\t@") for line in text[1].splitlines()]


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_to_a_commit_and_its_release_named(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", workflow.read_text("utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.search(r"# v\d+\.\d+\.\d+$", comment), f"{action} does not say which release it is"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_ends(workflow: Path) -> None:
    read = yaml.safe_load(workflow.read_text("utf-8"))
    assert read["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 180 for job in read["jobs"].values())


def test_the_matrix_covers_what_the_package_says_it_supports() -> None:
    said = {
        match[1]
        for line in PROJECT["classifiers"]
        if (match := re.search(r"Python :: (3\.\d+)$", line)) is not None
    }
    assert set(matrix("check")["python"]) == said
    (lowest,) = (
        match[1]
        for line in PROJECT["dependencies"]
        if (match := re.fullmatch(r"apache-airflow>=([0-9.]+).*", line))
    )
    (newest,) = re.findall(
        r"^apache-airflow==(\d+\.\d+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE
    )
    assert matrix("airflow")["airflow"] == [lowest, newest]
    assert {version.split(".")[0] for version in matrix("postgres")["postgres"]} == {"15", "18"}
    assert any(step.get("run") == ".ci/run" for step in CI["full"]["steps"])


def test_hooks_are_local_and_run_what_make_check_runs() -> None:
    assert [repository["repo"] for repository in HOOKS] == ["local"], "a hook would be downloaded"
    hooks = [hook["entry"] for hook in HOOKS[0]["hooks"]]
    assert all(hook["language"] == "system" for hook in HOOKS[0]["hooks"])
    python = {"$(PYTHON_BIN)": ".venv/bin/python", " $(ARGS)": "", '"': ""}
    for command in recipe("check"):
        for name, value in python.items():
            command = command.replace(name, value)
        wanted = command.removesuffix(" .")
        assert any(hook.replace('"', "").replace(" -q", "") == wanted for hook in hooks), wanted


def test_an_issue_form_asks_for_no_data() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {form.name for form in forms} == {"bug.yml", "feature.yml", "config.yml"}
    assert "Never paste rows" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")


def test_no_file_names_a_registry() -> None:
    addresses = re.compile(r"https?://[^\s)\"']*(?:pypi|pythonhosted|simple|npmjs|/api/npm)[^\s)\"']*")
    texts = [
        *WORKFLOWS,
        *ROOT.glob("*.md"),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "Dockerfile",
        ROOT / "docker-compose.yaml",
    ]
    assert {
        path.name: matches for path in texts if (matches := addresses.findall(path.read_text("utf-8")))
    } == {}
