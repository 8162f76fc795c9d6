"""Case D12: keys of the source that are no GUIDs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, new_engine, of, redeclare, retype

INT, BIGINT = SqlType("int"), SqlType("bigint")


@pytest.fixture(scope="module")
def odd_engine() -> Iterator[SandboxEngine]:
    """A sandbox whose tables the tests of this module change."""
    engine = new_engine()
    yield engine
    engine.close()


def numbered(name: str, **types: SqlType | None) -> Table:
    """A generic table whose keys are numbers."""
    table = retype(name, **types)
    return replace(table, primary_key=table.primary_key)


def insert(county: County, table: str, **values: object) -> None:
    stamp = {"LastModified": county.stamp(hours=2)}
    row = stamp | values
    names = ", ".join(f"[{name}]" for name in row)
    texts = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in row.values())
    county.pacs(f"INSERT INTO dbo.[{table}] ({names}) VALUES ({texts})")


@pytest.fixture(params=[None, "rowversion"], ids=["compared", "by rowversion"])
def county(make_county: CountyMaker, odd_engine: SandboxEngine, request: pytest.FixtureRequest) -> County:
    """Two properties, three owners and a value, all known by numbers."""
    stamp = SqlType("rowversion") if request.param else None
    redeclare(odd_engine, numbered("Property", PropertyID=INT, RowVer=stamp))
    redeclare(odd_engine, numbered("PropertyOwner", OwnerID=BIGINT, PropertyID=INT, RowVer=stamp))
    redeclare(odd_engine, numbered("PropertyValue", PropertyID=INT, RowVer=stamp))
    made = make_county(("property", "owner", "value"), engine=odd_engine, keep_engine=True)
    for number in (7, 12):
        insert(made, "Property", PropertyID=number, ParcelNumber=f"1-{number}", City="Prosser", IsActive=1)
    for owner, number in ((1, 7), (2, 7), (3, 12)):
        insert(made, "PropertyOwner", OwnerID=owner, PropertyID=number, OwnerName=f"Owner {owner}")
    value = "6b1c2f0e-0000-4000-8000-000000000001"
    insert(
        made, "PropertyValue", ValueID=value, PropertyID=7, TaxYear=2025, MarketValue=100, AssessedValue=90
    )
    return made


def by_source_key(county: County, entity: str) -> dict[str, dict[str, object]]:
    return {str(row["_source_key"]): row for row in county.rows(entity).values()}


def test_numbers_become_keys_that_stay_the_same(county: County) -> None:
    """Case D12: a property's key is made from its number, as for PACS 9.0, and its children find it."""
    published, certificate = county.sync()
    assert certificate.clean
    assert {entity.inserted for entity in published.entities} == {2, 3, 1}
    properties, owners = by_source_key(county, "property"), by_source_key(county, "owner")
    assert set(properties) == {"7", "12"}
    assert set(owners) == {"7/1", "7/2", "12/3"}
    assert owners["7/2"]["property_id"] == properties["7"]["property_id"]
    (value,) = by_source_key(county, "value").values()
    assert value["property_id"] == properties["7"]["property_id"]
    assert value["_source_key"] == "7/6B1C2F0E-0000-4000-8000-000000000001"
    county.pacs("UPDATE dbo.Property SET City = 'Finley' WHERE PropertyID = 7")
    county.pacs("UPDATE dbo.PropertyOwner SET PropertyID = 12 WHERE OwnerID = 2")
    county.pacs("DELETE FROM dbo.PropertyOwner WHERE OwnerID = 1")
    county.clock.step(hours=1)
    published, certificate = county.sync()
    assert certificate.clean
    again = by_source_key(county, "property")
    assert again["7"]["city"] == "Finley"
    assert {key: row["property_id"] for key, row in again.items()} == {
        key: row["property_id"] for key, row in properties.items()
    }
    assert set(by_source_key(county, "owner")) == {"12/2", "12/3"}
    assert of(published, "property").updated == 1


def test_a_child_that_refers_by_a_guid_to_a_numbered_property(
    make_county: CountyMaker, odd_engine: SandboxEngine
) -> None:
    """Case D12: two kinds of keys that can't meet are refused before anything is read, with what to map."""
    redeclare(odd_engine, numbered("Property", PropertyID=INT))
    redeclare(odd_engine, retype("PropertyOwner"))
    county = make_county(("property", "owner"), engine=odd_engine, keep_engine=True)
    with pytest.raises(
        ConfigError, match="the key of property is a number, but owner refers to it by a GUID"
    ):
        county.sync()


def test_a_numbered_child_of_a_guid(make_county: CountyMaker, odd_engine: SandboxEngine) -> None:
    """Case D12: the error names both columns and both types."""
    redeclare(odd_engine, retype("Property"))
    redeclare(odd_engine, numbered("PropertyOwner", OwnerID=INT))
    county = make_county(("property", "owner"), engine=odd_engine, keep_engine=True)
    with pytest.raises(ConfigError, match=r"'OwnerID' is int, but 'PropertyID'.*is uniqueidentifier"):
        county.sync()
