"""Both sides compared, mended and certified, whatever happened to the target behind the engine's back
(correctness.md A9, design.md 3.7).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.integration.conftest import CountyMaker
from tests.support.county import (
    ENTITIES,
    KEYS,
    TABLES,
    County,
    WatchedReader,
    key,
    new_engine,
    of,
    retype,
)

TEXTS = {"property": "address", "owner": "owner_type", "value": "assessed_value", "structure": "condition"}


def add_to_target(county: County, entity: str, number: int) -> None:
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


def test_damage_in_the_target_is_shown_and_mended(whole_county: County) -> None:
    """Case 122: one byte changed, NULL turned into '' (or 0), a row dropped, a row too many added, in every entity:
    each key is named, each mended.
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
        partition, canonical = county.partition(entity), load_entities()[entity]
        text = entity != "value"
        column = TEXTS[entity]
        one_byte = f"overlay({column} PLACING '~' FROM 1 FOR 1)" if text else f"{column} + 0.0001"
        nothing = "''" if text else "0"
        county.sql(f"UPDATE {partition} SET {column} = {one_byte} WHERE {canonical.key} = %s", key(entity, 0))
        county.sql(f"UPDATE {partition} SET {column} = {nothing} WHERE {canonical.key} = %s", key(entity, 1))
        county.sql(f"DELETE FROM {partition} WHERE {canonical.key} = %s", key(entity, 2))
        add_to_target(county, entity, 99)
    published, certificate = county.reconciled()
    for entity in ENTITIES:
        mended = of(published, entity)
        assert sorted(mended.sample_keys) == sorted(
            [
                f"differing:{key(entity, 0)}",
                f"differing:{key(entity, 1)}",
                f"missing:{key(entity, 2)}",
                f"extra_in_target:{key(entity, 99)}",
            ]
        )
        assert (mended.inserted, mended.updated, mended.deleted) == (1, 2, 1)
        part = of(certificate, entity)
        assert (part.covered, part.compared, part.equal, part.drift) == ("all_rows", 8, 8, 0)
    assert certificate.clean
    assert county.content() == before
    published, again = county.reconciled()
    assert again.clean
    assert all((part.sample_keys, part.changed) == ((), 0) for part in published.entities)


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
    before = county.sql(f"SELECT p::text FROM {county.partition('property')} AS p")
    published, certificate = county.reconciled()
    assert of(published, "property").sample_keys == (f"differing:{key('property', 1)}",)
    assert of(published, "property").updated == 1
    assert certificate.clean
    assert county.sql(f"SELECT p::text FROM {county.partition('property')} AS p") != before
    published, certificate = county.reconciled()
    assert of(published, "property").sample_keys == ()
    assert certificate.clean


def decimals(control: dict[str, dict[str, str]] | None) -> dict[str, dict[str, Decimal]]:
    """Control totals as numbers: each side writes them with the zeros of its own types."""
    assert control is not None
    return {group: {name: Decimal(text) for name, text in sums.items()} for group, sums in control.items()}


def with_exact_money(make_county: CountyMaker) -> County:
    """A county whose market value is decimal: sums of a float depend on the order, so no certificate has them."""
    return make_county(
        ENTITIES, engine=new_engine(retype("PropertyValue", MarketValue=SqlType("decimal", 0, 14, 2)))
    )


@pytest.mark.parametrize("how", ["reconcile", "full", "auto"])
def test_a_clean_certificate_says_why(make_county: CountyMaker, how: str) -> None:
    """Case 122: the counts, and the sums of money by year, that each side made by itself are in the certificate and
    equal.
    """
    county = with_exact_money(make_county)
    for entity in ENTITIES:
        county.add(entity, *range(5))
    county.change("value", 1, at=None, TaxYear=2024, MarketValue=100.25, LandValue=40.25)
    county.sync()
    certificate = county.reconcile() if how == "reconcile" else county.sync(mode=how)[1]
    assert certificate.clean
    part = of(certificate, "value")
    assert part.covered == ("window" if how == "auto" else "all_rows")
    assert (part.source_rows, part.target_rows, part.equal) == (5, 5, 5)
    assert decimals(part.source_control) == decimals(part.target_control)
    sums = decimals(part.source_control)
    assert sums["2024"]["market_value"] == Decimal("100.25")
    assert {year: sums[year]["rows"] for year in sums} == {"2024": 1, "2025": 4}
    (stored,) = county.sql(
        "SELECT * FROM pacs_ops.certificate WHERE run_id = %s AND entity = 'value'", certificate.run_id
    )
    assert (stored["state"], stored["equal_rows"], stored["upper_bound"]) == ("clean", 5, part.upper)
    assert (stored["source_control"], stored["target_control"]) == (part.source_control, part.target_control)
    assert county.target.certifier.of_run(certificate.run_id) == replace(
        certificate, issued_at=stored["issued_at"], seconds=0.0
    )


