"""Airflow writes into its home when it is imported: give it one of its own before any test imports it."""

from __future__ import annotations

import logging
import os
import tempfile

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")


@pytest.fixture(autouse=True)
def loggers_are_on() -> None:
    """Airflow's migrations, where an earlier test ran them in this process, switch every logger off that they
    do not know.
    """
    for name, logger in list(
        logging.root.manager.loggerDict.items()
    ):  # threads of earlier tests may still add to it
        if name.startswith("airflow_provider_pacs") and isinstance(logger, logging.Logger):
            logger.disabled = False
