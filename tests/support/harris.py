"""A county on the core tables of PACS 9.0, in this process: a generated one that a module's tests share, and
words for what its people do.

Each test's county has partitions of its own in the target, so what another test did to the source before is
only more of the county's past.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.counties.harris import tables
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from tests.support.county import County
from tests.support.in_process import ADMIN, EngineWriter, InProcessReader
from tests.support.pacs import StandingClock, Writer


class HarrisPacs(SandboxEngine):
    """An engine with every core table and a tiny county in them."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.clock: StandingClock = StandingClock()
        for unused in ("tempdb", "model", "msdb"):  # filling their system tables is what takes time
            self.catalog.databases.pop(unused)
        harris.build(self, "tiny", seed)

    def reader(self) -> InProcessReader:
        """What the product reads it with."""
        return InProcessReader(self, database=harris.DATABASE)

    def writer(self) -> Writer:
        """A session of the county's software."""
        return EngineWriter(self.login(*ADMIN, harris.DATABASE, "assessor", "PACS"))

    def end_sessions(self) -> None:
        """Readers and writers are closed, what they had open is rolled back."""
        for session in self.sessions():
            session.close()


class HarrisCounty(County):
    """What the county's people and its software do in PACS 9.0."""

    engine: Any

    def rows_in(self, table: str, columns: str, where: str = "1 = 1") -> list[dict[str, Any]]:
        """What PACS itself holds."""
        return self.source.query(f"SELECT {columns} FROM dbo.[{table}] WHERE {where}")

    def copy_row(self, table: str, where: str, **changes: object) -> None:
        """Insert a copy of a row with other values, as the vendor's layer procedures do: stamps are copied,
        rowversions are new.
        """
        declared = tables.tables()[table]
        names = [
            column.name
            for column in declared.columns
            if column.type.name != "rowversion" and column.name not in declared.computed
        ]
        values = [_literal(changes[name]) if name in changes else f"[{name}]" for name in names]
        self.pacs(
            f"INSERT INTO dbo.[{table}] ({', '.join(f'[{name}]' for name in names)}) SELECT "
            f"{', '.join(values)} FROM dbo.[{table}] WHERE {where}"
        )

    def supplement(
        self, prop_id: int, year: int, number: int, *, group: int, accepted: bool = False, **values: object
    ) -> None:
        """A new supplement of a property: its layer copied, prop_supp_assoc moved at once, accepted or not."""
        before = self.rows_in("prop_supp_assoc", "sup_num", f"prop_id = {prop_id} AND owner_tax_yr = {year}")[
            0
        ]["sup_num"]
        self.copy_row(
            "property_val",
            f"prop_id = {prop_id} AND prop_val_yr = {year} AND sup_num = {before}",
            sup_num=number,
            **values,
        )
        self.copy_row(
            "owner", f"prop_id = {prop_id} AND owner_tax_yr = {year} AND sup_num = {before}", sup_num=number
        )
        self.pacs(
            f"UPDATE dbo.prop_supp_assoc SET sup_num = {number} WHERE prop_id = {prop_id} AND owner_tax_yr "
            f"= {year}"
        )
        if not self.rows_in("sup_group", "sup_group_id", f"sup_group_id = {group}"):
            status = "A" if accepted else "P"
            self.pacs(f"INSERT INTO dbo.sup_group (sup_group_id, status_cd) VALUES ({group}, '{status}')")
            self.pacs(
                f"INSERT INTO dbo.supplement (sup_tax_yr, sup_num, sup_group_id) VALUES ({year}, {number}, "
                f"{group})"
            )

    def plain(self, count: int = 1, *, skip: int = 0) -> list[int]:
        """Real properties with one owner in the current year, no supplement and an improvement: those that a
        test may change.
        """
        rows_ = self.rows_in(
            "prop_supp_assoc",
            "prop_id",
            "owner_tax_yr = 2026 AND sup_num = 0 AND prop_id IN (SELECT prop_id FROM dbo.property WHERE "
            "prop_type_cd = 'R') "
            "AND prop_id IN (SELECT prop_id FROM dbo.property_val WHERE prop_val_yr = 2026 AND "
            "prop_inactive_dt IS NULL "
            "AND udi_parent_prop_id IS NULL) "
            "AND prop_id IN (SELECT prop_id FROM dbo.prop_supp_assoc WHERE owner_tax_yr = 2025 AND sup_num "
            "= 0) "
            "AND prop_id IN (SELECT prop_id FROM dbo.imprv WHERE prop_val_yr = 2026 AND sale_id = 0) "
            "AND prop_id IN (SELECT prop_id FROM dbo.owner WHERE owner_tax_yr = 2026 AND sup_num = 0 GROUP "
            "BY prop_id HAVING COUNT(*) = 1)",
        )
        return sorted(row["prop_id"] for row in rows_)[skip : skip + count]

    def live(self, entity: str, source_key: str) -> dict[str, Any]:
        """The live row of a source key."""
        return self.keyed(entity)[source_key]

    def keyed(self, entity: str, *, deleted: bool = False) -> dict[str, dict[str, Any]]:
        """The county's rows by source key."""
        return {row["_source_key"]: row for row in self.rows(entity, deleted=deleted).values()}


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | Decimal) else "'" + str(value).replace("'", "''") + "'"


ENTITIES: Sequence[str] = ("property", "owner", "value", "structure")