def test_the_control_totals_change_with_the_data(make_county: CountyMaker) -> None:
    """Case 122: another value, another sum, on both sides."""
    county = with_exact_money(make_county)
    for entity in ENTITIES:
        county.add(entity, 1)
    county.sync()
    first = of(county.reconcile(), "value")
    county.clock.step(hours=3)
    county.change("value", 1, MarketValue=100.01)
    county.clock.step(minutes=2)
    county.sync()
    second = of(county.reconcile(), "value")
    assert decimals(second.source_control)["2025"]["market_value"] == Decimal("100.01")
    for side in ("source_control", "target_control"):
        assert decimals(getattr(first, side)) != decimals(getattr(second, side))


def test_rows_stamped_after_the_bound(county: County) -> None:
    """Case 123: a reconcile publishes a row as it read it, also where its stamp lies past the bound; one that changes
    after the read is the next run's, and the certificate is clean.
    """
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    published, certificate = county.reconciled()
    assert of(published, "property").updated == 1
    part = of(certificate, "property")
    assert (part.newer, part.differing, part.equal, part.source_rows) == (0, 0, 2, 2)
    assert certificate.clean
    assert county.row("property", 1)["city"] == "Finley"


@pytest.mark.parametrize("mode", ["full", "auto"])
def test_a_row_that_changes_between_the_read_and_the_certificate(county: County, mode: str) -> None:
    """Case 123: it is newer, neither equal nor drift; the row shows as it was read, and the next run brings it."""
    county.add("property", 1, 2)
    county.sync()
    county.clock.step(hours=3)
    run_id = county.stage(mode=mode)
    county.publish(run_id)
    county.change("property", 1, City="Finley")
    county.add("property", 3, at=county.stamp())
    certificate = county.certify(run_id)
    part = of(certificate, "property")
    assert (part.newer, part.kept, part.equal, part.source_rows, part.target_rows) == (2, 1, 1, 3, 2)
    assert certificate.clean
    assert county.row("property", 1)["city"] == "Prosser"
    county.clock.step(minutes=2)
    assert of(county.sync()[0], "property").changed == 2
    assert county.row("property", 1)["city"] == "Finley"


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
    published, certificate = county.reconciled()
    assert len(looks) == 2
    outcome = of(published, "property")
    assert (outcome.sample_keys, outcome.changed) == ((f"differing:{key('property', 1)}",), 0)
    assert certificate.clean


def test_an_incremental_run_counts(county: County) -> None:
    """Case 122: an incremental run reads its window and counts all keys: a row lost in the target outside the window
    shows and is mended in the same run.
    """
    county.add("property", 1, 2)
    county.sync()
    county.sql(f"DELETE FROM {county.partition('property')} WHERE property_id = %s", key("property", 2))
    county.clock.step(hours=5)
    published, certificate = county.sync()
    assert (of(published, "property").mode, of(published, "property").inserted) == ("window", 1)
    part = of(certificate, "property")
    assert (part.covered, part.equal, part.source_rows, part.target_rows) == ("window", 2, 2, 2)
    assert certificate.clean
    assert key("property", 2) in county.rows("property")


def lost(county: County, number: int) -> None:
    county.sql(f"DELETE FROM {county.partition('property')} WHERE property_id = %s", key("property", number))


def spoilt(county: County, number: int) -> None:
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'X' WHERE property_id = %s",
        key("property", number),
    )


def buried(county: County, number: int) -> None:
    county.sql(
        f"UPDATE {county.partition('property')} SET _deleted_at = now() WHERE property_id = %s",
        key("property", number),
    )


DAMAGES = {
    "a value of the window": (lambda county: spoilt(county, 1), (0, 1, 0), "differing", 1),
    "a row of the window lost": (lambda county: lost(county, 1), (1, 0, 0), "missing", 1),
    "a row of the window as a tombstone": (lambda county: buried(county, 1), (1, 0, 0), "missing", 1),
    "a row outside lost": (lambda county: lost(county, 2), (1, 0, 0), "missing", 2),
    "a row outside as a tombstone": (lambda county: buried(county, 2), (1, 0, 0), "missing", 2),
    "a row too many": (
        lambda county: add_to_target(county, "property", 99),
        (0, 0, 1),
        "extra_in_target",
        99,
    ),
}


