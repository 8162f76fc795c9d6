"""Case F12: a mistake on the command line is shown to whoever made it, and is no error of the county: the
target is not even opened.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_pacs.cli import main

WINDOW = ["--from", "2026-01-01", "--to", "2026-02-01"]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")

    def refuse(*arguments: object) -> None:
        raise AssertionError("a mistake on the command line must not reach the county's target")

    monkeypatch.setattr("airflow_provider_pacs.cli.backfill.open_target", refuse)
    monkeypatch.setattr("airflow_provider_pacs.cli.approve.open_target", refuse)
    return ["benton_wa", "--counties", str(tmp_path)]


def test_an_unknown_entity_is_refused_before_anything_is_opened(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backfill", *words, "--entity", "ownr", *WINDOW]) == 2
    assert "does not synchronise 'ownr'" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["yesterday", "2026-02-30", "31.01.2026", "2026-01-31 25:00", "", "2026"])
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_text_that_is_no_moment_is_refused(
    option: str, moment: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["backfill", *words, "--entity", "property", *WINDOW, option, moment])
    assert left.value.code == 2
    assert "is no moment" in capsys.readouterr().err


@pytest.mark.parametrize(
    "moment",
    ["2026-01-31", "2026-01-31 06:00", "2026-01-31T06:00:00", "2026-01-31 06:00:00.1234567",
     "2026-01-31 06:00:00.12 -08:00"],
)  # fmt: skip
def test_what_sql_server_reads_as_a_moment_goes_on(moment: str, words: list[str]) -> None:
    with pytest.raises(AssertionError, match="must not reach"):
        main(
            ["backfill", *words, "--entity", "property", "--from", moment, "--to", moment,
             "--source-url", "mssql://u:p@h/d"]
        )  # fmt: skip


def test_a_decision_without_a_digest_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve", *words, "7"]) == 2
    assert "needs the set's digest" in capsys.readouterr().err
