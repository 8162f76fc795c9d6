"""Whatever is wrong with a county, `pacs` says so in one line that names the thing and the remedy, and
nothing is published.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from bad_counties import (
    FILES,
    GUARDED,
    NO_ROWS,
    ODD_NAMES,
    REFUSED,
    Bad,
    World,
    guard_role,
    published,
    target_url,
    write_county,
)
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world

from airflow_provider_pacs.cli import main

pytestmark = pytest.mark.usefixtures("trusting", "without_waiting")


@pytest.fixture
def target(pg_url: str) -> dict[str, str]:
    guard_role(pg_url)
    return {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(pg_url).items() if value}


def arguments(folder: Path, source: str, target: str) -> list[str]:
    return ["benton_wa", "--counties", str(folder), "--source-url", source, "--target-url", target]


def line_of(captured: str) -> str:
    """The last line of standard error, which must be the only one that is an error."""
    lines = [
        line
        for line in captured.splitlines()
        if line.startswith("PACS-") and not line.endswith("Trying again.")
    ]
    assert "Traceback" not in captured
    return lines[-1]


@pytest.mark.parametrize("bad", [*REFUSED, *FILES], ids=str)
def test_sync_says_what_is_wrong_and_publishes_nothing(
    bad: Bad,
    world: World,
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_county(tmp_path, bad.settings, twice=bad.name == "duplicate county")
    status = main(["sync", *arguments(folder, bad.source(world).url, target_url(target | bad.target))])
    line = line_of(capsys.readouterr().err)
    assert line.startswith(f"{bad.code}: ")
    assert all(word in line for word in (*bad.words, "Remedy: ")), line
    assert (status, published(pg_url)) == (bad.status, 0)


@pytest.mark.parametrize("bad", [bad for bad in REFUSED if bad.code != "PACS-004"], ids=str)
def test_check_finds_it_before_a_sync_and_says_it_in_json(
    bad: Bad,
    world: World,
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_county(tmp_path, bad.settings)
    assert (
        main(["check", "--json", *arguments(folder, bad.source(world).url, target_url(target | bad.target))])
        == 1
    )
    report = json.loads(capsys.readouterr().out)
    (failed,) = [finding for finding in report["findings"] if finding["state"] == "fail"]
    assert failed["text"].startswith(f"{bad.code}: ")
    assert all(word in f"{failed['text']} {failed['remedy']}" for word in bad.words)
    assert failed["remedy"]
    assert report["state"] == "fail"


def test_the_process_itself_ends_with_the_status_and_one_line(
    world: World, pg_url: str, tmp_path: Path
) -> None:
    bad = REFUSED[0]
    command = [sys.executable, "-m", "airflow_provider_pacs.cli", "sync"]
    folder = write_county(tmp_path, bad.settings)
    done = subprocess.run(
        [*command, *arguments(folder, bad.source(world).url, pg_url)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("PACS-002: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["sync"], ["sync", "benton_wa", "--no-such-flag"], ["synk"]])
def test_a_wrong_command_line_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "usage: pacs" in capsys.readouterr().err


def test_a_county_that_is_nowhere_names_those_that_are(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_county(tmp_path, {"county": "yakima_wa"})
    assert main(["sync", *arguments(folder, world.source.url, pg_url)]) == 2
    line = line_of(capsys.readouterr().err)
    assert all(word in line for word in ("'benton_wa'", "yakima_wa", "Remedy: "))


def test_a_role_without_rights_in_the_target_is_told_to_be_granted_them(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody_yet")
        connection.execute("CREATE ROLE nobody_yet LOGIN")
    try:
        parts = urlsplit(pg_url)
        url = parts._replace(netloc="nobody_yet@").geturl()
        assert main(["sync", *arguments(write_county(tmp_path, {}), world.source.url, url)]) == 2
        line = line_of(capsys.readouterr().err)
        assert line.startswith("PACS-003: ")
        assert "42501" in line
        assert "Remedy: Grant" in line
    finally:
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute("DROP ROLE nobody_yet")


def test_odd_names_work_by_one_yaml_and_a_source_without_rows_deletes_nothing(
    world: World,
    pg_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = arguments(write_county(tmp_path / "odd", ODD_NAMES), world.source.url, pg_url)
    assert main(["check", *odd]) == 0
    assert main(["sync", *odd]) == 0
    assert published(pg_url) == 199
    assert "clean" in capsys.readouterr().out

    emptied = arguments(write_county(tmp_path / "empty", NO_ROWS), world.source.url, pg_url)
    assert main(["sync", *emptied]) == 0, "what waits for a person is no failure"
    said = capsys.readouterr()
    lines = [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    ]  # pytest holds what goes to standard error
    (line,) = [line for line in lines if "delete guard" in line]
    assert all(word in line for word in ("benton_wa", "property", "199", "pacs approve benton_wa"))
    assert "pending" in said.out
    with psycopg.connect(pg_url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pacs.property WHERE _deleted_at IS NULL"
        ).fetchone() == (199,)
        assert connection.execute(
            "SELECT row_count FROM pacs_ops.pending_delete WHERE state = 'pending'"
        ).fetchall() == [(199,)]

    assert main(["sync", *odd]) == 0
    assert published(pg_url) == 199
    assert GUARDED not in capsys.readouterr().out
