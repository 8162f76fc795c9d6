"""Two real transactions in a deadlock: publish loses it, begins again and gets through."""

from __future__ import annotations

import threading

import psycopg
import pytest

from airflow_provider_pacs.sync.records import DeleteBounds
from airflow_provider_pacs.sync.target.postgres import PostgresTarget, publisher
from airflow_provider_pacs.sync.target.postgres import retry as again


def test_publish_that_loses_a_deadlock_begins_again(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "SHORTEST", 0.0)
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.one AS SELECT 1 AS n")
        connection.execute("CREATE TABLE public.two AS SELECT 1 AS n")
    both, tries = threading.Barrier(2, timeout=20), 0

    def publish_once(connection: psycopg.Connection[object], *rest: object) -> str:
        nonlocal tries
        tries += 1
        connection.execute(
            "SET LOCAL deadlock_timeout = '100ms'"
        )  # whoever waits out its time-out first is the one that loses
        connection.execute("UPDATE public.one SET n = n + 1")
        if tries == 1:
            both.wait()
        connection.execute("UPDATE public.two SET n = n + 1")
        return "published"

    def other() -> None:
        with psycopg.connect(pg_url) as connection:
            connection.execute("SET LOCAL deadlock_timeout = '20s'")
            connection.execute("UPDATE public.two SET n = n + 10")
            both.wait()
            connection.execute("UPDATE public.one SET n = n + 10")

    monkeypatch.setattr(publisher, "publish", publish_once)
    thread = threading.Thread(target=other)
    with PostgresTarget.from_url(pg_url) as target:
        thread.start()
        assert target.publisher.publish("run", DeleteBounds(1, 1.0), {}) == "published"  # type: ignore[comparison-overlap]
    thread.join()
    assert tries == 2
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT one.n, two.n FROM public.one, public.two").fetchone() == (12, 12)
