"""Applies one night's changes to a county of PACS 9.0, by the sandbox's clock (which moves on by 8 hours).

The night does what the vendor's software does: a change of owner deletes a row and inserts another, a new
supplement copies a property's whole layer with its old dates and moves prop_supp_assoc at once, a deleted one
leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb

from airflow_provider_pacs.sandbox.catalog.tables import quoted
from airflow_provider_pacs.sandbox.counties.generic_changes import HOURS
from airflow_provider_pacs.sandbox.counties.harris.foundations import APPRAISAL_YEAR, BIG_HOLDER
from airflow_provider_pacs.sandbox.counties.harris.structures import BATHROOMS, BEDROOMS
from airflow_provider_pacs.sandbox.counties.harris.table_rows import NEXT_VERSION, dice, fill
from airflow_provider_pacs.sandbox.counties.harris.tables import DATABASE, tables
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.row_changes import RowChanges
from airflow_provider_pacs.sandbox.tsql.server import Server
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.tsql.variables import ticks

SUPPLEMENT = 7
"""The number of a night's supplements, of the appraisal year and of the year before: not accepted yet."""
LAYERS = {
    "property_val": "prop_val_yr",
    "wash_property_val": "prop_val_yr",
    "owner": "owner_tax_yr",
    "wash_prop_owner_val": "year",
    "property_exemption": "owner_tax_yr",
    "property_tax_area": "year",
    "imprv": "prop_val_yr",
    "imprv_detail": "prop_val_yr",
    "imprv_attr": "prop_val_yr",
    "land_detail": "prop_val_yr",
}
"""The tables whose rows belong to a property's year and supplement, and the column of the year."""


@dataclass(frozen=True, slots=True)
class Night:
    """How many of each thing happened."""

    values_changed: int
    supplements_added: int
    supplements_deleted: int
    owners_changed: int
    shares_changed: int
    accounts_renamed: int
    accounts_hidden: int
    situs_edited: int
    attributes_edited: int
    improvements_deleted: int
    years_zeroed: int
    ended: int
    recovered: int
    deeds: int
    land_valued: int
    land_deleted: int
    exemptions_added: int
    exemptions_ended: int
    tax_areas_moved: int
    sales_corrected: int
    taxes_recalculated: int
    codes_renamed: int


def mutate(engine: Server, seed: int) -> Night:
    """Applies a night's changes in one transaction and advances the clock by `HOURS`."""
    con = engine.con.cursor()
    changes = RowChanges(con, engine.clock)
    con.execute("BEGIN TRANSACTION")
    dice(con, seed)
    with changes.observing(engine.catalog, engine.catalog.databases[DATABASE.lower()]):
        night = _Night(con, seed, engine.clock.local()).pass_by()
    engine.clock.advance(HOURS * 3600)  # before the commit: a reader in between would see dates of the future
    with changes.committing():
        con.execute("COMMIT")
    con.close()
    return night


