"""The port `Staging`: where a run puts what it read before anything is published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import (
    Difference,
    KeyDifference,
    KeyTotals,
)
from airflow_provider_pacs.sync.schema.catalog import KeySpelling


class Staging(Protocol):
    """Staging tables: one of its own per run, entity and try. Nobody else reads them."""

    def fill(
        self,
        entity: Entity,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None:
        """Fill a staging table with CSV payloads of the named columns; a new one unless `append`.

        Each call is one pass: where a key was read in several passes, the last one counts.
        """

    @property
    def schema(self) -> str:
        """The schema of the staging tables."""

    def rows_view(self, table: str) -> str:
        """The relation beside a staging table that holds its rows without the keys that are gone."""

    def count(self, table: str) -> int:
        """Rows in a staging table, those marked as gone included; -1 where it does not exist."""

    def deduplicate(self, entity: Entity, table: str) -> int:
        """Keep of each key the rows of its last pass; returns the rows that went."""

    def duplicated_keys(self, entity: Entity, table: str) -> list[str]:
        """Keys that one pass brought more than once."""

    def absent_keys(self, entity: Entity, county_id: str, table: str) -> list[str]:
        """Keys that are live or in quarantine and not in a complete staging table."""

    def differing_keys(self, entity: Entity, county_id: str, table: str) -> list[tuple[str, Difference]]:
        """(key, kind) of the rows whose staged image is not the published one; none before the first load."""

    def quarantined_keys(self, entity: Entity, county_id: str) -> list[str]:
        """Keys in open quarantine."""

    def mark_gone(self, entity: Entity, table: str, keys: Sequence[str]) -> None:
        """Record those of the keys that the staging table does not have as gone at the source."""

    def mark_rejects(self, table: str, assignments: Sequence[tuple[str, str]]) -> int:
        """Write the ids of broken rules to the rows; returns the rows that carry one."""

    def count_bad(self, relation: str, predicates: Sequence[str]) -> tuple[int, list[int]]:
        """(rows of a relation, and of them those for which each predicate over alias s is true).

        `relation` is a name as `ValidationContext.stage` gives it.
        """

    def mapping_rejects(self, table: str) -> tuple[int, dict[str, int]]:
        """(staged rows, rows per `MAP.<column>`: those whose value did not fit the column's type)."""

    def entity_size(self, entity: Entity, county_id: str) -> int:
        """About how many rows the entity has: the measure for shares of bad rows."""

    def partition(self, entity: Entity, county_id: str) -> str | None:
        """The county's partition, qualified and quoted; None before the first load."""

    def write_keys(self, table: str, payloads: Iterable[bytes]) -> None:
        """Fill the list of keys beside a staging table, in the source's spelling."""

    def expected_totals(
        self,
        entity: Entity,
        county_id: str,
        table: str,
        *,
        complete: bool,
        spelling: KeySpelling | None,
        late: bool,
    ) -> tuple[KeyTotals, KeyTotals]:
        """(keys that the source must have, of these the ones that the target must hold).

        Args:
            entity: the entity.
            county_id: the county.
            table: the staging table; `complete` where it holds every row of the source.
            complete: see `table`.
            spelling: how a key is written before it is hashed and summed; None counts only.
            late: the list of keys beside it holds those newer than the bound.
        """

    def compare_keys(self, entity: Entity, county_id: str, table: str, *, complete: bool) -> KeyDifference:
        """The list of all keys beside a staging table laid beside what the target holds and what is staged."""  # noqa: E501

    def gone_and_live(self, entity: Entity, county_id: str, table: str, keys: Sequence[str]) -> list[str]:
        """Those of the keys that a staging table marks as gone and that are live."""

    def start_probes(self, table: str) -> None:
        """Make the table of probed root keys beside a staging table, empty."""

    def fold_probe(self, table: str, probe: str, payloads: Iterable[bytes]) -> None:
        """Take in what one probed table holds now: CSV of `root_key, line`."""

    def changed_root_keys(self, county_id: str, entity: Entity, table: str) -> list[str]:
        """Root keys whose probed contents are not those of the last published run."""

    def note_root_keys(self, table: str, keys: Sequence[str]) -> None:
        """Record which root keys the run reads again."""

    def noted_root_keys(self, table: str) -> list[str]:
        """The root keys that the run read again; none where it did not read by root key."""

    def missing_of_root_keys(self, entity: Entity, county_id: str, table: str, noted_by: str) -> list[str]:
        """Live keys of the root keys noted beside `noted_by` that `table` does not have."""

    def write_redactions(self, table: str, parties: Sequence[str]) -> None:
        """Record beside a staging table whose rows must say no more than a new row of theirs would."""

    def drop(self, tables: Iterable[str]) -> None:
        """Drop staging tables with all that stands beside them."""

    def drop_abandoned(self, county_id: str) -> None:
        """Drop what runs of the county left that can no longer publish."""
