"""Weak settings of a connection: said in every run, refused where the county is strict."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.port import ConnectionFacts
from airflow_provider_pacs.sync.source.security import check_weak_settings

GOOD = ConnectionFacts("driver", "yes", False, "db")


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (GOOD, []),
        (replace(GOOD, encrypt="strict"), []),
        (replace(GOOD, encrypt="no"), ["encrypt"]),
        (replace(GOOD, any_certificate=True), ["trust_server_certificate"]),
        (replace(GOOD, encrypt="no", any_certificate=True), ["encrypt", "trust_server_certificate"]),
    ],
)
def test_each_weak_setting_is_said_and_returned(
    facts: ConnectionFacts, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Case E11: in the log of every run, and for its audit; a strict county does not run."""
    with caplog.at_level(logging.WARNING):
        assert [setting.name for setting in check_weak_settings("county_x", facts, strict=False)] == names
    assert [record.levelname for record in caplog.records] == ["WARNING"] * len(names)
    assert all(name in record.getMessage() for name, record in zip(names, caplog.records, strict=True))
    if not names:
        assert check_weak_settings("county_x", facts, strict=True) == ()
        return
    with pytest.raises(ConfigError) as refused:
        check_weak_settings("county_x", facts, strict=True)
    assert all(name in refused.value.message for name in names)
