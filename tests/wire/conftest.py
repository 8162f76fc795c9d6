"""Fixtures of the wire tests. Importing `scripted` first sets the driver's environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import CERTIFICATE, ScriptedEngine


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def server(engine: ScriptedEngine) -> Iterator[SandboxServer]:
    with SandboxServer(engine, certificate=CERTIFICATE) as running:
        yield running
