"""docs/correctness.md says which test covers which case and where it ran; these tests keep it true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import cases
from tests.cases import Case, Covering

INTEGRATION = cases.TESTS / "integration"


def test_the_document_is_what_the_tests_say() -> None:
    text, _ = cases.document()
    assert text == cases.DOCUMENT.read_text("utf-8"), "make cases"


def test_every_case_is_covered_or_explained() -> None:
    _, wrong = cases.document()
    assert not wrong


def test_the_catalogue_is_whole() -> None:
    """128 cases, each once and in order; of those that the product's own part covers, what is left out is
    named one by one.
    """
    _, groups = cases.catalogue()
    listed = [case for cases_ in groups.values() for case in cases_]
    assert [case.number for case in listed] == list(range(1, 129))
    owed = {*range(1, 85), *range(104, 129)} - {126, 127}
    later = {32, 51, 52, 53, 72, 76, 77}
    assert {case.number for case in listed if case.never or case.later} & owed <= later | {44, 74, 119, 128}


def test_the_field_cases_are_whole() -> None:
    """Each letter's cases, each once and in order."""
    listed = [case.number for group in cases.field_catalogue().values() for case in group]
    counts = {"C": 23, "D": 16, "E": 12, "F": 13}
    assert listed == [
        f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)
    ]


def test_an_explanation_goes_once_a_test_names_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "TESTS", tmp_path)
    file = tmp_path / cases.OPEN_CASES
    file.write_text("# why\nC1: later\nC10: later\nC2: {part: half of it}\nD1: later\n", "utf-8")
    covering = [Covering("test_x.py::test_a", ("C1", "C2", 10), ("model",), False)]
    assert cases.outdated(cases.explanations(), covering) == ["C1"]
    cases.forget(["C1"])
    assert file.read_text("utf-8") == "# why\nC10: later\nC2: {part: half of it}\nD1: later\n"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12", (12,)),
        ("C3", ("C3",)),
        ("28, C8 and D1", (28, "C8", "D1")),
        ("C9 to C11, 12", ("C9", "C10", "C11", 12)),
        ("E1 to 3", ("E1", "E2", "E3")),
        ("1, 5, 19", (1, 5, 19)),
        ("13 to 16, 57", (13, 14, 15, 16, 57)),
        ("4, 6 and 9 to 10", (4, 6, 9, 10)),
    ],
)
def test_a_list_of_cases(text: str, numbers: tuple[cases.CaseId, ...]) -> None:
    assert cases.expand(text) == numbers


def test_what_is_wrong_is_said() -> None:
    groups = {
        "A": [
            Case(1, "one"),
            Case(2, "two", later="the feed"),
            Case(3, "three", never="no such thing"),
            Case(4, "four"),
        ],
        "C": [Case("C1", "one"), Case("C2", "two", later="soon"), Case("C3", "three")],
    }
    covering = [Covering("test_x.py::test_a", (1, 3, 9, "C3", "C9"), ("model",), False)]
    wrong = cases.faults(groups, covering, ["test_x.py::test_b"])
    assert [line.split()[0:3] for line in wrong] == [
        ["test_x.py::test_a", "names", "case"],
        ["test_x.py::test_a", "names", "case"],
        ["test_x.py::test_b:", "write", "`Case"],
        ["case", "3", "does"],
        ["case", "4", "(four)"],
        ["case", "C1", "(one)"],
    ]


def test_a_test_is_read_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "TESTS", tmp_path)
    monkeypatch.setattr(cases, "ROOT", tmp_path)
    file = tmp_path / "test_x.py"
    file.write_text(
        '"""Of a module.\n\nCases 7 to 8: all of it.\n"""\nimport no_such_module\n\n'
        "@pytest.fixture\ndef made(): return new_engine()\n\n"
        '@pytest.mark.slow\ndef test_one(made):\n    """Case 1: one."""\n\n'
        'def test_four(made):\n    """Cases 2, C3: both."""\n\n'
        'def test_three():\n    """As case C3 has it."""\n\n'
        'def test_whole_kind():\n    """Case E1, as its whole\n    kind: all of it."""\n\n'
        'def test_bare():\n    """Case D11."""\n\n'
        'def test_sentence():\n    """Case E1 is a sentence. It goes on: like this."""\n\n'
        'def test_two(mssql):\n    """As in case 3."""\n    mssql.only_the_sandbox("x")\n\n'
        'def helps():\n    """Case 5: not a test."""\n'
    )
    (tmp_path / "conftest.py").write_text("def mssql():\n    with running_server() as server: yield server\n")
    assert list(cases.coverings([file])) == [
        Covering("test_x.py::test_one", (1, 7, 8), ("sandbox", "genuine server"), True),
        Covering("test_x.py::test_four", (2, 7, 8, "C3"), ("sandbox", "genuine server"), False),
        Covering("test_x.py::test_three", (7, 8), ("model",), False),
        Covering("test_x.py::test_whole_kind", (7, 8, "E1"), ("model",), False),
        Covering("test_x.py::test_bare", (7, 8, "D11"), ("model",), False),
        Covering("test_x.py::test_sentence", (7, 8), ("model",), False),
        Covering("test_x.py::test_two", (7, 8), ("wire",), False),
    ]
    assert cases.misspelled([file]) == [
        "test_x.py::test_three",
        "test_x.py::test_sentence",
        "test_x.py::test_two",
    ]


@pytest.mark.parametrize(
    ("file", "test", "places"),
    [
        (INTEGRATION / "test_windows.py", "test_a_late_commit", ("sandbox", "PostgreSQL", "genuine server")),
        (
            INTEGRATION / "test_types_to_postgres.py",
            "test_every_type_arrives_as_its_text_or_with_a_reason",
            ("wire", "PostgreSQL", "genuine server"),
        ),
        (
            INTEGRATION / "test_faults_and_clock.py",
            "test_an_injected_deadlock_rolls_the_transaction_back",
            ("wire",),
        ),
        (cases.TESTS / "fault" / "test_source.py", "*", ("wire", "PostgreSQL")),
        (
            cases.TESTS / "contract" / "test_emitted_tsql.py",
            "test_what_a_builder_makes_is_one_select",
            ("parser",),
        ),
        (cases.TESTS / "unit" / "test_mapping.py", "test_nanoseconds_go_down", ("model",)),
    ],
)
def test_where_a_test_runs(file: Path, test: str, places: tuple[str, ...]) -> None:
    covering = [each for each in cases.coverings([file]) if test == "*"]
    assert (
        {each.places for each in covering} == {places} if covering else cases.places_of(file, test) == places
    )
