"""Judges that we did not write, started once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.tsql_parser import TsqlParser


@pytest.fixture(scope="session")
def tsql() -> Iterator[TsqlParser]:
    """Microsoft's T-SQL parser.

    Where it is missing every test that asks for it fails and says what to run.
    """
    with TsqlParser() as running:
        yield running