def procedure(session: SqlSession, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.mutate @seed = 1`: the counts as one row.

    Its rowversions are of an open writer until it commits.
    """
    session.begin()
    session.transactions.writing()
    try:
        night = mutate(session.engine, int(argument(args, "seed")))
    finally:
        session.rollback()
    yield one_row(asdict(night))


class _Night:
    """One night: `few` properties for each thing that happens, all of them different ones."""

    def __init__(self, con: duckdb.DuckDBPyConnection, seed: int, start: datetime) -> None:
        self._con, self._start, self._taken = con, start, 0
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE picks AS SELECT prop_id AS id, row_number() OVER (ORDER BY md5('{seed}:' || prop_id)) AS n
            FROM (SELECT a.prop_id FROM {_t("prop_supp_assoc")} AS a JOIN {_t("property_val")} AS v
                ON v.prop_id = a.prop_id AND v.prop_val_yr = a.owner_tax_yr AND v.sup_num = a.sup_num
            JOIN {_t("owner")} AS o ON o.prop_id = a.prop_id AND o.owner_tax_yr = a.owner_tax_yr AND o.sup_num = a.sup_num
            WHERE a.owner_tax_yr = {APPRAISAL_YEAR} AND v.prop_inactive_dt IS NULL AND v.udi_parent IS NULL GROUP BY ALL HAVING count(*) = 1)"""
        )
        self._few = max(2, self._count("SELECT count(*) FROM picks") // 1000)

    def pass_by(self) -> Night:
        """What happens, in its order."""
        night = Night(
            values_changed=self._values(),
            supplements_added=sum(map(self._add_supplements, (APPRAISAL_YEAR - 1, APPRAISAL_YEAR))),
            supplements_deleted=self._delete_supplements(),
            owners_changed=self._owners(),
            shares_changed=self._update("owner", self._next(), "pct_ownership = 99.9999999999"),
            accounts_renamed=self._rename(),
            accounts_hidden=self._update(
                "account", self._accounts(), f"confidential_flag = 'T', update_dt = {self._at(3)}"
            ),
            situs_edited=self._update(
                "situs",
                f"{self._next()} AND coalesce(primary_situs, '') = 'Y'",
                "situs_num = '1000', situs_unit = '#7'",
            ),
            attributes_edited=self._update(
                "imprv_attr",
                f"{self._next()} AND {_now('prop_val_yr')} AND sale_id = 0 AND i_attr_val_id IN "
                f"({BEDROOMS}, {BATHROOMS})",
                "i_attr_val_cd = '7', i_attr_unit = 7",
            ),
            improvements_deleted=self._delete_improvements(),
            years_zeroed=self._update(
                "imprv", f"{self._next()} AND {_now('prop_val_yr')} AND sale_id = 0", "actual_year_built = 0"
            ),
            ended=self._update(
                "property_val",
                f"{self._next()} AND {_now('prop_val_yr')}",
                f"prop_inactive_dt = {self._at(4)}, sup_action = 'D'",
            ),
            recovered=self._recover(),
            deeds=self._sell(),
            land_valued=self._update(
                "land_detail",
                f"{self._next()} AND {_now('prop_val_yr')} AND sale_id = 0",
                "land_seg_mkt_val = land_seg_mkt_val + 1000, size_acres = size_acres + 0.25",
            ),
            land_deleted=self._count(
                f"DELETE FROM {_t('land_detail')} WHERE {self._next()} AND {_now('prop_val_yr')} AND sale_id = 0"
            ),
            exemptions_added=self._exempt(),
            exemptions_ended=self._count(
                f"DELETE FROM {_t('property_exemption')} WHERE {_now('owner_tax_yr')} AND prop_id IN (SELECT "
                f"min(prop_id) FROM {_t('property_exemption')} WHERE {_now('owner_tax_yr')})"
            ),
            tax_areas_moved=self._update(
                "property_tax_area",
                f"{self._next()} AND {_now('year')}",
                "tax_area_id = 1, tax_area_id_pending = NULL",
            ),
            sales_corrected=self._update(
                "sale",
                f"chg_of_owner_id IN (SELECT chg_of_owner_id FROM {_t('sale')} WHERE sl_price > 0 ORDER BY 1 LIMIT 2)",
                "sl_price = sl_price + 500, sl_ratio_type_cd = '00'",
            ),
            taxes_recalculated=self._update(
                "wash_prop_owner_val",
                f"{self._next()} AND {_now('year')}",
                "taxable_non_classified = taxable_non_classified + 77",
            ),
            codes_renamed=self._update(
                "exmpt_type", "exmpt_type_cd = 'EX'", f"exmpt_desc = 'Exempt since {self._start:%d}'"
            )
            + self._update(
                "land_type", "land_type_cd = 'RES'", f"land_type_desc = 'Residential {self._start:%d}'"
            ),
        )
        self._con.execute("DROP TABLE picks")
        return night

    def _values(self) -> int:
        rise = (
            "land_non_hstd_val = land_non_hstd_val + 1000, market = market + 1000, appraised_val = "
            "appraised_val + 1000"
        )
        return self._update(
            "property_val",
            f"{self._next(3)} AND {_now('prop_val_yr')}",
            f"{rise}, assessed_val = assessed_val + 1000, chg_dt = {self._at(1)}, recalc_dt = {self._at(1)}",
        )

    def _add_supplements(self, year: int) -> int:
        chosen = (
            f"{self._next()} AND prop_id NOT IN (SELECT prop_id FROM {_t('prop_supp_assoc')} WHERE "
            f"owner_tax_yr = {year} AND sup_num > 0)"
        )
        group = self._count(f"SELECT coalesce(max(sup_group_id), 0) + 1 FROM {_t('sup_group')}")
        if not self._count(
            f"SELECT count(*) FROM {_t('supplement')} WHERE sup_tax_yr = {year} AND sup_num = {SUPPLEMENT}"
        ):
            fill(
                self._con,
                "supplement",
                "range(1)",
                {"sup_tax_yr": str(year), "sup_num": str(SUPPLEMENT), "sup_group_id": str(group)},
            )
            created = {
                "sup_group_id": str(group),
                "sup_group_desc": "'a night''s supplement'",
                "status_cd": "'C'",
                "sup_create_dt": self._at(2),
            }
            fill(self._con, "sup_group", "range(1)", created)
        where = f"{chosen} AND {{year}} = {year} AND sup_num = 0"
        for name, column in LAYERS.items():
            cells = {c.name: quoted(c.name) for c in tables()[name].writable} | {"sup_num": str(SUPPLEMENT)}
            fill(self._con, name, f"{_t(name)} WHERE {where.format(year=column)}", cells)
        self._update(
            "property_val",
            f"{chosen} AND prop_val_yr = {year} AND sup_num = {SUPPLEMENT}",
            "prev_sup_num = 0, sup_action = 'M'",
        )
        self._update("property_profile", f"{chosen} AND prop_val_yr = {year}", f"sup_num = {SUPPLEMENT}")
        return self._update(
            "prop_supp_assoc", f"{chosen} AND owner_tax_yr = {year}", f"sup_num = {SUPPLEMENT}"
        )

    def _delete_supplements(self) -> int:
        """Supplements that are not accepted go, as if they had never been."""
        self._con.execute(
            f"""CREATE OR REPLACE TEMP TABLE gone AS SELECT a.prop_id, a.owner_tax_yr, a.sup_num FROM {_t("prop_supp_assoc")} AS a
            JOIN {_t("supplement")} AS s ON s.sup_tax_yr = a.owner_tax_yr AND s.sup_num = a.sup_num
            JOIN {_t("sup_group")} AS g ON g.sup_group_id = s.sup_group_id
            WHERE g.sup_accept_dt IS NULL AND a.sup_num <> {SUPPLEMENT} ORDER BY ALL LIMIT {self._few}"""
        )
        for name, column in LAYERS.items():
            self._con.execute(f"DELETE FROM {_t(name)} WHERE (prop_id, {column}, sup_num) IN (FROM gone)")
        self._con.execute(
            f"DELETE FROM {_t('property_assoc')} WHERE (child_prop_id, prop_val_yr, sup_num) IN (FROM gone)"
        )
        left = (
            f"SELECT max(sup_num) FROM {_t('property_val')} AS v WHERE v.prop_id = {{0}}.prop_id AND "
            f"v.prop_val_yr = {{0}}.{{1}}"
        )
        for name, column in (("prop_supp_assoc", "owner_tax_yr"), ("property_profile", "prop_val_yr")):
            result = left.format(name, column)
            count = self._update(
                name, f"(prop_id, {column}, sup_num) IN (FROM gone)", f"sup_num = ({result})"
            )
        self._con.execute("DROP TABLE gone")
        return count

    def _owners(self) -> int:
        """The owner's row of the appraisal year goes, the buyer's comes; who may come is a stranger to the
        parcel.
        """
        here = f"{self._next()} AND {_now('owner_tax_yr')}"
        self._con.execute(
            f"""CREATE OR REPLACE TEMP TABLE bought AS SELECT o.prop_id, o.sup_num, o.owner_id AS seller,
            (SELECT min(acct_id) FROM {_t("account")} WHERE acct_id > o.owner_id AND confidential_flag = 'F') AS buyer,
            (SELECT max(chg_of_owner_id) FROM {_t("chg_of_owner")}) + row_number() OVER (ORDER BY o.prop_id) AS deed
            FROM {_t("owner")} AS o WHERE {here}"""
        )
        self._con.execute("DELETE FROM bought WHERE buyer IS NULL")
        for name, column in (("owner", "owner_tax_yr"), ("wash_prop_owner_val", "year")):
            cells = {c.name: f"o.{quoted(c.name)}" for c in tables()[name].writable} | {"owner_id": "b.buyer"}
            cells |= {"updt_dt": self._at(2)} if name == "owner" else {}
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE old AS SELECT * FROM {_t(name)} AS o WHERE (prop_id, "
                              "owner_id, sup_num) IN "
                              f"(SELECT prop_id, seller, sup_num FROM bought) AND {_now(column)}")  # fmt: skip
            self._con.execute(f"DELETE FROM {_t(name)} WHERE (prop_id, owner_id, sup_num) IN (SELECT prop_id, owner_id, "
                              "sup_num FROM old) "
                              f"AND {_now(column)}")  # fmt: skip
            fill(
                self._con,
                name,
                "old AS o JOIN bought AS b ON b.prop_id = o.prop_id AND b.sup_num = o.sup_num",
                cells,
            )
        return self._count("SELECT count(*) FROM bought")

    def _exempt(self) -> int:
        """Some owners of the appraisal year become exempt."""
        cells = {
            "prop_id": "o.prop_id",
            "owner_id": "o.owner_id",
            "exmpt_tax_yr": "o.owner_tax_yr",
            "owner_tax_yr": "o.owner_tax_yr",
            "sup_num": "o.sup_num",
            "prop_type_cd": "'R'",
            "exmpt_type_cd": "'EX'",
            "exemption_pct": "100",
            "apply_pct_owner": "100",
            "effective_dt": self._at(0),
        }
        chosen = f"(SELECT * FROM {_t('owner')} WHERE {self._next()} AND {_now('owner_tax_yr')}) AS o"
        fill(
            self._con,
            "property_exemption",
            f"{chosen} WHERE (o.prop_id, o.owner_id, o.sup_num) NOT IN (SELECT prop_id, owner_id, sup_num FROM "
            f"{_t('property_exemption')} WHERE {_now('owner_tax_yr')} AND exmpt_type_cd = 'EX')",
            cells,
        )
        return self._count(f"SELECT count(*) FROM {chosen}")

    def _sell(self) -> int:
        """The deeds and sales of the owners who changed."""
        deed = {
            "chg_of_owner_id": "deed",
            "deed_type_cd": "'SWD'",
            "deed_dt": self._at(0),
            "recorded_dt": self._at(0),
        }
        once = "bought AS b"
        fill(self._con, "chg_of_owner", once, deed)
        fill(
            self._con,
            "chg_of_owner_prop_assoc",
            once,
            {"chg_of_owner_id": "deed", "prop_id": "prop_id", "sup_tax_yr": str(APPRAISAL_YEAR)},
        )
        fill(self._con, "buyer_assoc", once, {"chg_of_owner_id": "deed", "buyer_id": "buyer"})
        fill(
            self._con,
            "seller_assoc",
            once,
            {"chg_of_owner_id": "deed", "prop_id": "prop_id", "seller_id": "seller"},
        )
        price = {"chg_of_owner_id": "deed", "sl_price": "410000", "sl_dt": self._at(0), "sl_type_cd": "'I'"}
        fill(self._con, "sale", once, price)
        return self._count(f"SELECT count(*) FROM {once}")

    def _rename(self) -> int:
        """Some owners, and the holder of many parcels: no owner's row changes."""
        change = (
            f"file_as_name = left(file_as_name, 60) || ' #' || '{self._start:%d}', update_dt = {self._at(3)}"
        )
        return self._update("account", f"({self._accounts()} OR acct_id = {BIG_HOLDER})", change)

    def _accounts(self) -> str:
        """Accounts of owners that are not hidden yet."""
        owners = f"SELECT owner_id FROM {_t('owner')} WHERE {self._next()} AND {_now('owner_tax_yr')}"
        return (
            f"(acct_id IN ({owners}) AND coalesce(confidential_flag, 'F') <> 'T' AND acct_id <> {BIG_HOLDER})"
        )

    def _delete_improvements(self) -> int:
        where = (
            f"{_now('prop_val_yr')} AND sale_id = 0 AND imprv_id IN (SELECT max(imprv_id) FROM "
            f"{_t('imprv')} WHERE {self._next()} GROUP BY prop_id)"
        )
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE gone AS SELECT imprv_id FROM {_t('imprv')} WHERE {where}"
        )
        for name in ("imprv_attr", "imprv_detail", "imprv"):
            result = self._count(
                f"DELETE FROM {_t(name)} WHERE {_now('prop_val_yr')} AND sale_id = 0 AND imprv_id IN (FROM "
                "gone)"
            )
        return result

    def _recover(self) -> int:
        ended = (
            f"SELECT prop_id FROM {_t('property_val')} WHERE {_now('prop_val_yr')} AND udi_parent IS "
            "NULL "
            "AND prop_inactive_dt > "
        )
        some = (
            f"{ended} TIMESTAMP '2000-01-01' AND prop_id NOT IN (SELECT id FROM picks) ORDER BY 1 LIMIT "
            f"{self._few}"
        )
        return self._update(
            "property_val", f"prop_id IN ({some}) AND {_now('prop_val_yr')}", "prop_inactive_dt = NULL"
        )

    def _next(self, times: int = 1) -> str:
        """A condition that takes the next few properties that nothing has happened to."""
        rows = self._few * times
        self._taken += rows
        return f"prop_id IN (SELECT id FROM picks WHERE n > {self._taken - rows} AND n <= {self._taken})"

    def _at(self, hours: int) -> str:
        """A moment of the night, on a tick of datetime."""
        return f"(TIMESTAMP '{ticks(self._start).isoformat(' ')}' + INTERVAL {hours} HOUR)"

    def _update(self, name: str, where: str, change: str) -> int:
        versions = "".join(
            f", {c.name} = {NEXT_VERSION}" for c in tables()[name].columns if c.type.name == "rowversion"
        )
        return self._count(f"UPDATE {_t(name)} SET {change}{versions} WHERE {where}")

    def _count(self, sql: str) -> int:
        row = self._con.execute(sql).fetchone()
        return int(row[0]) if row else 0


def _t(name: str) -> str:
    return tables()[name].stored


def _now(column: str) -> str:
    return f"{column} = {APPRAISAL_YEAR}"
