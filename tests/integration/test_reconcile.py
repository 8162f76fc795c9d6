"""Both sides compared, repaired and certified, whatever happened to the target behind the engine's back
(correctness.md A9, design.md 3.7).
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pacs.sync.entities import load_entities
from tests.integration.conftest import CountyMaker
from tests.support.county import ENTITIES, KEYS, TABLES, County, WatchedReader, key, of

TEXTS = {"property": "address", "owner": "owner_type", "value": "assessed_value", "structure": "condition"}


def ghost(county: County, entity: str, number: int) -> None:
    """A row in the target that the source never had."""
    canonical = load_entities()[entity]
    names = [name for name in canonical.column_names if name != canonical.key]
    columns = ", ".join(["county_id", canonical.key, *names, "_run_id", "_first_seen_at", "_changed_at"])
    values = ", ".join(["county_id", f"'{key(entity, number)}'", *names, "_run_id", "now()", "now()"])
    county.sql(
        f"INSERT INTO {county.partition(entity)} ({columns}) SELECT {values} FROM {county.partition(entity)} WHERE "
        f"{canonical.key} = %s",
        key(entity, 0),
    )


def test_damage_in_the_target_is_found_and_repaired(whole_county: County) -> None:
    """Case 122: one byte changed, NULL turned into '' (or 0), a row dropped, a ghost added, in every entity:
    each key is named, each repaired.
    """
    county = whole_county
    for entity in ENTITIES:
        county.add(entity, *range(8))
        county.pacs(
            f"UPDATE [dbo].[{TABLES[entity]}] SET {TEXTS[entity].replace('_', '')} = NULL WHERE "
            f"{KEYS[entity]} = '{key(entity, 1)}'"
        )
    assert county.sync()[1].clean
    before = county.content()
    for entity in ENTITIES:
        leaf, canonical = county.partition(entity), load_entities()[entity]
        text = entity != "value"
        column = TEXTS[entity]
        one_byte = f"overlay({column} PLACING '~' FROM 1 FOR 1)" if text else f"{column} + 0.0001"
        nothing = "''" if text else "0"
        county.sql(f"UPDATE {leaf} SET {column} = {one_byte} WHERE {canonical.key} = %s", key(entity, 0))
        county.sql(f"UPDATE {leaf} SET {column} = {nothing} WHERE {canonical.key} = %s", key(entity, 1))
        county.sql(f"DELETE FROM {leaf} WHERE {canonical.key} = %s", key(entity, 2))
        ghost(county, entity, 99)
    certificate = county.reconcile()
    for entity in ENTITIES:
        told = of(certificate, entity)
        assert sorted(told.sample_keys) == sorted(
            [
                f"differing:{key(entity, 0)}",
                f"differing:{key(entity, 1)}",
                f"missing:{key(entity, 2)}",
                f"extra_in_target:{key(entity, 99)}",
            ]
        )
        assert (told.missing, told.differing, told.extra_in_target, told.repaired, told.remaining) == (
            1,
            2,
            1,
            4,
            0,
        )
    assert county.content() == before
    again = county.reconcile()
    assert again.clean
    assert all(part.missing + part.differing + part.extra_in_target == 0 for part in again.entities)


@pytest.mark.parametrize(
    "damage",
    [
        "acreage = 1.250",
        "address = address || ' '",
        "city = 'prosser'",
        "last_modified = last_modified + interval '1 microsecond'",
    ],
)
def test_the_smallest_differences_count(county: County, damage: str) -> None:
    """Case 122: a trailing zero, a trailing space, a letter's case, a microsecond: equal means equal to the
    byte.
    """
    county.add("property", 1, Acreage=1.25, City="Prosser")
    county.sync()
    county.sql(f"UPDATE {county.partition('property')} SET {damage}")
    assert of(county.reconcile(), "property").differing == 1
    assert of(county.reconcile(), "property").differing == 0


def test_a_clean_certificate_says_why(whole_county: County) -> None:
    """Case 122: counts, digests and money by year of both sides are in the certificate, and they are equal."""
    county = whole_county
    for entity in ENTITIES:
        county.add(entity, *range(5))
    county.change("value", 1, at=None, TaxYear=2024, MarketValue=100.25, LandValue=40.25)
    county.sync()
    certificate = county.reconcile()
    assert certificate.clean
    told = of(certificate, "value")
    assert (told.source_rows, told.target_rows) == (5, 5)
    assert told.source_digest == told.target_digest
    assert told.sums["2024"]["market_value"] == "100.25"
    assert set(told.sums) == {"2024", "2025"}
    (stored,) = county.sql(
        "SELECT * FROM pacs_ops.certificate WHERE run_id = %s AND entity = 'value'", certificate.run_id
    )
    assert stored["clean"]
    assert bytes(stored["source_digest"]) == told.source_digest
    assert stored["upper_bound"] == told.upper


def test_the_digest_changes_with_the_data(county: County) -> None:
    """Case 122: another value, another digest."""
    county.add("property", 1)
    county.sync()
    first = of(county.reconcile(), "property").source_digest
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    county.sync()
    assert of(county.reconcile(), "property").source_digest != first


def test_rows_stamped_after_the_bound_are_left_out(county: County) -> None:
    """Case 123: a row that changes while the comparison runs is the next run's; neither reported nor
    repaired, and the certificate is clean.
    """
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    certificate = county.reconcile()
    told = of(certificate, "property")
    assert (told.late, told.differing, told.repaired, told.source_rows) == (1, 0, 0, 1)
    assert certificate.clean
    assert county.row("property", 1)["city"] == "Prosser"


def test_a_difference_must_be_there_twice(county: County) -> None:
    """Case 123: a key that differs is read once more; what the second look shows is what is written."""
    county.add("property", 1, 2)
    county.sync()
    county.change("property", 1, at=None, City="Finley")
    looks: list[str] = []

    def corrected(sql: str) -> None:
        looks.append(sql)
        if len(looks) == 2:
            county.change("property", 1, at=None, City="Prosser")

    county.source.before_stream = corrected
    certificate = county.reconcile()
    assert len(looks) == 2
    told = of(certificate, "property")
    assert (told.differing, told.repaired, told.remaining) == (1, 0, 0)
    assert certificate.clean


def test_a_delta_certificate_counts(county: County) -> None:
    """Case 122: an incremental run compares its window and the counts: a row lost in the target outside the
    window shows.
    """
    county.add("property", 1, 2)
    county.sync()
    county.sql(f"DELETE FROM {county.partition('property')} WHERE property_id = %s", key("property", 2))
    county.clock.step(hours=5)
    _, delta = county.sync()
    assert delta.scope == "delta"
    assert not delta.clean
    assert county.reconcile().clean is True
    assert county.sync()[1].clean


def test_the_window_of_a_run_is_compared_after_publish(county: County) -> None:
    """Case 122: damage to a row of the run's own window is repaired by the run itself."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    run_id = county.stage()
    county.publish(run_id)
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'X' WHERE property_id = %s", key("property", 1)
    )
    told = of(county.certify(run_id), "property")
    assert (told.scope, told.differing, told.repaired) == ("delta", 1, 1)
    assert county.row("property", 1)["city"] == "Finley"


