"""The counties that the sandbox can serve, by profile: the database, the check of a size, and what fills
an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_pacs.sandbox.counties import generic_rows, generic_tables
from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine

GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of county.

    Attributes:
        database: the name of the county's database.
        check: a size's text to whether it needs a disk; ValueError where there is no such size.
        fill: declares the tables in an engine and fills them, by a size's text and a seed.
    """

    database: str
    check: Callable[[str], bool]
    fill: Callable[[SandboxEngine, str, int], SandboxEngine]


KINDS = {
    GENERIC: Kind(
        generic_tables.DATABASE,
        lambda text: generic_rows.size_of(text).properties > generic_rows.IN_MEMORY,
        lambda engine, text, seed: generic_rows.build(engine, generic_rows.size_of(text), seed),
    ),
    "harris_pacs_9": Kind(
        harris.DATABASE,
        lambda text: harris.size_of(text).properties > harris.IN_MEMORY,
        lambda engine, text, seed: harris.build(engine, harris.size_of(text), seed),
    ),
}
