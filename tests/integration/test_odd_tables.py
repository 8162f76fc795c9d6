"""Tables that are made again, masked, oddly named, or keyed by text (correctness.md A1, A3 to A5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sync.incremental import rowversion
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import describe
from airflow_provider_pacs.sync.schema.tsql import quote
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.integration.conftest import CountyMaker
from tests.support.county import County, InProcessReader, key, new_engine, of, redeclare, retype
from tests.support.server import MssqlServer


@pytest.fixture(scope="module")
def odd_engine() -> Iterator[SandboxEngine]:
    """A sandbox whose tables the tests of this module change."""
    engine = new_engine()
    yield engine
    engine.close()


@pytest.fixture
def county(make_county: CountyMaker, odd_engine: SandboxEngine) -> County:
    """A county with two published properties, whose tables may change."""
    redeclare(odd_engine, retype("Property"))
    made = make_county(engine=odd_engine, keep_engine=True)
    made.add("property", 1, 2, City="Prosser")
    made.sync()
    made.clock.step(hours=3)
    return made


def made_again(engine: SandboxEngine, table: Table) -> None:
    """DROP TABLE and CREATE TABLE: the same name, another object."""
    engine.con.execute(f"DROP TABLE {table.stored}")
    engine.catalog.add_table(table)
    engine.publish()


def test_a_table_that_is_dropped_and_made_again(county: County) -> None:
    """Case 54: the new table's stamps may lie behind the cursor, so every row is read again and compared."""
    made_again(county.engine, retype("Property"))
    county.add("property", 1, 3, at="2020-01-01 00:00:00", City="Finley")
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    live = {key_ for key_, row in county.rows("property").items() if row["_deleted_at"] is None}
    assert live == {key("property", 1), key("property", 3)}
    assert {county.row("property", number)["city"] for number in (1, 3)} == {"Finley"}
    assert certificate.clean
    county.clock.step(hours=1)
    assert of(county.sync()[0], "property").mode == "window"


def test_a_table_made_again_has_another_fingerprint(mssql: MssqlServer) -> None:
    """Case 54: the server gives it another object_id, though its columns are the same."""
    columns = "k int NOT NULL PRIMARY KEY, v varchar(10) NULL"
    mapped = TableMap("property", "dbo", "", None, (("property_id", "k"), ("city", "v")))
    with mssql.table(columns) as name, SqlServerReader(mssql.address, attempts=1) as reader:
        table = replace(mapped, table=name)
        first, same = describe(reader, table), describe(reader, table)
        mssql.execute(f"DROP TABLE dbo.{name}", f"CREATE TABLE dbo.{name} ({columns})")
        again = describe(reader, table)
    assert first.object_id is not None
    assert first.fingerprint == same.fingerprint
    assert first.columns == again.columns
    assert first.fingerprint != again.fingerprint


def test_a_column_that_may_be_null_from_now_on(county: County) -> None:
    """Case 49: NULL arrives where the target allows it; where a rule forbids it the row waits in quarantine,
    and nobody's run fails.
    """
    table = retype("Property")
    redeclare(
        county.engine,
        replace(table, columns=tuple(replace(column, nullable=True) for column in table.columns)),
    )
    county.add("property", 1, IsActive=None)
    county.add("property", 2, 3, City=None)
    county.change("property", 3, ParcelNumber=None)
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 2)["city"] is None
    assert set(county.quarantine("property")) >= {key("property", 3)}
    assert key("property", 2) not in county.quarantine("property")
    assert certificate.clean


@pytest.mark.parametrize("columns", [("ParcelNumber",), ("PropertyID", "ParcelNumber")])
def test_another_primary_key(county: County, columns: tuple[str, ...]) -> None:
    """Cases 10, 50: a key that is not the mapped one stops the run before it reads; so does one of two
    columns, of which the mapping knows one.
    """
    redeclare(county.engine, replace(retype("Property"), primary_key=columns))
    county.add("property", 1, 2)
    county.source.asked.clear()
    with pytest.raises(
        ConfigError, match=rf"primary key of dbo.Property is \({', '.join(columns)}\)"
    ) as refused:
        county.sync()
    assert refused.value.code == "PACS-003"
    assert not [sql for sql in county.source.asked if "FROM [dbo].[Property]" in sql]
    assert len(county.rows("property")) == 2


