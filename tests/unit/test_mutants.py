"""The mutants: a text is found whatever its line breaks, and every text and every test is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.match import StaleMutantError, mutated, places
from tests.mutants.run import stale
from tests.mutants.table import MUTANTS

CODE = """
def guard(rows):  # a note, "quoted"
    return execute(
        f"SELECT count(*) FROM {rows} "  # noqa: S608
        "WHERE state = 'open' AND "
        f"late IS NULL",
        (rows,),
    )
"""


def python_file(folder: Path) -> Path:
    file = folder / "code.py"
    file.write_text(CODE, "utf-8")
    return file


@pytest.mark.parametrize(
    "text",
    [
        "FROM {rows} WHERE state = 'open'",
        "state = 'open' AND late IS NULL",
        'AND late IS NULL", (rows))',
        "def guard(rows): return execute(f",
        "state='open'AND\n  late   IS NULL",
    ],
)
def test_a_text_is_found_whatever_its_line_breaks(text: str) -> None:
    """White space, comments, pieces of strings and last commas count for nothing."""
    assert len(places(CODE, text, is_python=True)) == 1


def test_what_is_another_text_is_not_found() -> None:
    assert places(CODE, "state = 'closed'", is_python=True) == []
    assert places(CODE, "a note", is_python=True) == []


def test_a_replacement_may_reach_over_pieces_of_a_string(tmp_path: Path) -> None:
    changed = mutated(python_file(tmp_path), "WHERE state = 'open' AND late IS NULL", "WHERE late IS NULL")
    assert '"WHERE late IS NULL",\n        (rows,),' in changed


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("rows", "them", "3 times"),
        ("nothing like it", "", "0 times"),
        ("return execute(", "return execute((", "no Python"),
        ("def guard(rows):", "def guard(rows ) :", "the same program"),
    ],
)
def test_a_mutant_that_means_nothing_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(StaleMutantError, match=why):
        mutated(python_file(tmp_path), old, new)


def test_every_mutant_finds_its_text_and_its_tests() -> None:
    """The code moved on: the mutant must follow, before a night of mutants says so."""
    assert stale(MUTANTS) == []
