"""PacsHook against a served county: records as Arrow, Airflow's own SQL operators, SQLAlchemy's pool and
reflection.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLExecuteQueryOperator
from airflow.sdk.serde import deserialize
from bad_counties import ODD_SCHEMA, ODD_TABLE, World
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world
from county_dags import airflow_folder as airflow_folder
from county_dags import store

from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.sync.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("trusting", "without_waiting")

OPERATORS_DAG = """
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLExecuteQueryOperator
from airflow.sdk import DAG

with DAG("pacs_sql_operators", schedule=None) as dag:
    rows = SQLExecuteQueryOperator(
        task_id="rows", conn_id="pacs_benton_wa", sql="SELECT COUNT(*) AS n FROM dbo.Property WHERE YearBuilt > ?", parameters=(0,)
    )
    checked = SQLColumnCheckOperator(
        task_id="checked",
        conn_id="pacs_benton_wa",
        table="dbo.Property",
        column_mapping={"PropertyID": {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}}, "Acreage": {"min": {"geq_to": -100}}},
    )
    rows >> checked
"""


@pytest.fixture(params=["pacs", "mssql"])
def conn_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stored(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    keep(world, monkeypatch, "pacs")
    return world


def keep(world: World, monkeypatch: pytest.MonkeyPatch, conn_type: str) -> None:
    source = world.source
    place = {
        "host": source.host,
        "port": source.port,
        "schema": source.database,
        "login": source.user,
        "password": source.password,
    }
    store(monkeypatch, "pacs_benton_wa", conn_type=conn_type, extra=source.options, **place)


def table(batches: Iterator[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(list(batches))


@pytest.mark.parametrize("entity", ["property", "owner", "value", "structure"])
def test_all_records_are_all_rows_under_our_names(stored: World, entity: str) -> None:
    source = {
        "property": "Property",
        "owner": "PropertyOwner",
        "value": "PropertyValue",
        "structure": "Structure",
    }[entity]
    ((expected,),) = stored.rows(f"SELECT COUNT(*) FROM [dbo].[{source}]")
    records = table(PacsHook("pacs_benton_wa").get_all_records(entity, batch_rows=150))
    assert records.num_rows == expected
    assert records.schema.names[-1] == "_source_version"
    assert "last_modified" in records.schema.names


def test_long_texts_arrive_whole(stored: World) -> None:
    longest = "é§\n" * 30_000
    stored.execute(
        "UPDATE [dbo].[Property] SET LegalDescription = ? WHERE ParcelNumber = (SELECT MIN(ParcelNumber) "
        "FROM [dbo].[Property])",
        longest,
    )
    texts = table(PacsHook("pacs_benton_wa").get_all_records("property"))["legal_description"].to_pylist()
    assert longest in texts


def test_changed_records_start_at_a_stamp_and_take_it_back(stored: World) -> None:
    hook = PacsHook("pacs_benton_wa")
    stamps = sorted(
        stamp for stamp in table(hook.get_all_records("owner"))["_source_version"].to_pylist() if stamp
    )
    since = stamps[len(stamps) // 2]
    changed = table(hook.get_changed_records("owner", since))["_source_version"].to_pylist()
    assert sorted(changed) == [stamp for stamp in stamps if stamp >= since]
    assert table(hook.get_changed_records("owner", "2999-01-01")).num_rows == 0


def test_related_records_belong_to_the_keys(stored: World) -> None:
    hook = PacsHook("pacs_benton_wa")
    keys = table(hook.get_all_records("property"))["property_id"].to_pylist()
    some = keys[:20]
    related = table(hook.get_related_records("property", some, "owner"))
    owners = table(hook.get_all_records("owner"))["property_id"].to_pylist()
    assert related.num_rows == sum(owner in some for owner in owners) > 0
    assert set(related["property_id"].to_pylist()) <= set(some)
    assert list(hook.get_related_records("property", [], "owner")) == []


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda hook: hook.get_all_records("ownr"), ("'ownr'", "property, owner")),
        (lambda hook: hook.get_all_records("owner", profile="harris"), ("'harris'", "generic")),
        (lambda hook: hook.get_changed_records("parcels", "2026-01-01"), ("'parcels'",)),
        (lambda hook: hook.get_related_records("property", ["x"], "property"), ("'property'", "owner")),
        (lambda hook: hook.get_related_records("owner", ["x"], "value"), ("'value'", "none")),
    ],
)
def test_a_wrong_name_says_which_are_right(stored: World, ask: object, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        list(ask(PacsHook("pacs_benton_wa")))  # type: ignore[operator]
    assert all(word in str(caught.value) for word in (*words, "Remedy: "))


def test_airflows_sql_operators_run_on_a_pacs_connection_in_a_dag(
    stored: World, airflow_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    file = airflow_folder / "sql_operators.py"
    file.write_text(OPERATORS_DAG, "utf-8")
    try:
        bag = DagBag(str(file), collect_dags=False)
        bag.process_file(str(file), only_if_updated=False)
        run = bag.dags["pacs_sql_operators"].test()
    finally:
        file.unlink()
    assert {instance.task_id: str(instance.state) for instance in run.get_task_instances()} == {
        "rows": "success",
        "checked": "success",
    }
    (instance,) = [instance for instance in run.get_task_instances() if instance.task_id == "rows"]
    pulled = instance.xcom_pull(task_ids="rows")
    ((count,),) = deserialize(pulled)
    assert 150 < count <= 200


def test_the_hook_reads_an_existing_mssql_connection(
    world: World, monkeypatch: pytest.MonkeyPatch, conn_type: str
) -> None:
    keep(world, monkeypatch, conn_type)
    hook = PacsHook("pacs_benton_wa")
    assert hook.get_records("SELECT COUNT(*) FROM dbo.Property") == [(200,)]
    assert hook.test_connection()[0] is True
    assert table(hook.get_all_records("property")).num_rows == 200


def test_an_operator_takes_our_hook_on_an_mssql_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow picks the hook by the connection's type: pymssql for `mssql`.

    An operator that shall use ours gets it by name.
    """
    keep(world, monkeypatch, "mssql")

    class Rows(SQLExecuteQueryOperator):
        def get_db_hook(self) -> PacsHook:
            return PacsHook(self.conn_id)

    class Checks(SQLColumnCheckOperator):
        def get_db_hook(self) -> PacsHook:
            return PacsHook(self.conn_id)

    assert Rows(task_id="rows", conn_id="pacs_benton_wa", sql="SELECT COUNT(*) FROM dbo.Structure").execute(
        {}
    ) == [(240,)]
    checks = {"StructureID": {"null_check": {"equal_to": 0}}}
    Checks(task_id="checks", conn_id="pacs_benton_wa", table="dbo.Structure", column_mapping=checks).execute(
        {}
    )