def test_stamps_with_an_offset(make_county: CountyMaker) -> None:
    """Case 16: two stamps of one moment, written in two zones, are in the same windows."""
    county = make_county(
        engine=new_engine(retype("Property", LastModified=SqlType("datetimeoffset", scale=3))),
        overlap_minutes=0,
        lag_seconds=0,
    )
    county.add("property", 1, 2, 3, at="2026-01-10 00:00:00 -08:00")
    county.sync()
    for _ in range(2):
        county.clock.step(hours=1)
        moment = county.clock.instant().utc
        for number, hours in ((1, -8), (2, 14)):
            stamp = (moment + timedelta(hours=hours)).isoformat(" ", "milliseconds") + f" {hours:+03d}:00"
            county.change("property", number, at=stamp, City=f"City {moment.hour}")
        county.clock.step(seconds=1)
        published, certificate = county.sync()
        outcome = of(published, "property")
        assert (outcome.mode, outcome.read, outcome.updated) == ("window", 2, 2)
        assert certificate.clean
    assert county.row("property", 1)["last_modified"] == county.row("property", 2)["last_modified"]
    assert county.row("property", 3)["city"] == "Prosser"


def withhold(engine: SandboxEngine, what: str, column: str) -> None:
    """As ALTER TABLE ... ADD MASKED, or ENCRYPTED WITH, leave it in the catalog."""
    engine.con.execute(f"""UPDATE "PACS.sys"."columns" SET {what} WHERE name = '{column}'""")


@pytest.mark.parametrize(
    ("what", "column", "words"),
    [
        ("is_masked = true", "City", "masks 'City'"),
        ("is_masked = true", "LastModified", "masks"),
        ("encryption_type = 1", "City", "Always Encrypted"),
    ],
)
def test_withheld_values_never_overwrite_real_ones(
    county: County, what: str, column: str, words: str
) -> None:
    """Case 82: a mapped column that the server masks or encrypts stops the run before it reads."""
    withhold(county.engine, what, column)
    county.change("property", 1, 2, City="xxxx")
    county.source = InProcessReader(county.engine, "pacs_reader", "Sandbox!Reader1")
    with pytest.raises(ConfigError, match=words) as refused:
        county.sync()
    assert refused.value.code == "PACS-003"
    assert not [sql for sql in county.source.asked if "FROM [dbo].[Property]" in sql]
    assert {row["city"] for row in county.rows("property").values()} == {"Prosser"}


def test_masked_columns_that_do_no_harm(county: County) -> None:
    """Case 82: one that is not mapped, and any for a login that may unmask.

    Where nobody can tell whether it may, it may not.
    """
    redeclare(county.engine, retype("Property", Zoning=SqlType("varchar", 10)))
    county.add("property", 1, 2, City="Finley", at=county.stamp(minutes=5))
    withhold(county.engine, "is_masked = true", "Zoning")
    reader = InProcessReader(county.engine, "pacs_reader", "Sandbox!Reader1")
    county.source, administrator = reader, county.source
    county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    withhold(county.engine, "is_masked = true", "City")
    county.source = administrator
    assert county.sync()[1].clean
    administrator.denied = ("HAS_PERMS_BY_NAME",)
    with pytest.raises(ConfigError, match="masks 'City'"):
        county.sync()


SPELLINGS = ["{plain}", "{PLAIN}", "{{{PLAIN}}}", "{digits}", "{PLAIN}   ", "{{{plain}}}  "]


def spelled(number: int, spelling: str) -> str:
    plain = key("property", number)
    return spelling.format(plain=plain, PLAIN=plain.upper(), digits=plain.replace("-", ""))


@pytest.mark.parametrize("kind", [SqlType("varchar", 45), SqlType("nchar", 45)], ids=["varchar", "nchar"])
def test_a_key_of_text_that_changes_only_its_spelling(
    make_county: CountyMaker, odd_engine: SandboxEngine, kind: SqlType
) -> None:
    """Case 36: the same digits are the same row, however the county writes them; a second look by key finds
    the row too.
    """
    redeclare(odd_engine, retype("Property", PropertyID=kind))
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", *range(len(SPELLINGS)))
    county.sync()
    first_seen = {key: row["_first_seen_at"] for key, row in county.rows("property").items()}
    for number, spelling in enumerate(SPELLINGS):
        # Without a stamp: only the full comparison sees it, looks at each differing row once more by its key,
        # and repairs it.
        statement = (
            f"UPDATE [dbo].[Property] SET PropertyID = '{spelled(number, spelling)}', City = "
            "'Finley' WHERE "
            f"ParcelNumber = '1-{number:05d}'"
        )
        county.pacs(statement)
    certificate = county.reconcile()
    rows = county.rows("property")
    assert {row["city"] for row in rows.values()} == {"Finley"}
    assert {key: row["_first_seen_at"] for key, row in rows.items()} == first_seen
    assert not [row for row in rows.values() if row["_deleted_at"]]
    assert certificate.clean
    assert not county.quarantine("property")


