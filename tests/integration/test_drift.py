"""The county's tables change, and its values are odd (correctness.md A4, A5)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, Pacs, key, new_engine, of, redeclare, retype

WIDE_ADDRESS = retype("Property", Address=SqlType("nvarchar", 255))
"""A code page has no place for every sign."""


@pytest.fixture(scope="module")
def changing_engine() -> Iterator[Pacs]:
    """A sandbox whose tables the tests of this module change."""
    engine = new_engine()
    yield engine
    engine.close()


@pytest.fixture
def county(make_county: CountyMaker, changing_engine: Pacs) -> County:
    """A county with one published property, whose tables may change."""
    redeclare(changing_engine, retype("Property"))
    made = make_county(engine=changing_engine, keep_engine=True)
    made.add("property", 1, City="Prosser")
    made.sync()
    made.clock.step(hours=3)
    return made


def reordered(table: Table) -> Table:
    return Table(
        table.database,
        table.schema,
        table.name,
        tuple(reversed(table.columns)),
        table.primary_key,
        (),
        (),
        table.defaults,
    )


def test_an_extra_column(county: County) -> None:
    """Case 44: a column that nobody mapped changes nothing: the cursor goes on."""
    redeclare(county.engine, retype("Property", Zoning=SqlType("varchar", 10)))
    county.add("property", 1, Zoning="R1")
    published, certificate = county.sync()
    assert of(published, "property").mode == "window"
    assert certificate.clean


def test_a_dropped_column(county: County) -> None:
    """Case 45: a mapped column that is gone stops the run before it reads: no NULLs over good data."""
    redeclare(county.engine, retype("Property", City=None))
    county.source.asked.clear()
    with pytest.raises(ConfigError, match="City") as stopped:
        county.sync()
    assert stopped.value.code == "PACS-003"
    assert not [sql for sql in county.source.asked if "FROM [dbo].[Property]" in sql]
    assert county.row("property", 1)["city"] == "Prosser"


def test_a_renamed_column(county: County) -> None:
    """Case 46: a renamed column stops the run with the nearest name as proposal; with it in the county's file
    the run goes on, in full.
    """
    redeclare(county.engine, retype("Property", City=None, CityName=SqlType("varchar", 100)))
    with pytest.raises(ConfigError, match="cityname"):
        county.sync()
    county.pacs(
        "INSERT INTO [dbo].[Property] (PropertyID, ParcelNumber, CityName, LastModified, IsActive) "
        f"VALUES ('{key('property', 1)}', '1-00001', 'Finley', '2026-01-15 04:00', 1)"
    )
    county.configure(tables={"property": {"columns": {"city": "CityName"}}})
    published, _ = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "Finley"


def test_the_change_column_gets_another_type(county: County) -> None:
    """Case 48: datetime becomes datetime2: the cursor's text is another type's, so every row is read again
    and the cursor made anew.
    """
    redeclare(county.engine, retype("Property", LastModified=SqlType("datetime2", scale=7)))
    county.add("property", 1, City="Finley")
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.state("property").watermark_type == "datetime2(7)"
    assert certificate.clean


def test_a_wider_column(county: County) -> None:
    """Case 47: a widened column needs no change in the target and is read again in full."""
    redeclare(county.engine, retype("Property", City=SqlType("varchar", 4000)))
    county.add("property", 1, City="x" * 3000)
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert len(county.row("property", 1)["city"]) == 3000
    assert certificate.clean


def test_columns_that_grow(make_county: CountyMaker, changing_engine: Pacs) -> None:
    """Case 47: texts, integers, decimals grow; the target, whose types have no bounds, takes every digit.

    Beyond 2^31 an integer is set aside.
    """
    small = {
        "City": SqlType("varchar", 50),
        "YearBuilt": SqlType("int"),
        "Acreage": SqlType("decimal", precision=9, scale=2),
    }
    large = {
        "City": SqlType("varchar", 200),
        "YearBuilt": SqlType("bigint"),
        "Acreage": SqlType("decimal", precision=38, scale=10),
    }
    redeclare(changing_engine, retype("Property", **small))
    county = make_county(engine=changing_engine, keep_engine=True)
    county.add("property", 1, 2)
    county.sync()
    redeclare(changing_engine, retype("Property", **large))
    county.add("property", 1, City="x" * 200)
    county.add("property", 2, YearBuilt=2**31)
    county.pacs(
        "UPDATE [dbo].[Property] SET Acreage = 1234567890123456789.0123456789 WHERE PropertyID = "
        f"'{key('property', 1)}'"
    )
    published, certificate = county.sync()
    assert (of(published, "property").mode, certificate.clean) == ("full", True)
    row = county.row("property", 1)
    assert (len(row["city"]), row["acreage"]) == (200, Decimal("1234567890123456789.0123456789"))
    assert county.quarantine("property") == {key("property", 2): ["MAP.year_built"]}
    assert county.row("property", 2)["year_built"] == 1999, "the last good row stays"
    (event,) = county.sql(
        "SELECT details FROM pacs_ops.audit WHERE county_id = %s AND action = 'schema.drift'", county.fips
    )
    assert event["details"]["widened"] == [
        "City: varchar(50) -> varchar(200)", "Acreage: decimal(9, 2) -> decimal(38, 10)", "YearBuilt: int -> bigint"
    ]  # fmt: skip
    redeclare(changing_engine, retype("Property"))


def test_another_order_of_columns(county: County) -> None:
    """Case 55: columns are known by name: another order is no change at all."""
    redeclare(county.engine, reordered(retype("Property")))
    county.add("property", 1, City="Finley", at=county.stamp(minutes=5))
    published, _ = county.sync()
    assert of(published, "property").mode == "window"
    assert county.row("property", 1)["city"] == "Finley"


def test_padded_text(county: County) -> None:
    """Case 73: char(n) comes without its padding."""
    redeclare(county.engine, retype("Property", ZipCode=SqlType("char", 10)))
    county.pacs(
        "INSERT INTO [dbo].[Property] (PropertyID, ParcelNumber, ZipCode, LastModified, IsActive) "
        f"VALUES ('{key('property', 1)}', '1-00001', '99350     ', '2026-01-15 04:00', 1)"
    )
    county.sync()
    assert county.row("property", 1)["zip_code"] == "99350"


def test_a_table_without_a_change_column_type(county: County) -> None:
    """A change column that carries no time is no reason to stop: every run reads the table whole."""
    redeclare(county.engine, retype("Property", LastModified=SqlType("varchar", 30)))
    with pytest.raises(ConfigError, match=r"LastModified: datetime -> varchar\(30\)"):
        county.sync()
    county.target.runs.accept_source(county.fips)
    county.add("property", 1, 2)
    for _ in range(2):
        published, certificate = county.sync()
        assert of(published, "property").mode == "full"
        assert certificate.clean
    assert len(county.rows("property")) == 2


@pytest.mark.parametrize(
    "kind", [SqlType("money"), SqlType("decimal", precision=38, scale=10)], ids=["money", "decimal"]
)
def test_exact_numbers(make_county: CountyMaker, changing_engine: Pacs, kind: SqlType) -> None:
    """Cases 62, 63: the largest money and a 38-digit decimal arrive with every digit."""
    largest = "922337203685477.5807" if kind.name == "money" else "1234567890123456789012345678.0123456789"
    redeclare(changing_engine, retype("PropertyValue", MarketValue=kind))
    county = make_county(["value"], engine=changing_engine, keep_engine=True)
    county.add("value", 1)
    county.pacs(f"UPDATE [dbo].[PropertyValue] SET MarketValue = {largest}")
    county.sync()
    assert county.row("value", 1)["market_value"] == Decimal(largest)
    assert county.reconcile().clean
    redeclare(changing_engine, retype("PropertyValue"))


def test_the_last_moment_of_the_calendar(make_county: CountyMaker, changing_engine: Pacs) -> None:
    """Cases 58, 59: the last microsecond of 9999 stays in year 9999 (the sandbox keeps no seventh digit), and
    0001-01-01 is a date.
    """
    kind = SqlType("datetime2", scale=7)
    redeclare(changing_engine, retype("PropertyOwner", StartDate=kind, EndDate=kind))
    county = make_county(["owner"], engine=changing_engine, keep_engine=True)
    county.add("owner", 1, StartDate="0001-01-01 00:00:00", EndDate="9999-12-31 23:59:59.999999")
    county.sync()
    row = county.row("owner", 1)
    assert row["start_date"].year == 1
    assert row["end_date"].isoformat(timespec="microseconds") == "9999-12-31T23:59:59.999999"
    redeclare(changing_engine, retype("PropertyOwner"))


def test_damaged_text(county: County) -> None:
    """Cases 69, 70: a replacement character or a NUL in a text puts the row in quarantine; nobody's run fails
    over it.
    """
    redeclare(county.engine, WIDE_ADDRESS)
    county.add("property", 1, City="Prosser")
    county.add("property", 2, at=county.stamp(minutes=5), Address="5 Ca\ufffdon Dr")
    county.add("property", 3, at=county.stamp(minutes=5))
    published, certificate = county.sync()
    assert of(published, "property").inserted == 1
    assert county.quarantine("property") == {key("property", 2): ["MAP.address"]}
    assert certificate.clean


def test_nothing_and_almost_nothing(county: County) -> None:
    """Case 84: '', ' ' and NULL are three values, and so are quotes, line ends and signs of every script."""
    redeclare(county.engine, WIDE_ADDRESS)
    texts = ["", " ", None, 'a "quoted", text', "two\r\nlines", "Ñandú 中文 🏠", "\\N", "NULL", "{a,b}", "'"]
    county.add("property", *range(10, 20), at=county.stamp(minutes=5))
    for number, text in enumerate(texts, start=10):
        county.change("property", number, at=county.stamp(minutes=5), Address=text)
    county.sync()
    assert [county.row("property", number)["address"] for number in range(10, 20)] == texts
    assert county.reconcile().clean


def test_a_catalog_that_nobody_may_read(county: County) -> None:
    """Views that are denied mean "unknown": the run reads everything, and fails over nothing."""
    county.source.denied = ("sys.columns", "INFORMATION_SCHEMA", "dm_tran")
    try:
        published, certificate = county.sync()
    except PacsError as error:  # pragma: no cover - says what went wrong
        pytest.fail(str(error))
    assert of(published, "property").mode == "full"
    assert certificate.clean
