"""Every citation in code, tests and docs leads to a page and a place of the project's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "airflow_provider_pacs" / "docs"
REFERENCE = DOCS / "reference"
PAGES = {
    "domain.md": REFERENCE / "domain.md",
    "correctness.md": REFERENCE / "correctness-cases.md",
    "design.md": DOCS / "architecture.md",
}
"""What a citation calls a page, and the page."""
TEXTS = {".py", ".md", ".yaml", ".yml", ".sql", ".toml", ".ts", ".js", ""}
SKIPPED = {"build", "dist", "node_modules", "__pycache__"}

_PLACE = r"[A-G]?\d+(?:\.\d+)?|[A-G](?![\w.])"
_PLACES = rf"(?:{_PLACE})(?:(?:, | and | to |-)(?:{_PLACE}))*"
CITED_PAGE = re.compile(rf"(?<![/\w])(domain|correctness|design)\.md`? ({_PLACES})")
CITED_TSQL = re.compile(r"(?<![\w/])tsql/(\d\d(?:(?:, | to )\d\d)*)(?![\w.])")
CITED_DOC = re.compile(r"(?<![\w/.])((?:airflow_provider_pacs/)?docs/[\w/.-]+\.(?:md|sql))")
CITED_ADR = re.compile(r"\bADRs? (\d+)\b")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def texts() -> Iterator[Path]:
    """Every text of the project that a reader opens: code, tests, docs, DAGs and the files at the root."""
    for folder in ("airflow_provider_pacs", "tests", "dags", ".github", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in TEXTS and not SKIPPED & set(path.parts):
                yield path
    yield from (path for path in sorted(ROOT.glob("*")) if path.is_file() and path.suffix in TEXTS)


def words(path: Path) -> str:
    """The text with its lines joined: a citation may be wrapped, also behind a comment's mark."""
    return re.sub(r"\s*\n\s*(?:(?:#|--|//|\*) )?\s*", " ", path.read_text("utf-8"))


def expand(places: str) -> list[str]:
    """`G12-18, 24` -> G12 to G18 and G24; `A3 to A5` -> A3, A4, A5; `A8, A9` as they are."""
    out: list[str] = []
    letter = ""
    for separator, place in re.findall(rf"(, | and | to |-)?({_PLACE})", places):
        letter = place[0] if place[0].isalpha() else letter
        name = place if place[0].isalpha() else f"{letter}{place}"
        if separator in (" to ", "-") and name[1:].isdigit():
            first = int(out[-1][len(letter) :])
            out += [f"{letter}{number}" for number in range(first + 1, int(name[len(letter) :]) + 1)]
        else:
            out.append(name)
    return out


def has_place(page: Path, place: str) -> bool:
    """Whether the page has a heading, a table's row or a rule that bears this name; `F1.5` is a rule of section F1."""
    text = page.read_text("utf-8")
    section = re.escape(place)
    if re.search(rf"^(?:#+ |\| ){section}[. |]", text, re.MULTILINE):
        return True
    if "." not in place:
        return False
    group, number = place.split(".")
    match = re.search(rf"^#+ {re.escape(group)}\.? .*?(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return match is not None and re.search(rf"(?:^|[.;] ){number}\.? ", match[0], re.MULTILINE) is not None


def wrong_citations(path: Path) -> list[str]:
    """What of a file's citations leads nowhere."""
    text, out = words(path), []
    for page, places in CITED_PAGE.findall(text):
        out += [f"{page}.md {place}" for place in expand(places) if not has_place(PAGES[f"{page}.md"], place)]
    for numbers in CITED_TSQL.findall(text):
        out += [
            f"tsql/{n}"
            for n in re.findall(r"\d\d", numbers)
            if not list((REFERENCE / "tsql").glob(f"{n}_*.sql"))
        ]
    for name in CITED_DOC.findall(text):
        if not (ROOT / "airflow_provider_pacs" / name.removeprefix("airflow_provider_pacs/")).is_file():
            out.append(name)
    for number in CITED_ADR.findall(text):
        if len(list((DOCS / "adr").glob(f"{int(number):04}-*.md"))) != 1:
            out.append(f"ADR {number}")
    return out


def test_every_citation_leads_to_a_place_of_our_own() -> None:
    wrong = {
        path.relative_to(ROOT).as_posix(): cited
        for path in texts()
        if path != Path(__file__) and (cited := wrong_citations(path))
    }
    assert wrong == {}


def test_the_pages_are_cited_at_all() -> None:
    """Guards the guard: a pattern that matches nothing would pass."""
    pages: set[str] = set()
    for path in texts():
        pages |= {name for name, _ in CITED_PAGE.findall(words(path))}
    assert pages == {"domain", "correctness", "design"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("rows travel (domain.md G4)", []),
        ("rows travel (domain.md G31)", ["domain.md G31"]),
        ("(domain.md D4, G12-18, 24, 30)", []),
        ("(domain.md G29 to G32)", ["domain.md G31", "domain.md G32"]),
        ("rule F3.24 (domain.md F3.24 and F3.99)", ["domain.md F3.99"]),
        ("(correctness.md A9, design.md 3.7)", []),
        ("(design.md 3.5, 3.16; tsql/01, 02, 13)", ["design.md 3.16", "tsql/13"]),
        ("see docs/connections.md, docs/no_such.md and ADR 99", ["docs/no_such.md", "ADR 99"]),
        ("a citation\n    # that is wrapped: domain.md\n    # G77", ["domain.md G77"]),
    ],
)
def test_a_citation_that_leads_nowhere_is_noticed(text: str, wrong: list[str], tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(text, "utf-8")
    assert wrong_citations(file) == wrong


MARKDOWN = [path for path in texts() if path.suffix == ".md"]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_no_text_names_a_folder_outside_the_repository() -> None:
    outside = "../" + "shared"
    assert [path for path in texts() if path.suffix != "" and outside in path.read_text("utf-8")] == []
