"""Which database answers, and tables that are read by a rowversion column."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, Pacs, of


def remember(county: County, part: str, value: str) -> None:
    """As if the county had been read from another database."""
    county.sql(
        "UPDATE pacs_ops.county SET source_identity = jsonb_set(source_identity, ARRAY[%s], "
        "to_jsonb(%s::text)) WHERE county_id = %s",
        part,
        value,
        county.fips,
    )


@pytest.mark.parametrize("part", ["server", "db", "guid", "broker"])
def test_another_database_behind_the_name_is_refused(county: County, part: str) -> None:
    """Case 118: nothing is read and nothing written, until somebody says that the move is intended."""
    county.add("property", 1)
    county.sync()
    remember(county, part, "another")
    county.remove("property", 1)
    county.source.asked.clear()
    with pytest.raises(ConfigError, match="another database answers"):
        county.sync()
    assert not [sql for sql in county.source.asked if "FROM [dbo].[Property]" in sql]
    assert len(county.rows("property")) == 1
    county.target.runs.accept_source(county.fips)
    assert of(county.sync()[0], "property").mode == "full"


def test_a_restored_database_is_compared_in_full(county: County) -> None:
    """Cases 87, 88: after a restore the cursor means nothing; a run that fails right then leaves no cursor
    that looks valid.
    """
    county.add("property", 1, City="Old")
    county.sync()
    county.change("property", 1, at=None, City="Restored")
    remember(county, "fork", "before the restore")
    county.source.before_stream = lambda sql: (_ for _ in ()).throw(ConfigError("stopped"))
    with pytest.raises(ConfigError, match="stopped"):
        county.sync()
    county.source.before_stream = None
    published, certificate = county.sync()
    assert of(published, "property").mode == "full"
    assert county.row("property", 1)["city"] == "Restored"
    assert certificate.clean


@pytest.fixture
def versioned(make_county: CountyMaker, versioned_engine: Pacs) -> County:
    """A county whose table has a rowversion column, with two published properties."""
    county = make_county(engine=versioned_engine, keep_engine=True)
    county.add("property", 1, 2)
    county.sync()
    return county


def test_a_cursor_ahead_of_the_databases_counter_means_a_comparison(versioned: County) -> None:
    """Case C13: the database was replaced by an older one, and the login may not see its recovery fork."""
    versioned.change("property", 1, at=None, City="Older")
    versioned.sql(
        "UPDATE pacs_ops.sync_state SET watermark = '0x00000000FFFFFFFF' WHERE county_id = %s", versioned.fips
    )
    versioned.source.denied = ("database_recovery_status",)
    published, certificate = versioned.sync()
    assert of(published, "property").mode == "full"
    assert versioned.row("property", 1)["city"] == "Older"
    assert certificate.clean


def test_rowversion_sees_what_no_stamp_shows(versioned: County) -> None:
    """Case 26: a bulk update that leaves LastModified alone."""
    versioned.change("property", 1, at=None, City="Silent")
    published, certificate = versioned.sync()
    outcome = of(published, "property")
    assert (outcome.mode, outcome.read, outcome.updated) == ("window", 1, 1)
    assert versioned.row("property", 1)["city"] == "Silent"
    assert certificate.clean


def test_a_rowversion_window_waits_for_open_writers(versioned: County) -> None:
    """Cases 19, 20: a row written before and committed after a run arrives with the next one."""
    writer = versioned.writer()
    writer.begin()
    writer.execute(versioned.change_statement("property", 1, at=None, City="Late"))
    versioned.change("property", 2, at=None, City="Soon")
    versioned.sync()
    writer.commit()
    versioned.sync()
    assert {row["city"] for row in versioned.rows("property").values()} == {"Late", "Soon"}
    assert versioned.reconcile().clean


def test_the_countys_file_pins_a_mode(versioned: County) -> None:
    versioned.configure(tables={"property": {"mode": "last_modified"}})
    assert of(versioned.sync()[0], "property").mode == "full"  # the cursor was another column's
    assert versioned.state("property").strategy == "last_modified"
    versioned.configure(tables={"property": {"mode": "compare"}})
    for _ in range(2):
        assert of(versioned.sync()[0], "property").mode == "full"


def test_a_mode_that_a_table_does_not_allow(county: County) -> None:
    county.configure(tables={"property": {"mode": "rowversion"}})
    with pytest.raises(ConfigError, match="no rowversion column"):
        county.sync()
