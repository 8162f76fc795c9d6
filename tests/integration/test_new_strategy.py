"""A new way to find changes is one class and one line in the registry: nothing else of a run knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_pacs.sync import incremental
from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Late,
    Window,
    rows_of,
    select_list,
)
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    IncrementalStrategy,
    SourceFacts,
    Support,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from tests.support.county import County, certificate_of, key, of


class TicketNumber:
    """A county whose software writes an ever-growing number into each row that it touches."""

    name = "ticket_number"
    shows_deletes = False
    column = "YearBuilt"

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        if self.column not in table.columns:
            return Support(None, f"the table has no {self.column}")
        numbered = replace(table, map=replace(table.map, change_column=self.column))
        return Support(numbered, f"{self.column} grows with every change")

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        return ChangeQuery(
            "DECLARE @cursor int = CONVERT(int, NULLIF(?, ''));\n"
            "SELECT CONVERT(varchar(12), @cursor) AS lo, CONVERT(varchar(12), MAX(s.[YearBuilt])) AS hi, "
            "CASE WHEN @cursor > MAX(s.[YearBuilt]) THEN 1 ELSE 0 END AS behind FROM [dbo].[Property] AS s",
            (request.cursor or "",),
        )

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        return "the numbers went back" if bounds["behind"] == 1 else None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        return ChangeQuery(
            "DECLARE @lo int = CONVERT(int, ?);\nDECLARE @hi int = CONVERT(int, ?);\n"
            f"SELECT {select_list(table)} FROM {rows_of(table)} "
            "WHERE s.[YearBuilt] > @lo AND s.[YearBuilt] <= @hi",
            (window.lo or "0", window.hi),
        )

    def late(self, table: ResolvedTable) -> Late:
        return Late("DECLARE @hi int = CONVERT(int, ?);\n", rows_of(table), "s.[YearBuilt] > @hi")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> IncrementalStrategy:
    """The one line."""
    strategy = TicketNumber()
    monkeypatch.setattr(incremental, "STRATEGIES", [strategy, *incremental.STRATEGIES])
    return strategy


def test_a_registered_strategy_carries_a_county(county: County, registered: IncrementalStrategy) -> None:
    """It is chosen, recorded and followed: bounds, window, late rows, cursor; hard deletes are found by the run's
    own count.
    """
    county.add("property", 1, 2, 3, YearBuilt=1990)
    first, certificate = county.sync()
    assert of(first, "property").mode == "full"
    assert certificate.clean
    plan = county.plan_of(first.run_id, "property")
    assert (plan.strategy, plan.upper_bound) == (registered.name, "1990")
    assert county.state("property").watermark == "1990"

    county.change("property", 2, at=None, City="Finley", YearBuilt=1991)
    county.add("property", 4, YearBuilt=1992)
    county.remove("property", 3)
    second, certificate = county.sync()
    done = of(second, "property")
    assert (done.mode, done.inserted, done.updated, done.deleted) == ("window", 1, 1, 1)
    assert certificate.clean
    assert (certificate_of(certificate, "property").lower, certificate_of(certificate, "property").upper) == (
        "1990",
        "1992",
    )
    assert set(county.rows("property")) == {key("property", number) for number in (1, 2, 4)}
    assert county.row("property", 2)["city"] == "Finley"
    assert (county.state("property").strategy, county.state("property").watermark) == (
        registered.name,
        "1992",
    )


def test_what_it_does_not_see_is_found_by_a_reconcile(
    county: County, registered: IncrementalStrategy
) -> None:
    """A change without a new number is passed by, and no certificate of a reconcile excuses it."""
    county.add("property", 1, 2, YearBuilt=1990)
    county.sync()
    county.change("property", 1, at=None, City="Kiona")
    assert of(county.sync()[0], "property").read == 0
    outcome, certificate = county.reconciled()
    assert of(outcome, "property").sample_keys == (f"differing:{key('property', 1)}",)
    assert certificate.clean


def test_without_its_line_the_county_falls_back_to_what_fits(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out again, the next run reads everything once by another strategy: a cursor is never reinterpreted."""
    county.add("property", 1, 2, YearBuilt=1990)
    with monkeypatch.context() as patch:
        patch.setattr(incremental, "STRATEGIES", [TicketNumber(), *incremental.STRATEGIES])
        county.sync()
    outcome, certificate = county.sync()
    assert of(outcome, "property").mode == "full"
    assert county.plan_of(outcome.run_id, "property").strategy == "last_modified"
    assert certificate.clean