def test_a_key_of_text_that_is_no_guid(make_county: CountyMaker, odd_engine: SandboxEngine) -> None:
    """Case 36: braces that do not match, and blanks in front, are no spelling of a GUID: such a row has no
    key, which rule F1.1 tells.
    """
    redeclare(odd_engine, retype("Property", PropertyID=SqlType("varchar", 45)))
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", 1, 2, 3, 4)
    for number, text in (
        (1, "{" + key("property", 1)),
        (2, key("property", 2) + "}"),
        (3, " " + key("property", 3)),
    ):
        county.pacs(
            f"UPDATE [dbo].[Property] SET PropertyID = '{text}' WHERE ParcelNumber = '1-{number:05d}'"
        )
    _, certificate = county.sync()
    assert certificate.state == "blocked"
    assert "F1.1 Every property has its key: 3 of 4 rows" in certificate.entities[0].message


LONG = "x" * 100
NAMES = {
    "ParcelNumber": f"{LONG} parcel",
    "Address": f"{LONG} address",
    "City": "city]; DROP TABLE [Property",
    "State": 'st"ate',
    "ZipCode": "zip'code --",
    "Acreage": "select",
    "YearBuilt": " year built ",
    "IsActive": "]" * 128,
}


def test_long_and_hostile_names_at_the_source(make_county: CountyMaker, odd_engine: SandboxEngine) -> None:
    """Case 83: columns that differ only after 63 bytes, and names that would be more than names, stay one
    column each.
    """
    known = retype("Property")
    columns = tuple(replace(column, name=NAMES.get(column.name, column.name)) for column in known.columns)
    table = Table(known.database, known.schema, "Prop]erty", columns, known.primary_key)
    odd_engine.catalog.add_table(table)
    odd_engine.publish()
    mapped = {canonical: NAMES[name] for canonical, name in CANONICAL.items()}
    county = make_county(
        engine=odd_engine,
        keep_engine=True,
        sections={"tables": {"property": {"table": "Prop]erty", "columns": mapped}}},
    )
    values = {
        "PropertyID": key("property", 1),
        "LastModified": "2026-01-15 01:00",
        **{NAMES[name]: VALUES[name] for name in NAMES},
    }
    names, texts = ", ".join(map(quote, values)), ", ".join(f"'{value}'" for value in values.values())
    county.pacs(f"INSERT INTO [dbo].[Prop]]erty] ({names}) VALUES ({texts})")
    _, certificate = county.sync()
    row = county.row("property", 1)
    assert {name: str(row[canonical]) for canonical, name in CANONICAL.items()} == VALUES
    assert certificate.clean
    county.pacs("DROP TABLE [dbo].[Prop]]erty]")


CANONICAL = {
    "parcel_number": "ParcelNumber", "address": "Address", "city": "City", "state": "State", "zip_code": "ZipCode", "acreage": "Acreage",
    "year_built": "YearBuilt", "is_active": "IsActive",
}  # fmt: skip
VALUES = {
    "ParcelNumber": "1-1", "Address": "1 Main St", "City": "Prosser", "State": "WA", "ZipCode": "99350", "Acreage": "0.25", "YearBuilt": "1999",
    "IsActive": "True",
}  # fmt: skip


def test_rowversions_are_compared_as_eight_bytes(mssql: MssqlServer) -> None:
    """Case 78: as bigints the half from 0x80 on would be negative, and a cursor in it would fall back to the
    bound.
    """
    with SqlServerReader(mssql.address, attempts=1) as reader:
        request = BoundsRequest("", "", "0x8000000000000001", None, lag_seconds=0, overlap_minutes=0)
        query = rowversion.bounds_query(request)
        bounds = reader.query(query.sql, query.params)[0]
    assert (bounds["lo"], bounds["behind"]) == ("0x8000000000000001", 1)
    assert bounds["hi"] < "0x8000000000000000"


def test_a_column_of_the_sandbox_stays_what_it_was(odd_engine: SandboxEngine) -> None:
    """`redeclare` stands for ALTER TABLE: the table's number stays."""
    before = odd_engine.catalog.table("PACS", "dbo", "Property")
    redeclare(
        odd_engine,
        replace(retype("Property"), columns=(*retype("Property").columns, Column("More", SqlType("int")))),
    )
    after = odd_engine.catalog.table("PACS", "dbo", "Property")
    assert before is not None
    assert after is not None
    assert before.object_id == after.object_id
