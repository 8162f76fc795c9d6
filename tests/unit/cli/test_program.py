"""`pacs` as a shell user meets it: help, version, completion, exit statuses, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from airflow_provider_pacs.cli import Invocation, main
from airflow_provider_pacs.cli.program import COMMANDS, program

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "help"
NAMES = [name for group in COMMANDS.values() for name in group]
CONTRACT = {
    "check", "grants", "init", "sync", "reconcile", "backfill", "approve", "quarantine", "audit", "migrate",
    "preview", "sandbox", "completion",
}  # fmt: skip


def pacs(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`pacs` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "airflow_provider_pacs.cli", *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_command_of_the_contract_is_there() -> None:
    assert set(NAMES) >= CONTRACT
    context = click.Context(program, info_name="pacs")
    assert [program.get_command(context, name).name for name in NAMES] == NAMES  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["pacs", *(name for name in NAMES if name != "sandbox")])
def test_the_help_is_the_golden_text(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PACS_WRITE_GOLDEN=1 writes the texts anew: look at the difference before it is committed."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("getpass.getuser", lambda: "somebody")
    assert main([*([] if name == "pacs" else [name]), "--help"]) == 0
    text = capsys.readouterr().out
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("PACS_WRITE_GOLDEN"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def test_help_lists_the_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Case F12: sixteen commands in one list tell nobody where to begin."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"{group}:") for group in COMMANDS]
    assert places == sorted(places)
    assert text.index("Set up a county:") < text.index("  check ") < text.index("Keep it in step:")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pacs {version('airflow-provider-pacs')}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: pacs"),
        (["synk"], "No such command 'synk'"),
        (["sync"], "Missing argument 'COUNTY'"),
        (["sync", "benton_wa", "--no-such-option"], "No such option"),
        (["backfill", "benton_wa"], "Missing option '--entity'"),
        (["audit", "benton_wa", "--limit", "many"], "not a valid integer"),
        (["check", "benton_wa", "--source-url", "a", "--source-conn-id", "b"], "name the source twice"),
        (["check", "benton_wa", "--source-url-file", "-", "--target-url-file", "-"], "Only one of"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_shows_the_usage(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: pacs" in said.err
    assert says in said.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_PACS_COMPLETE" in script
    assert f"{shell}_complete" in script


def test_the_shell_is_answered_with_commands_options_and_counties(tmp_path: Path) -> None:
    (tmp_path / "benton_wa.yaml").touch()
    (tmp_path / "chelan_wa.yml").touch()

    def complete(words: str, position: int) -> list[str]:
        done = pacs(
            _PACS_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(position),
            AIRFLOW__PACS__COUNTIES_PATH=str(tmp_path),
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("pacs rec", 1) == ["reconcile"]
    assert complete("pacs sync ", 2) == ["benton_wa", "chelan_wa"]
    assert complete("pacs sync c", 2) == ["chelan_wa"]
    assert "--full" in complete("pacs sync --f", 2)


def test_a_reader_that_leaves_ends_nothing_in_a_traceback(tmp_path: Path) -> None:
    """Case F12: `pacs ... | head` ends without a traceback."""
    names = "\n".join(f"      c{number}: c{number}" for number in range(150))
    county = f"fips: '53005'\ntables:\n  property:\n    extra:\n{names}\n"
    (tmp_path / "benton_wa.yaml").write_text(county, "utf-8")
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for words in (["grants", "benton_wa", "--counties", str(tmp_path)], ["--help"], ["completion", "bash"]):
        with subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_pacs.cli", *words],
            cwd=ROOT,
            env=buffered,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()  # nobody reads
            errors = process.stderr.read()
            assert (process.wait(timeout=60), errors) == (0, "")


def test_starting_imports_nothing_heavy() -> None:
    """Help, version, completion and a wrong command line must not wait for drivers and data frames."""
    heavy = (
        "{'airflow', 'great_expectations', 'pyarrow', 'pyodbc', 'arrow_odbc', 'psycopg', 'sqlalchemy', "
        "'pydantic', 'numpy', 'pandas', 'yaml'}"
    )
    code = (
        "import sys\nfrom airflow_provider_pacs.cli import main\nmain(['--help'])\n"
        f"print(*sorted({heavy} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "\n"


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Invocation().color is None
    monkeypatch.setenv("NO_COLOR", "1")
    assert Invocation().color is False
    text = click.style("FAIL", fg="red")
    assert click.unstyle(text) == "FAIL" != text


def test_a_report_has_colours_that_a_pipe_does_not_get(capsys: pytest.CaptureFixture[str]) -> None:
    from datetime import UTC, datetime

    from airflow_provider_pacs.cli.check import lines
    from airflow_provider_pacs.sync.preflight import Finding, PreflightReport

    finding = Finding("login", "login", "fail", "No.", "Do.")
    report = PreflightReport("benton_wa", datetime(2026, 1, 1, tzinfo=UTC), True, (finding,))
    styled = lines(report, width=80, colors=True)
    assert "\x1b[31m" in styled[0]
    assert [click.unstyle(line) for line in styled] == lines(report, width=80)
    click.echo("\n".join(styled))
    assert "\x1b" not in capsys.readouterr().out