def test_reconcile_on_a_county_that_was_never_loaded(county: County) -> None:
    """Case 122: everything is missing, and the repair loads it."""
    county.add("property", 1, 2, 3)
    certificate = county.reconcile()
    told = of(certificate, "property")
    assert (told.missing, told.repaired) == (3, 3)
    assert certificate.clean
    assert len(county.rows("property")) == 3


def by_the_document(reader: WatchedReader, held: dict[str, Any], mark: str, batch: int) -> str:
    """The design document's own query, one run of it; returns its new mark."""
    rows = reader.query(
        f"SELECT TOP ({batch}) PropertyID, City, IsActive, CONVERT(varchar(33), LastModified, 121) AS lm "
        "FROM [dbo].[Property] "
        "WHERE LastModified >= CONVERT(datetime, ?, 121) AND IsActive = 1 ORDER BY LastModified DESC",
        (mark,),
    )
    held.update({row["PropertyID"].lower(): (row["City"], row["IsActive"]) for row in rows})
    return max([mark, *(row["lm"] for row in rows)])


def test_the_documents_query_loses_rows_and_ours_does_not(make_county: CountyMaker) -> None:
    """Cases 1, 5, 19, 29: ties beyond a batch, a late commit and a soft delete in one evening: the design
    document's query misses them all.
    """
    county = make_county()
    county.source.denied = ("dm_tran_database_transactions",)
    county.add("property", *range(10))
    county.sync()
    held: dict[str, Any] = {}
    mark = by_the_document(county.source, held, "1900-01-01", 20)
    county.clock.step(hours=1)
    county.add("property", *range(100, 125), at=county.stamp(minutes=20))
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, at=county.stamp(minutes=25), City="Finley"))
    county.change("property", 2, at=county.stamp(minutes=22), IsActive=0)
    for minutes in (5, 5):
        mark = by_the_document(county.source, held, mark, 20)
        county.sync()
        county.clock.step(minutes=minutes)
    writer.commit()
    mark = by_the_document(county.source, held, mark, 20)
    county.sync()
    truth = {
        row["PropertyID"].lower(): (row["City"], row["IsActive"])
        for row in county.source.query("SELECT * FROM [dbo].[Property]")
    }
    ours = {one: (row["city"], row["is_active"]) for one, row in county.rows("property").items()}
    assert ours == truth
    wrong = {one for one in truth if held.get(one) != truth[one]}
    assert {key("property", 1), key("property", 2)} < wrong
    assert len(set(truth) - set(held)) == 5
