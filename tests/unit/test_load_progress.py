"""A read says how far it is every few seconds, not with every batch."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.steps import source_rows


def test_progress_is_reported_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(source_rows.time, "monotonic", lambda: clock[0])
    reports: list[tuple[int, float]] = []
    reporter = source_rows.ProgressReporter(lambda rows, seconds: reports.append((rows, seconds)))
    for _ in range(10):
        clock[0] += 0.5
        reporter.add(1000)
    assert reporter.rows == 10_000
    assert reports == [(4000, 2.0), (8000, 4.0)]
