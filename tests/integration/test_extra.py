"""Columns beyond the canonical ones: carried in `extra`, by name or because they are new (correctness.md A4,
case 44).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key, new_engine, of, redeclare, retype

ZONED = {
    "ZoneCode": SqlType("varchar", 10),
    "TaxDistrict": SqlType("decimal", precision=38, scale=10),
    "IsExempt": SqlType("bit"),
}


@pytest.fixture(scope="module")
def changing_engine() -> Iterator[SandboxEngine]:
    """A sandbox whose tables the tests of this module change."""
    engine = new_engine()
    yield engine
    engine.close()


@pytest.fixture
def plain(make_county: CountyMaker, changing_engine: SandboxEngine) -> County:
    """A county with one published property, whose table may change."""
    redeclare(changing_engine, retype("Property"))
    made = make_county(engine=changing_engine, keep_engine=True)
    made.add("property", 1)
    made.sync()
    made.clock.step(hours=3)
    return made


def extra(county: County, number: int) -> Any:
    return county.row("property", number)["extra"]


def drifts(county: County) -> list[dict[str, Any]]:
    return county.sql(
        "SELECT details FROM pacs_ops.audit WHERE county_id = %s AND action = 'schema.drift' ORDER BY seq",
        county.fips,
    )


def test_columns_that_the_countys_file_names(plain: County) -> None:
    """Case 44: named columns travel in `extra` with every digit, and by the cursor from then on; NULL is left
    out.
    """
    redeclare(plain.engine, retype("Property", **ZONED))
    plain.configure(
        tables={
            "property": {
                "extra": {
                    "zone_code": "ZONECODE",
                    "tax_district_code": "TaxDistrict",
                    "is_exempt": "IsExempt",
                }
            }
        }
    )
    plain.add("property", 1, ZoneCode="R1", IsExempt=1)
    plain.add("property", 2)
    plain.pacs(
        "UPDATE [dbo].[Property] SET TaxDistrict = 1234567890123456789012345678.0123456789 WHERE "
        f"PropertyID = '{key('property', 1)}'"
    )
    published, certificate = plain.sync()
    assert (of(published, "property").mode, certificate.clean) == ("full", True)
    exact = plain.sql(
        "SELECT extra->>'tax_district_code' AS digits FROM pacs.property WHERE property_id = %s",
        key("property", 1),
    )
    assert exact == [{"digits": "1234567890123456789012345678.0123456789"}]
    assert (extra(plain, 1)["zone_code"], extra(plain, 1)["is_exempt"]) == ("R1", True)
    assert extra(plain, 2) is None
    plain.clock.step(hours=3)
    plain.change("property", 2, IsExempt=0)
    plain.clock.step(minutes=2)
    published, certificate = plain.sync()
    assert (of(published, "property").mode, of(published, "property").updated, certificate.clean) == (
        "window",
        1,
        True,
    )
    assert extra(plain, 2) == {"is_exempt": False}
    assert plain.reconcile().clean


def test_a_difference_in_extra_is_a_difference(plain: County) -> None:
    """Case 44: reconcile compares what is carried as it compares the rest."""
    redeclare(plain.engine, retype("Property", **ZONED))
    plain.configure(tables={"property": {"extra": {"zone_code": "ZoneCode"}}})
    plain.add("property", 1, ZoneCode="R1")
    plain.sync()
    plain.change("property", 1, at=None, ZoneCode="R2")
    outcome, certificate = plain.reconciled()
    assert of(outcome, "property").sample_keys == (f"differing:{key('property', 1)}",)
    assert (of(outcome, "property").updated, certificate.clean) == (1, True)
    assert extra(plain, 1) == {"zone_code": "R2"}


def test_a_new_column_is_noted_once_and_left(plain: County) -> None:
    """Case 44: with `ignore`, the default, the sync goes on by its cursor, and the drift is noted one time."""
    redeclare(plain.engine, retype("Property", **ZONED))
    plain.add("property", 1, ZoneCode="R1")
    for _ in range(2):
        published, certificate = plain.sync()
        assert (of(published, "property").mode, certificate.clean) == ("window", True)
        assert extra(plain, 1) is None
    (noted,) = drifts(plain)
    assert (noted["details"]["added"], noted["details"]["carried"]) == (list(ZONED), [])


def test_a_new_column_is_carried(plain: County) -> None:
    """Case 44: with `add` a new column travels under its own name; one whole read gives it to old rows; then
    the cursor goes on.
    """
    plain.configure(sync={"new_columns": "add"})
    plain.add("property", 2)
    plain.sync()
    redeclare(
        plain.engine, retype("Property", ZoneCode=SqlType("varchar", 10), Photo=SqlType("varbinary", 20))
    )
    plain.add("property", 1, 2, ZoneCode="R1")
    published, certificate = plain.sync()
    assert (of(published, "property").mode, certificate.clean) == ("full", True)
    assert [extra(plain, number) for number in (1, 2)] == [{"ZoneCode": "R1"}, {"ZoneCode": "R1"}]
    (noted,) = drifts(plain)
    assert (noted["details"]["added"], noted["details"]["carried"]) == (["ZoneCode", "Photo"], ["ZoneCode"])
    plain.clock.step(hours=3)
    plain.change("property", 2, ZoneCode="C3")
    plain.clock.step(minutes=2)
    published, certificate = plain.sync()
    assert (of(published, "property").mode, certificate.clean) == ("window", True)
    assert [extra(plain, number) for number in (1, 2)] == [{"ZoneCode": "R1"}, {"ZoneCode": "C3"}]
    assert len(drifts(plain)) == 1


def test_a_column_that_was_ignored_is_carried_later(plain: County) -> None:
    """Case 44: who reads the event and sets `add` then gets what came after the first load, old rows
    included.
    """
    redeclare(plain.engine, retype("Property", **ZONED))
    plain.add("property", 1, ZoneCode="R1")
    plain.sync()
    plain.configure(sync={"new_columns": "add"})
    published, _ = plain.sync()
    assert of(published, "property").mode == "full"
    assert extra(plain, 1) == {"ZoneCode": "R1"}
    plain.configure(sync={"new_columns": "ignore"})
    plain.sync()
    assert extra(plain, 1) is None


def test_a_value_that_cant_be_carried(plain: County) -> None:
    """Case 44: such a row waits in quarantine, like one with any other value that does not fit."""
    redeclare(plain.engine, retype("Property", **ZONED))
    plain.configure(tables={"property": {"extra": {"zone_code": "ZoneCode"}}})
    plain.add("property", *range(10, 20))
    plain.add("property", 1, ZoneCode="R\ufffd")
    _, certificate = plain.sync()
    assert plain.quarantine("property") == {key("property", 1): ["MAP.extra"]}
    assert certificate.clean


def test_a_named_column_that_cant_be_carried(plain: County) -> None:
    """Case 44: a binary column in the county's file stops the run before it reads, and says where to take it
    out.
    """
    redeclare(plain.engine, retype("Property", Photo=SqlType("varbinary", 20)))
    plain.configure(tables={"property": {"extra": {"photo": "Photo"}}})
    with pytest.raises(ConfigError, match=r"'Photo' is varbinary\(20\).*tables\.property\.extra\.photo"):
        plain.sync()
