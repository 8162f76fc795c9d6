"""docs/connections.md says what the code says: every named option, every code, every remedy."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_pacs.get_provider_info import get_provider_info
from airflow_provider_pacs.sync.runtime import errors
from airflow_provider_pacs.sync.source import errors as source
from airflow_provider_pacs.sync.source.address import AUTHENTICATIONS, ISOLATION_LEVELS, OPTIONS
from airflow_provider_pacs.sync.source.systems import TRUST_COMMANDS, trust_a_ca
from airflow_provider_pacs.sync.target.postgres import errors as target

PAGE = (Path(errors.__file__).parents[2] / "docs" / "connections.md").read_text("utf-8")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def expected_rows() -> list[str]:
    """The tables of native numbers and states, as the two mapping points have them."""
    rows = []
    for numbers, rule in source.BY_NUMBER:
        spelled = "33000-33999" if numbers == source.KEYS else ", ".join(map(str, sorted(numbers)))
        rows.append(row(spelled, rule.code or rule.kind.code, rule.kind.__name__, rule.remedy or "-"))
    for states, rule in (*source.BY_STATE, *target.BY_STATE):
        rows.append(
            row(
                ", ".join(sorted(states)),
                rule.code or rule.kind.code,
                rule.kind.__name__,
                rule.remedy or "-",
            )
        )
    return rows


def test_every_verdict_is_on_the_page() -> None:
    missing = [line for line in expected_rows() if line not in PAGE]
    assert not missing, "put these rows into connections.md:\n" + "\n".join(missing)


def test_the_page_has_no_verdict_that_the_code_does_not_know() -> None:
    tables = PAGE.split("## Every number and state")[1]
    listed = [line for line in tables.splitlines() if re.match(r"\| -?[\dA-Z]", line) and "PACS-" in line]
    assert sorted(listed) == sorted(expected_rows())


def test_every_code_is_explained() -> None:
    classes = [
        errors.RetryableError,
        errors.FatalError,
        errors.ConfigError,
        errors.DataError,
        errors.ConflictError,
    ]
    codes = (
        {kind.code for kind in classes}
        | set(re.findall(r"PACS-\d{3}", errors.__doc__ or ""))
        | set(re.findall(r"PACS-\d{3}", "".join(expected_rows())))
    )
    explained = re.findall(r"^\| `(PACS-\d{3})` \|", PAGE, re.MULTILINE)
    assert sorted(explained) == sorted(codes)


def test_every_option_is_explained() -> None:
    (form,) = get_provider_info()["connection-types"]
    for name in (*OPTIONS, *form["conn-fields"], *AUTHENTICATIONS, *ISOLATION_LEVELS):
        assert f"`{name}`" in PAGE, name


def test_certificate_remedies_are_on_the_page() -> None:
    fixed = [remedy for _, remedy in source.CERTIFICATES if remedy != trust_a_ca()]
    assert all(remedy in PAGE for remedy in (*fixed, *TRUST_COMMANDS.values(), "SSL_CERT_FILE"))
