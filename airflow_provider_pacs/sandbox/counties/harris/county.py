"""Declares and fills a county in the core tables of PACS 9.0.

The same arguments give the same rows.
"""

from __future__ import annotations

from airflow_provider_pacs.sandbox.counties.harris import change_log, foundations, nightly_changes, tables
from airflow_provider_pacs.sandbox.counties.harris.foundations import Size
from airflow_provider_pacs.sandbox.counties.harris.parcels import parcels
from airflow_provider_pacs.sandbox.counties.harris.people import people
from airflow_provider_pacs.sandbox.counties.harris.sales import sales
from airflow_provider_pacs.sandbox.counties.harris.structures import structures
from airflow_provider_pacs.sandbox.counties.harris.system import system
from airflow_provider_pacs.sandbox.counties.harris.table_rows import dice
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine

DATABASE = tables.DATABASE
SIZES = {
    "tiny": Size(300, 3, 340, 330, 1_000, 290),
    "seed": Size(12_400, 5, 18_600, 14_800, 46_000, 11_500),
    "benton": Size(95_500, 3, 91_000, 104_000, 330_000, 88_000),
}

IN_MEMORY = 30_000
"""Properties: 277 columns of more layers than theirs go to a file, where DuckDB compresses them."""
_ON_DISK = "1GB"
"""What DuckDB may keep in memory of a county that is in a file."""


def size_of(text: str) -> Size:
    """A named size, or `properties=N`: the other figures in proportion to Benton's.

    Raises:
        ValueError: neither.
    """
    name, _, number = text.partition("=")
    if name == "properties" and number.isdigit() and int(number) >= 100:
        like, rows = SIZES["benton"], int(number)
        share = [
            rows * of // like.properties for of in (like.owners, like.improvements, like.details, like.land)
        ]
        return Size(rows, like.years, *share)
    if text not in SIZES:
        raise ValueError(
            f"unknown sandbox size {text!r}: use one of {', '.join(SIZES)}, or properties=N from 100 on"
        )
    return SIZES[text]


def build(engine: SandboxEngine, size: str | Size = "seed", seed: int = 1) -> SandboxEngine:
    """Declares the core tables in an engine, and fills them unless they already hold rows."""
    wanted = SIZES[size] if isinstance(size, str) else size
    if wanted.properties > IN_MEMORY:
        engine.con.execute(f"SET GLOBAL memory_limit = '{_ON_DISK}'")
    tables.declare(engine.catalog)
    engine.procedures["sandbox.mutate"] = nightly_changes.procedure
    engine.procedures["sandbox.change_log"] = change_log.procedure
    for name in ("setmachinelogchanges", "dbo.setmachinelogchanges"):
        engine.procedures[name] = change_log.set_machine_log_changes
    engine.publish()
    row = engine.con.execute(f"SELECT count(*) FROM {tables.tables()['pacs_system'].stored}").fetchone()
    if row is None or row[0] == 0:
        populate(engine, wanted, seed)
    return engine


def populate(engine: SandboxEngine, size: Size, seed: int = 1) -> None:
    """Fills the declared tables in one transaction: a database that is kept has a whole county, or none."""
    con = engine.con.cursor()
    con.execute("BEGIN TRANSACTION")
    dice(con, seed)
    foundations.lay(con, size, seed)
    parcels(con)
    people(con, foundations.accounts(size))
    structures(con)
    sales(con)
    system(con, size.years)
    con.execute("COMMIT")
    con.close()
