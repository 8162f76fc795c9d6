"""`pacs init`: flags or questions become a county's file that loads; never a secret, never over a file that
is there.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sync.config import load_county

FULL = (
    "--name 'Ada County, ID' --fips 16001 --timezone America/Boise --profile generic --source-connection "
    "pacs_ada_id --target-connection terrafusion "
    "--host sql.ada.example --port 1434 --database pacs_oltp --read-only strict --reconcile-cron never"
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIRFLOW__PACS__COUNTIES_PATH", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


class Terminal(io.StringIO):
    """Somebody who types lines."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *lines: str) -> Terminal:
    asked = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr(sys, "stderr", asked)
    return asked


def test_a_county_of_washington_needs_no_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "benton_wa"]) == 0
    config = load_county(tmp_path / "counties" / "benton_wa.yaml")
    assert (config.fips, config.name, config.timezone) == (
        "53005",
        "Benton County, WA",
        "America/Los_Angeles",
    )
    assert (config.source.connection, config.source.read_only, config.target.connection) == (
        "pacs_benton_wa",
        "warn",
        "terrafusion",
    )
    assert (config.sync.cron, config.sync.reconcile_cron, config.sync.enable_cdc) == (
        "0 2 * * *",
        "30 4 * * 0",
        True,
    )
    said = capsys.readouterr().out
    assert (
        said.index("pacs grants benton_wa --target")
        < said.index("pacs check benton_wa")
        < said.index("pacs sync benton_wa")
    )


def test_every_setting_in_the_file_is_explained(tmp_path: Path) -> None:
    assert main(["init", "benton_wa"]) == 0
    lines = (tmp_path / "counties" / "benton_wa.yaml").read_text("utf-8").splitlines()
    settings = [
        line for line in lines if ":" in line and not line.lstrip().startswith("#") and not line.endswith(":")
    ]
    explained = [line.split(":")[0].strip() for line in settings if " # " in line]
    assert set(explained) == {
        "county",
        "fips",
        "name",
        "timezone",
        "connection",
        "profile",
        "read_only",
        "cron",
        "reconcile_cron",
        "entities",
        "enable_cdc",
    }


def test_a_joined_profile_is_told_where_its_own_tables_are_named(tmp_path: Path) -> None:
    """The comment showed `table` and `columns` of a single table, which such a profile refuses."""
    assert main(["init", "benton_wa", "--profile", "harris_pacs_9"]) == 0
    path = tmp_path / "counties" / "benton_wa.yaml"
    text = path.read_text("utf-8")
    assert "source.tables" in text
    assert "ParcelNumber" not in text


def test_flags_say_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    words = [
        "init",
        "ada_id",
        *shlex.split(FULL),
        "--cron",
        "15 3 * * 1-5",
        "--entities",
        "property,owner",
        "--mode",
        "owner=compare",
        "--compare-everything",
    ]
    assert main(words) == 0
    config = load_county(tmp_path / "counties" / "ada_id.yaml")
    assert (config.fips, config.timezone, config.source.read_only, config.sync.cron) == (
        "16001",
        "America/Boise",
        "strict",
        "15 3 * * 1-5",
    )
    assert (config.sync.reconcile_cron, config.sync.entities, config.sync.enable_cdc) == (
        None,
        ("property", "owner"),
        False,
    )
    assert config.tables["owner"].mode == "compare"
    said = capsys.readouterr().out
    assert (
        "airflow connections add pacs_ada_id --conn-type pacs --conn-host sql.ada.example --conn-port 1434 "
        "--conn-schema pacs_oltp" in said
    )
    assert "--conn-password" not in said


def test_without_a_terminal_what_has_no_default_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "ada_id", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == "ada_id: no answer for --fips, --timezone"
    assert not (tmp_path / "counties").exists()


def test_on_a_terminal_only_what_has_no_flag_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = at_a_terminal(monkeypatch, "", "16001", "America/Boise", "", "", "", "", "never", "", "strict")
    assert main(["init", "ada_id", "--name", "Ada"]) == 0
    assert sys.stdin.read() == ""  # ten questions, ten answers
    assert "The county's name" not in asked.getvalue()
    assert "Its port" not in asked.getvalue()  # no host was given
    config = load_county(tmp_path / "counties" / "ada_id.yaml")
    assert (config.name, config.fips, config.sync.cron, config.source.read_only) == (
        "Ada",
        "16001",
        None,
        "strict",
    )


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "benton_wa"]) == 0
    path = tmp_path / "counties" / "benton_wa.yaml"
    path.write_text("county: benton_wa\n", "utf-8")
    assert main(["init", "benton_wa"]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text("utf-8") == "county: benton_wa\n"
    assert main(["init", "benton_wa", "--force"]) == 0
    assert "terrafusion" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--fips", "5305"], "fips"),
        (["--timezone", "Mars/Olympus"], "'Mars/Olympus' is not an IANA time zone"),
        (["--cron", "at night"], "sync.cron"),
        (["--profile", "generik"], "did you mean 'generic'?"),
        (["--mode", "owner=guess"], "tables.owner"),
        (["--mode", "ownr=compare"], "did you mean 'owner'?"),
        (["--read-only", "maybe"], "source.read_only"),
        (["--entities", "property,ownr"], "unknown entity 'ownr'"),
        (["--source-connection", "pacs: {password: x}"], "source.connection"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(
    flags: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "benton_wa", *flags]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert "pacs-init-" not in said  # the draft's path says nothing to anybody
    assert list(tmp_path.rglob("*.yaml")) == []


@pytest.mark.parametrize(
    "name",
    [
        'x" target: {connection: evil}',
        "a: b # c",
        "'; --",
        "é § 地番",
        "{county}",
        "🏡",
    ],
)
def test_an_answer_stays_one_value(name: str, tmp_path: Path) -> None:
    assert main(["init", "benton_wa", "--name", name, "--host", "h\nevil: 1"]) == 0
    config = load_county(tmp_path / "counties" / "benton_wa.yaml")
    assert (config.name, config.target.connection) == (name, "terrafusion")


@pytest.mark.parametrize(
    "name", ['x"\ntarget: {connection: evil}', "line\nbreak", "a\u2028b\x85c", "nul\x00"]
)
def test_an_answer_of_more_than_one_line_writes_no_file(name: str, tmp_path: Path) -> None:
    """Case E5: a name is one line of text."""
    assert main(["init", "benton_wa", "--name", name]) == 2
    assert list(tmp_path.rglob("*.yaml")) == []


@pytest.mark.parametrize("county", ["../evil", "Benton", "a/b", ""])
def test_a_county_whose_name_is_no_slug_writes_no_file(county: str, tmp_path: Path) -> None:
    assert main(["init", county, "--fips", "53005", "--timezone", "America/Boise", "--state", "WA"]) == 2
    assert list(tmp_path.rglob("*.yaml")) == []
