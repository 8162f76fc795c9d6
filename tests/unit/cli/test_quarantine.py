"""`pacs quarantine` says what a rule asks for, beside its id."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import load_suite, rule_text
from airflow_provider_pacs.sync.records import QuarantinedRow


class Target:
    """Two rows in quarantine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def approvals(self) -> Self:
        return self

    def quarantine(self, county_id: str) -> list[QuarantinedRow]:
        seen, run = datetime(2026, 1, 2, 3, 4, tzinfo=UTC), UUID(int=0)
        return [
            QuarantinedRow("value", "k1", ["F3.30", "MAP.tax_year"], 1, seen, seen, run),
            QuarantinedRow("value", "k2", ["GONE.1"], 1, seen, seen, run),
        ]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")
    monkeypatch.setattr("airflow_provider_pacs.cli.quarantine.open_target", lambda *arguments: Target())
    return ["quarantine", "benton_wa", "--counties", str(tmp_path)]


def test_each_rule_has_its_text(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Case F12: rule ids without their text send the reader to the source code."""
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "value k1: F3.30 (The tax year lies between 1980 and next year); MAP.tax_year (tax_year can be read as "
        "integer) (since 2026-01-02 03:04)",
        "value k2: GONE.1 (since 2026-01-02 03:04)",
    ]


def test_the_document_has_the_texts_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["rule_texts"]["F3.30"] == "The tax year lies between 1980 and next year"
    assert (first["rules"], second["rule_texts"]) == (["F3.30", "MAP.tax_year"], {"GONE.1": ""})


def test_every_rule_of_every_suite_has_a_text() -> None:
    for entity in load_entities().values():
        for rule in load_suite(entity):
            assert rule_text(entity.name, rule.id) == rule.title != ""
        for column in entity.mapped_names:
            assert rule_text(entity.name, f"MAP.{column}")
    assert rule_text("no_such_entity", "F1.1") == rule_text("value", "MAP.no_such_column") == ""
