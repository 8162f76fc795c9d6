"""The declared tables of the generic PACS source (database PACS, schema dbo)."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.tables import ForeignKey, Index, Table
from airflow_provider_pacs.sandbox.model import Column, SqlType

DATABASE = "PACS"
GUID, DATETIME, FLOAT, INT, BIT = (
    SqlType(n) for n in ("uniqueidentifier", "datetime", "float", "int", "bit")
)


def _varchar(length: int) -> SqlType:
    return SqlType("varchar", length)


_PROPERTY = Table(
    DATABASE,
    "dbo",
    "Property",
    (
        Column("PropertyID", GUID, False),
        Column("ParcelNumber", _varchar(50), False),
        Column("Address", _varchar(255)),
        Column("City", _varchar(100)),
        Column("State", _varchar(2)),
        Column("ZipCode", _varchar(10)),
        Column("LegalDescription", SqlType("text", -1)),
        Column("Acreage", FLOAT),
        Column("YearBuilt", INT),
        Column("LastModified", DATETIME, False),
        Column("IsActive", BIT, False),
    ),
    ("PropertyID",),
    (
        Index("IX_Property_ParcelNumber", ("ParcelNumber",)),
        Index("IX_Property_LastModified", ("LastModified",)),
    ),
    defaults={"IsActive": "((1))"},
)


def _child(name: str, key: str, columns: tuple[Column, ...]) -> Table:
    return Table(
        DATABASE,
        "dbo",
        name,
        (
            Column(key, GUID, False),
            Column("PropertyID", GUID, False),
            *columns,
            Column("LastModified", DATETIME),
        ),
        (key,),
        (
            Index(f"IX_{name}_PropertyID", ("PropertyID",)),
            Index(f"IX_{name}_LastModified", ("LastModified",)),
        ),
        (ForeignKey(f"FK_{name}_Property", ("PropertyID",), "Property", ("PropertyID",)),),
    )


TABLES = (
    _PROPERTY,
    _child(
        "PropertyOwner",
        "OwnerID",
        (
            Column("OwnerName", _varchar(255), False),
            Column("OwnerType", _varchar(50)),
            Column("OwnershipPercentage", FLOAT),
            Column("StartDate", DATETIME),
            Column("EndDate", DATETIME),
        ),
    ),
    _child(
        "PropertyValue",
        "ValueID",
        (
            Column("TaxYear", INT, False),
            Column("AssessedValue", FLOAT),
            Column("MarketValue", FLOAT),
            Column("LandValue", FLOAT),
            Column("ImprovementValue", FLOAT),
        ),
    ),
    _child(
        "Structure",
        "StructureID",
        (
            Column("StructureType", _varchar(100), False),
            Column("SquareFootage", FLOAT),
            Column("Condition", _varchar(50)),
            Column("YearBuilt", INT),
            Column("Bedrooms", INT),
            Column("Bathrooms", FLOAT),
        ),
    ),
)


def declare(catalog: Catalog, snapshot: bool = True) -> None:
    """Adds the database and its tables to a catalog."""
    catalog.add_database(DATABASE, datetime(2019, 3, 1, 9, 30), snapshot=snapshot)
    for table in TABLES:
        catalog.add_table(table)