def test_sqlalchemy_reflects_the_county(stored: World) -> None:
    engine = PacsHook("pacs_benton_wa").get_sqlalchemy_engine()
    try:
        look = sa.inspect(engine)
        assert "dbo" in look.get_schema_names()
        assert {"Property", "PropertyOwner", "PropertyValue", "Structure"} <= set(look.get_table_names("dbo"))
        assert ODD_TABLE in look.get_table_names(sa.sql.quoted_name(ODD_SCHEMA, quote=True))
        columns = {column["name"]: column for column in look.get_columns("PropertyOwner", "dbo")}
        assert list(columns)[:3] == ["OwnerID", "PropertyID", "OwnerName"]
        assert (columns["OwnerID"]["nullable"], columns["EndDate"]["nullable"]) == (False, True)
        assert columns["OwnerName"]["type"].length == 255  # type: ignore[attr-defined]
        assert look.get_pk_constraint("PropertyOwner", "dbo")["constrained_columns"] == ["OwnerID"]
        indexes = {
            str(index["name"]): index["column_names"] for index in look.get_indexes("PropertyOwner", "dbo")
        }
        assert indexes["IX_PropertyOwner_LastModified"] == ["LastModified"]
        (key,) = look.get_foreign_keys("PropertyOwner", "dbo")
        assert (key["constrained_columns"], key["referred_table"], key["referred_columns"]) == (
            ["PropertyID"],
            "Property",
            ["PropertyID"],
        )
        owner = sa.Table("PropertyOwner", sa.MetaData(), schema="dbo", autoload_with=engine)
        assert {fk.column.table.name for fk in owner.foreign_keys} == {"Property"}
        with engine.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(owner)).scalar_one() == 300
            assert (
                len(connection.execute(sa.select(owner.c.OwnerID).order_by(owner.c.OwnerID).limit(5)).all())
                == 5
            )
        assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    finally:
        engine.dispose()
