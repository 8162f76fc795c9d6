"""The state machine's ends: one PostgreSQL database and one sandbox engine for all examples."""

from __future__ import annotations

from tests.integration.conftest import pacs_engine as pacs_engine
from tests.integration.conftest import pg_server as pg_server
from tests.integration.conftest import pg_url as pg_url
