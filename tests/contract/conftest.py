"""Judges that we did not write, started once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.tsql_judge import Judge


@pytest.fixture(scope="session")
def tsql() -> Iterator[Judge]:
    """Microsoft's T-SQL parser.

    Where it is missing every test that asks for it fails and says what to run.
    """
    with Judge() as judge:
        yield judge
