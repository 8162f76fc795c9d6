"""Cases of the field about what a name at the source stands for: views, synonyms, keys, withheld columns, and
servers that lack a feature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.catalog.tables import Index
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, InProcessReader, key, new_engine, of, redeclare, retype


@pytest.fixture(scope="module")
def odd_engine() -> Iterator[SandboxEngine]:
    """A sandbox whose tables the tests of this module change."""
    engine = new_engine()
    yield engine
    engine.close()


class Answering(InProcessReader):
    """A reader of the sandbox whose catalog says what a test wants: a statement that holds a text is answered
    with rows, or changed.
    """

    answers: dict[str, list[dict[str, Any]]]
    changes: dict[str, Mapping[str, Any]]

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        for text, rows in self.answers.items():
            if text in sql:
                self.asked.append(sql)
                return rows
        rows = super().query(sql, params)
        for text, change in self.changes.items():
            if text in sql:
                rows = [row | change for row in rows]
        return rows


def answering(county: County, **catalog: Any) -> Answering:
    """Give the county a reader with other answers of the catalog."""
    reader = Answering(county.engine)  # type: ignore[arg-type]
    reader.answers, reader.changes = catalog.get("answers", {}), catalog.get("changes", {})
    county.source = reader
    return reader


@pytest.fixture
def stamped(make_county: CountyMaker, odd_engine: SandboxEngine) -> County:
    """A county whose properties have a rowversion."""
    redeclare(odd_engine, retype("Property", RowVer=SqlType("rowversion")))
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", 1, 2, City="Prosser")
    return county


def chosen(county: County) -> tuple[str, str]:
    """How the properties would be read, and why."""
    choice = resolve_tables(county.config, county.source)["property"]
    return choice.strategy, choice.reason


VIEW = {"kind": "V "}
LOCAL = {"server": None, "db": None, "name": "Property", "kind": "U ", "object_id": 77}


@pytest.mark.parametrize(
    ("references", "because"),
    [
        ([LOCAL | {"db": "PACS_OLTP", "kind": None, "object_id": None}], "reads from database PACS_OLTP"),
        ([LOCAL | {"server": "S2", "db": "x", "kind": None, "object_id": None}], "reads from server S2"),
        ([LOCAL, LOCAL | {"name": "Other", "db": "PACS_OLTP"}], "reads from database PACS_OLTP"),
        ([LOCAL | {"kind": "SN"}], "through the synonym Property"),
        ([], "nobody can tell whose counter"),
        ([LOCAL | {"kind": None, "object_id": None}], "nobody can tell whose counter"),
    ],
)
def test_a_view_with_a_rowversion_of_another_database(
    stamped: County, references: list[dict[str, Any]], because: str
) -> None:
    """Case D5: the stamps of a view onto another database are never compared with this database's bound: the
    next strategy reads the changes, and the run says why. So does a view that nobody can look through.
    """
    answering(
        stamped,
        answers={"sys.sql_expression_dependencies": references, "sys.synonyms": [{"base": "[x].[dbo].[y]"}]},
        changes={"FROM sys.columns AS c\nLEFT JOIN": VIEW},
    )
    for night in range(3):
        stamped.change("property", 1, City=f"City {night}")
        stamped.clock.step(hours=2)
        published, certificate = stamped.sync()
        assert stamped.row("property", 1)["city"] == f"City {night}"
        assert certificate.clean
    plan = stamped.plan_of(published.run_id, "property")
    assert plan.strategy == "last_modified"
    assert because in plan.reason
    assert because in chosen(stamped)[1]


def test_a_view_without_another_change_column_is_compared(
    make_county: CountyMaker, odd_engine: SandboxEngine
) -> None:
    """Case D5: where nothing else shows changes, every run compares, with the reason."""
    redeclare(
        odd_engine, retype("Property", RowVer=SqlType("rowversion"), LastModified=SqlType("varchar", 30))
    )
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", 1)
    references = [LOCAL | {"db": "PACS_OLTP", "kind": None, "object_id": None}]
    answering(
        county,
        answers={"sys.sql_expression_dependencies": references},
        changes={"FROM sys.columns AS c\nLEFT JOIN": VIEW},
    )
    county.sync()
    county.change("property", 1, at=None, City="Finley")
    published, _ = county.sync()
    assert county.row("property", 1)["city"] == "Finley"
    plan = county.plan_of(published.run_id, "property")
    assert plan.strategy == "compare"
    assert "reads from database PACS_OLTP, which has a counter of its own" in plan.reason


def test_a_view_of_this_database_keeps_its_rowversion(stamped: County) -> None:
    """Case D5: a view over this database's own tables, also through another view and a synonym, is read by
    its rowversion.
    """
    walk = {
        1: [LOCAL | {"name": "Inner", "kind": "V ", "object_id": 5}, LOCAL | {"kind": "FN"}],
        5: [LOCAL, LOCAL | {"kind": "SN", "object_id": 9}],
    }
    reader = answering(
        stamped,
        answers={"FROM sys.synonyms": [{"base": "[dbo].[Property]", "kind": "U ", "object_id": 77}]},
        changes={"FROM sys.columns AS c\nLEFT JOIN": VIEW | {"object_id": 1}},
    )
    known = reader.query

    def query(sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        if "sys.sql_expression_dependencies" in sql:
            return walk[int(str(params[0]))]
        return known(sql, params)

    reader.query = query  # type: ignore[method-assign]
    assert chosen(stamped)[0] == "rowversion"
    walk[5][1] |= {"db": "PACS_OLTP"}
    assert chosen(stamped)[0] == "last_modified"


def test_a_pinned_rowversion_of_another_database_is_refused(
    make_county: CountyMaker, odd_engine: SandboxEngine
) -> None:
    """Case D5: a county that insists learns what is wrong, not that the column is not there."""
    redeclare(odd_engine, retype("Property", RowVer=SqlType("rowversion")))
    sections = {"tables": {"property": {"mode": "rowversion"}}}
    county = make_county(engine=odd_engine, keep_engine=True, sections=sections)
    answering(
        county,
        answers={"sys.sql_expression_dependencies": [LOCAL | {"db": "PACS_OLTP"}]},
        changes={"FROM sys.columns AS c\nLEFT JOIN": VIEW},
    )
    with pytest.raises(ConfigError, match=r"can't be read by rowversion: the view .* database PACS_OLTP"):
        county.sync()


def test_a_server_without_min_active_rowversion(stamped: County) -> None:
    """Case D16: a rowversion column alone is not enough: without the bound the next strategy reads, and says
    why.
    """
    stamped.source.denied = ("MIN_ACTIVE_ROWVERSION",)
    stamped.sync()
    stamped.clock.step(hours=2)
    stamped.change("property", 1, City="Finley")
    stamped.clock.step(hours=2)
    published, certificate = stamped.sync()
    plan = stamped.plan_of(published.run_id, "property")
    assert (plan.strategy, plan.mode) == ("last_modified", "window")
    assert "does not answer MIN_ACTIVE_ROWVERSION()" in plan.reason
    assert stamped.row("property", 1)["city"] == "Finley"
    assert certificate.clean


@pytest.mark.parametrize(
    "lacking",
    [
        ("fn_my_permissions",),
        ("dm_tran_database_transactions",),
        ("sys.databases", "sys.synonyms", "sys.change_tracking", "sys.sql_expression_dependencies"),
        ("fn_my_permissions", "dm_tran_database_transactions", "MIN_ACTIVE_ROWVERSION", "sys.databases"),
    ],
)
def test_a_server_that_lacks_a_feature_still_synchronises(stamped: County, lacking: tuple[str, ...]) -> None:
    """Case D16: each feature is tried; none is assumed from a column that is there."""
    stamped.source.denied = lacking
    assert stamped.sync()[1].clean
    stamped.change("property", 2, City="Finley")
    stamped.clock.step(hours=2)
    assert stamped.sync()[1].clean
    assert stamped.row("property", 2)["city"] == "Finley"


def withhold(engine: SandboxEngine, what: str, column: str) -> None:
    """As ALTER TABLE ... ADD MASKED, or ENCRYPTED WITH, leave it in the catalog."""
    engine.con.execute(f"""UPDATE "PACS.sys"."columns" SET {what} WHERE name = '{column}'""")


@pytest.mark.parametrize(
    ("what", "words"), [("is_masked = true", "masks"), ("encryption_type = 1", "Always")]
)
def test_a_column_that_comes_later_and_is_withheld(
    make_county: CountyMaker, odd_engine: SandboxEngine, what: str, words: str
) -> None:
    """Case D6: `new_columns: add` carries no masked or encrypted column, just as no mapped one is read."""
    redeclare(odd_engine, retype("Property"))
    county = make_county(engine=odd_engine, keep_engine=True, new_columns="add")
    county.add("property", 1)
    county.sync()
    redeclare(odd_engine, retype("Property", Ssn=SqlType("varchar", 11)))
    county.add("property", 1, Ssn="078-05-1120")
    withhold(odd_engine, what, "Ssn")
    county.source = InProcessReader(odd_engine, "pacs_reader", "Sandbox!Reader1")
    with pytest.raises(ConfigError, match=rf"{words}.*'Ssn'|'Ssn'.*{words}") as refused:
        county.sync()
    assert "new_columns: ignore" in refused.value.remedy
    assert not [sql for sql in county.source.asked if "[Ssn]" in sql]
    assert county.row("property", 1)["extra"] is None


def base(name: str) -> dict[str, Any]:
    return {"answers": {"FROM sys.synonyms": [{"base": name}]}}


def test_a_synonym_is_read_through(make_county: CountyMaker, odd_engine: SandboxEngine) -> None:
    """Case D14: the catalog has no columns of a synonym; those of what it stands for count."""
    redeclare(odd_engine, retype("Property"))
    county = make_county(
        engine=odd_engine, keep_engine=True, sections={"tables": {"property": {"table": "Prop"}}}
    )
    county.add("property", 1, City="Finley")
    reader = answering(county, **base("[dbo].[Property]"))
    inner, read = reader._inner, []

    class Synonyms:
        """A server that knows the synonym."""

        def __getattr__(self, name: str) -> Any:
            def call(sql: str, params: Sequence[object] = (), **kwargs: Any) -> Any:
                read.extend([sql] * ("FROM [dbo].[Prop] AS s" in sql))
                real = sql.replace("[dbo].[Prop] AS s", "[dbo].[Property] AS s")
                return getattr(inner, name)(real, params, **kwargs)

            return call if name in ("query", "stream") else getattr(inner, name)

    reader._inner = Synonyms()  # type: ignore[assignment]
    assert county.sync()[1].clean
    assert county.row("property", 1)["city"] == "Finley"
    assert read  # by its own name: the login's rights may be on the synonym alone


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("[FARM].[PACS].[dbo].[Property]", "dbo.Prop is a synonym for .*, a table of another server"),
        ("[dbo].[Gone]", r"dbo.Prop is a synonym for \[dbo\].\[Gone\], which does not exist"),
    ],
)
def test_a_synonym_that_can_not_be_read_is_named(
    make_county: CountyMaker, odd_engine: SandboxEngine, named: str, words: str
) -> None:
    """Case D14: what a synonym stands for is said, not that there is no such table."""
    county = make_county(
        engine=odd_engine, keep_engine=True, sections={"tables": {"property": {"table": "Prop"}}}
    )
    answering(county, **base(named))
    with pytest.raises(ConfigError, match=words):
        county.sync()


def test_a_synonym_for_another_database_has_no_usable_rowversion(stamped: County) -> None:
    """Cases D5, D14: its columns are asked for in that database, and its counter is another one."""
    asked: list[str] = []

    class Elsewhere(Answering):
        def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
            if "[OLTP].sys" in sql:
                asked.append(sql)
                params = tuple(str(value).replace("[OLTP].", "") if value else value for value in params)
                return super().query(sql.replace("[OLTP].", ""), params)
            if "FROM sys.columns AS c\nLEFT JOIN" in sql:
                return []
            return super().query(sql, params)

    reader = Elsewhere(stamped.engine)  # type: ignore[arg-type]
    reader.answers, reader.changes = {"FROM sys.synonyms": [{"base": "[OLTP].[dbo].[Property]"}]}, {}
    stamped.source = reader
    strategy, reason = chosen(stamped)
    assert strategy == "last_modified"
    assert "synonym for a table of database OLTP" in reason
    assert asked
    assert all(re.search(r"\[OLTP\]\.sys\.(columns|objects|indexes)", sql) for sql in asked)


@pytest.mark.parametrize("nullable", [False, True])
def test_a_unique_key_beside_the_primary_key(
    make_county: CountyMaker, odd_engine: SandboxEngine, nullable: bool
) -> None:
    """Case D12: `ID int PRIMARY KEY, PropertyID uniqueidentifier UNIQUE` has two keys, and either may be
    mapped; one that may be NULL counts while it never is.
    """
    redeclare(odd_engine, keyed_twice(nullable=nullable))
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", 1, ID=7)
    assert county.sync()[1].clean
    assert county.rows("property").keys() == {key("property", 1)}


@pytest.mark.parametrize(
    "index", [None, Index("u", ("PropertyID", "City"), unique=True), Index("u", ("PropertyID",))]
)
def test_a_key_that_is_not_unique_is_refused(
    make_county: CountyMaker, odd_engine: SandboxEngine, index: Index | None
) -> None:
    """Case D12: an index that is not unique, or unique only with another column, makes no key."""
    redeclare(odd_engine, keyed_twice(index=index, nullable=False))
    county = make_county(engine=odd_engine, keep_engine=True)
    with pytest.raises(
        ConfigError, match=r"primary key of dbo.Property is \(ID\).*is not declared as unique"
    ):
        county.sync()


def test_a_unique_key_that_is_null_somewhere_is_refused(
    make_county: CountyMaker, odd_engine: SandboxEngine
) -> None:
    """Case D12: a row without its key would be nobody."""
    redeclare(odd_engine, keyed_twice(nullable=True))
    county = make_county(engine=odd_engine, keep_engine=True)
    county.add("property", 1, ID=7)
    county.add("property", 2, ID=8, PropertyID=None)
    with pytest.raises(ConfigError, match="is unique but NULL in a row"):
        county.sync()


UNIQUE = Index("UQ_Property", ("PropertyID",), unique=True, constraint=True)


def keyed_twice(*, nullable: bool, index: Index | None = UNIQUE) -> Any:
    """dbo.Property with an int as its primary key."""
    table = retype("Property", ID=SqlType("int"))
    columns = tuple(
        replace(column, nullable=nullable if column.name == "PropertyID" else column.nullable)
        for column in table.columns
    )
    return replace(table, columns=columns, primary_key=("ID",), indexes=(index,) if index else ())


def test_a_server_with_everything(stamped: County) -> None:
    """Case D16: the rowversion is used where nothing speaks against it."""
    published, _ = stamped.sync()
    assert of(published, "property").read == 2
    assert stamped.plan_of(published.run_id, "property").strategy == "rowversion"


def test_a_check_says_what_a_server_lacks(stamped: County) -> None:
    """Case D16: each feature is tried, and the report says what a run does without it."""
    lacking = ("MIN_ACTIVE_ROWVERSION", "dm_tran_database_transactions", "fn_my_permissions")
    names = {f"database.without.{name.lower()}" for name in lacking}
    report = examine(stamped.config, stamped.source, stamped.target)
    assert not names & {finding.id for finding in report.findings}
    stamped.source.denied = lacking
    report = examine(stamped.config, stamped.source, stamped.target)
    states = {finding.id: finding.state for finding in report.findings}
    assert {states[name] for name in names} == {"unknown"}
    assert "next strategy" in next(each.text for each in report.findings if "min_active" in each.id)


@pytest.mark.parametrize(
    ("entity", "usual", "other"),
    [("owner", "PropertyOwner", "Owner"), ("value", "PropertyValue", "ValueHistory")],
)
def test_both_of_the_documents_names_of_a_table_are_read(
    make_county: CountyMaker, entity: str, usual: str, other: str
) -> None:
    """Case D13: the document's schema and its adapter call two tables differently; the one that exists is read,
    without a setting, and the check says which.
    """
    engine = new_engine()
    county = make_county(("property", entity), engine=engine)
    county.add("property", 1)
    county.add(entity, 1)
    usual_columns = examine(county.config, county.source, county.target)
    assert f"of dbo.{usual} are" in finding(usual_columns, f"schema.{entity}")
    known = engine.catalog.table("PACS", "dbo", usual)
    assert known is not None
    renamed = replace(known, name=other)
    engine.catalog.add_table(renamed)
    engine.publish()
    county.pacs(f"INSERT INTO dbo.[{other}] SELECT * FROM dbo.[{usual}]")
    county.pacs(f"DROP TABLE dbo.[{usual}]")
    assert county.sync()[1].clean
    assert county.rows(entity).keys() == {key(entity, 1)}
    report = examine(county.config, county.source, county.target)
    assert f"dbo.{other}, in the place of {usual}" in finding(report, f"schema.{entity}")
    county.pacs(f"DROP TABLE dbo.[{other}]")
    with pytest.raises(ConfigError, match=f"table dbo.{usual} and dbo.{other} .* does not exist"):
        county.sync()


def finding(report: Any, name: str) -> str:
    return str(next(each.text for each in report.findings if each.id == name))


def test_a_county_that_names_its_table_gets_no_other(make_county: CountyMaker) -> None:
    """Case D13: alternatives are the profile's; a name in the county's file is the only one."""
    county = make_county(("owner",), sections={"tables": {"owner": {"table": "Missing"}}})
    with pytest.raises(ConfigError, match=r"table dbo\.Missing for entity 'owner' does not exist"):
        county.sync()


def test_a_parcel_number_that_the_county_keeps_as_a_float(
    make_county: CountyMaker, odd_engine: SandboxEngine
) -> None:
    """Case D3: 104881010001 is that number in the platform, as a column and in `extra`."""
    redeclare(odd_engine, retype("Property", GeoF=SqlType("float"), GeoR=SqlType("real")))
    mapped = {"columns": {"parcel_number": "GeoF"}, "extra": {"geo": "GeoF", "geo_short": "GeoR"}}
    county = make_county(engine=odd_engine, keep_engine=True, sections={"tables": {"property": mapped}})
    county.add("property", 1, GeoF=104881010001.0, GeoR=0.1)
    assert county.sync()[1].clean
    row = county.row("property", 1)
    assert row["parcel_number"] == "104881010001"
    (text,) = county.sql("SELECT extra::text AS extra FROM pacs.property WHERE county_id = %s", county.fips)
    assert text["extra"] == '{"geo": 104881010001, "geo_short": 0.1}'