@pytest.mark.parametrize("mode", ["auto", "full", "reconcile"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_between_publish_and_certificate_is_drift(county: County, damage: str, mode: str) -> None:
    """Case 122: the certificate of whatever run names what was done to the target since, repairs nothing itself, and
    its run ends as drift; the next reconcile mends it.
    """
    harm, counts, kind, number = DAMAGES[damage]
    county.add("property", 0, 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    before = county.stage(kind="reconcile") if mode == "reconcile" else county.stage(mode=mode)
    county.publish(before)
    whole = county.content()
    harm(county)
    harmed = county.content()
    with pytest.raises(steps.CertificateError, match="differ after the run") as raised:
        steps.certify(county.config, county.source, county.target, run_id=before)
    part = of(raised.value.certificate, "property")
    assert (part.state, part.missing, part.differing, part.extra_in_target) == ("drift", *counts)
    assert (part.source_remainder, part.target_remainder) == (0, 0)
    assert part.sample_keys == (f"{kind}:{key('property', number)}",)
    assert county.target.runs.run(before).state == "drift"
    assert county.content() == harmed
    assert county.reconcile().clean
    assert county.content() == whole


def test_two_damages_that_keep_the_count(county: County) -> None:
    """Case 122: a row lost and a row too many leave the count as it was; the sum of the keys tells."""
    county.add("property", 0, 1, 2)
    county.sync()
    county.clock.step(hours=3)
    run_id = county.stage()
    county.publish(run_id)
    lost(county, 2)
    add_to_target(county, "property", 99)
    part = of(county.certify(run_id), "property")
    assert (part.state, part.missing, part.extra_in_target) == ("drift", 1, 1)
    published, certificate = county.sync()
    assert (of(published, "property").inserted, of(published, "property").deleted) == (1, 1)
    assert certificate.clean


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("loses", [False, True], ids=["nothing-lost", "and-one-lost"])
def test_a_row_gone_since_the_read_hides_no_loss(county: County, mode: str, loses: bool) -> None:
    """Cases 37, 122: one row goes at the source and another is lost in the target after publish: the first is kept for
    the next run, the second is drift. Neither excuses the other.
    """
    county.add("property", *range(6))
    county.sync()
    county.clock.step(hours=5)
    run_id = county.stage(mode=mode)
    county.publish(run_id)
    county.remove("property", 4)
    if loses:
        lost(county, 5)
    part = of(county.certify(run_id), "property")
    assert part.state == ("drift" if loses else "clean")
    assert part.missing == int(loses)
    assert loses or part.kept == 1


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_quarantined_row_that_goes_before_the_certificate(county: County, mode: str) -> None:
    """Cases 110, 111, 123: a row that leaves the source while it waits is on no side: it is not counted as quarantined,
    and no drift either.
    """
    county.add("property", 1, 2, 3)
    county.change("property", 1, Acreage=-5.0)
    county.sync()
    county.clock.step(hours=5)
    run_id = county.stage(mode=mode)
    county.publish(run_id)
    county.remove("property", 1)
    part = of(county.certify(run_id), "property")
    assert (part.state, part.quarantined, part.source_rows, part.equal) == ("clean", 0, 2, 2)


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("corrected", [False, True], ids=["as-it-was", "corrected"])
def test_quarantine_excuses_one_image_only(county: County, mode: str, corrected: bool) -> None:
    """Cases 110, 122: what is excused is the image that was set aside; a row that is good again at the source, and
    not published, is not excused by its key.
    """
    county.add("property", 1, 2, 3)
    county.change("property", 1, Acreage=-5.0)
    county.sync()
    county.clock.step(hours=5)
    run_id = county.stage(mode=mode)
    county.publish(run_id)
    if corrected:
        county.change("property", 1, at=None, Acreage=5.0)
    part = of(county.certify(run_id), "property")
    assert (part.equal, part.quarantined, part.missing + part.newer) == (
        2,
        int(not corrected),
        int(corrected),
    )
    if not corrected:
        return
    county.sync()
    assert county.row("property", 1)["acreage"] == 5


@pytest.mark.parametrize("ends", ["clean", "drift"])
def test_certify_again_says_the_same(county: County, ends: str) -> None:
    """Cases 104, 120: a certify that is cleared and runs again gives the certificate that was stored, though its
    staging is gone.
    """
    county.add("property", 0, 1, 2)
    run_id = county.stage()
    county.publish(run_id)
    if ends == "drift":
        spoilt(county, 1)
    first, again = county.certify(run_id), county.certify(run_id)
    assert first.state == again.state == ends
    assert first.entities == again.entities
    assert (
        len(county.sql("SELECT FROM pacs_ops.audit WHERE run_id = %s AND action = 'run.certificate'", run_id))
        == 1
    )


@pytest.mark.parametrize("mode", ["auto", "full", "reconcile"])
@pytest.mark.parametrize("spoils", [False, True], ids=["whole", "spoilt"])
def test_staging_that_a_crash_emptied_before_the_certificate(county: County, mode: str, spoils: bool) -> None:
    """Cases 104, 109: a crash of the target between publish and certificate empties the staging tables: the source is
    read again, nothing is called extra for it, and damage still shows.
    """
    county.add("property", 0, 1, 2)
    county.sync()
    county.clock.step(hours=3)
    county.change("property", 1, City="Finley")
    county.clock.step(minutes=2)
    run_id = county.stage(kind="reconcile") if mode == "reconcile" else county.stage(mode=mode)
    county.publish(run_id)
    county.sql(f"TRUNCATE pacs_stage.{county.plan_of(run_id, 'property').stage_table}")
    if spoils:
        spoilt(county, 1)
    part = of(county.certify(run_id), "property")
    assert part.sample_keys == ((f"differing:{key('property', 1)}",) if spoils else ())
    assert part.equal == (2 if spoils else 3)


def test_a_reconcile_certified_by_another_process(county: County) -> None:
    """Case 122: what certify reads once more counts before what extract had read, also where the steps are tasks of
    their own.
    """
    county.add("property", 0, 1, 2)
    county.sync()
    county.change("property", 1, at=None, City="Finley")
    run_id = county.stage(kind="reconcile")
    county.publish(run_id)
    county.change("property", 1, at=None, City="Prosser")
    spoilt(county, 1)
    with PostgresTarget.from_url(county.url) as other, pytest.raises(steps.CertificateError) as raised:
        steps.certify(county.config, county.source, other, run_id=run_id)
    part = of(raised.value.certificate, "property")
    assert (part.source_rows, part.equal, part.differing) == (3, 2, 1)
    assert part.sample_keys == (f"differing:{key('property', 1)}",)
    county.sql(f"UPDATE {county.partition('property')} SET city = 'Prosser'")
    run_id = county.stage(kind="reconcile")
    county.publish(run_id)
    with PostgresTarget.from_url(county.url) as other:
        assert steps.certify(county.config, county.source, other, run_id=run_id).clean


def test_reconcile_on_a_county_that_was_never_loaded(county: County) -> None:
    """Case 122: everything is missing, and the run loads it."""
    county.add("property", 1, 2, 3)
    published, certificate = county.reconciled()
    assert of(published, "property").inserted == 3
    assert of(certificate, "property").equal == 3
    assert certificate.clean
    assert len(county.rows("property")) == 3


def by_the_document(reader: WatchedReader, kept: dict[str, Any], mark: str, batch: int) -> str:
    """The design document's own query, one run of it; returns its new mark."""
    rows = reader.query(
        f"SELECT TOP ({batch}) PropertyID, City, IsActive, CONVERT(varchar(33), LastModified, 121) AS lm "
        "FROM [dbo].[Property] "
        "WHERE LastModified >= CONVERT(datetime, ?, 121) AND IsActive = 1 ORDER BY LastModified DESC",
        (mark,),
    )
    kept.update({row["PropertyID"].lower(): (row["City"], row["IsActive"]) for row in rows})
    return max([mark, *(row["lm"] for row in rows)])


def test_the_documents_query_loses_rows_and_ours_does_not(make_county: CountyMaker) -> None:
    """Cases 1, 5, 19, 29: ties beyond a batch, a late commit and a soft delete in one evening: the design
    document's query misses them all.
    """
    county = make_county()
    county.source.denied = ("dm_tran_database_transactions",)
    county.add("property", *range(10))
    county.sync()
    kept: dict[str, Any] = {}
    mark = by_the_document(county.source, kept, "1900-01-01", 20)
    county.clock.step(hours=1)
    county.add("property", *range(100, 125), at=county.stamp(minutes=20))
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, at=county.stamp(minutes=25), City="Finley"))
    county.change("property", 2, at=county.stamp(minutes=22), IsActive=0)
    for minutes in (5, 5):
        mark = by_the_document(county.source, kept, mark, 20)
        county.sync()
        county.clock.step(minutes=minutes)
    writer.commit()
    mark = by_the_document(county.source, kept, mark, 20)
    county.sync()
    truth = {
        row["PropertyID"].lower(): (row["City"], row["IsActive"])
        for row in county.source.query("SELECT * FROM [dbo].[Property]")
    }
    ours = {each: (row["city"], row["is_active"]) for each, row in county.rows("property").items()}
    assert ours == truth
    wrong = {each for each in truth if kept.get(each) != truth[each]}
    assert {key("property", 1), key("property", 2)} < wrong
    assert len(set(truth) - set(kept)) == 5
