"""A read says how far it is every few seconds, not with every batch."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.steps import load


def test_progress_is_told_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(load.time, "monotonic", lambda: clock[0])
    told: list[tuple[int, float]] = []
    counter = load.Counter(lambda rows, seconds: told.append((rows, seconds)))
    for _ in range(10):
        clock[0] += 0.5
        counter.add(1000)
    assert counter.rows == 10_000
    assert told == [(4000, 2.0), (8000, 4.0)]
