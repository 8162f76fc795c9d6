"""Cases of the field on PACS 9.0: what the source itself decides, and whose rows must be silent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pacs.sync.config import table_maps
from airflow_provider_pacs.sync.entities import promoted_column
from airflow_provider_pacs.sync.profiles import load_profile, profile_columns
from airflow_provider_pacs.sync.runtime.errors import RetryableError
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.harris import HarrisCounty
from tests.support.harris_fixtures import Maker
from tests.support.harris_fixtures import make as make
from tests.support.harris_fixtures import pacs as pacs


def settings(county: HarrisCounty, entity: str) -> dict[str, str]:
    """What the source decides about every row of an entity, as a plan asks for it."""
    asked = render(table_maps(county.config)[entity]).settings
    answers = {name: county.source.query(sql) for name, sql in asked}
    assert all(len(rows) == 1 and isinstance(rows[0]["value"], str) for rows in answers.values())
    return {name: rows[0]["value"] for name, rows in answers.items()}


@pytest.mark.parametrize(
    ("entity", "setting", "change", "undo"),
    [
        ("value", "future_year", "UPDATE dbo.pacs_system SET future_yr = 2028", None),
        ("property", "appraisal_year", "UPDATE dbo.pacs_system SET appr_yr = 2025", None),
        ("owner", "appraisal_year", "UPDATE dbo.pacs_system SET appr_yr = 2025", None),
        (
            "structure",
            "bedrooms_attribute",
            "UPDATE dbo.pacs_system SET num_bedrooms_code_attribute_id = 77",
            None,
        ),
        (
            "structure",
            "building_types",
            "UPDATE dbo.imprv_type SET imprv_type_desc = 'Yurt' WHERE imprv_type_cd = {type}",
            "UPDATE dbo.imprv_type SET imprv_type_desc = {desc} WHERE imprv_type_cd = {type}",
        ),
        (
            "structure",
            "main_areas",
            "UPDATE dbo.imprv_det_type SET main_area = 'F' WHERE main_area = 'T'",
            "UPDATE dbo.imprv_det_type SET main_area = 'T' WHERE imprv_det_type_cd IN ({main})",
        ),
    ],
)
def test_what_the_source_decides_about_every_row_is_asked_for(
    make: Maker, entity: str, setting: str, change: str, undo: str | None
) -> None:
    """Case C17: `future_yr` moves no rowversion of a value and changes what year 0 means; a code table's text
    stands in rows whose own tables did not change. A plan sees both in `Selection.settings`.
    """
    county = make(entity, options={"future_layer": True})
    kind = county.rows_in("imprv_type", "imprv_type_cd, imprv_type_desc")[0]
    main = county.rows_in("imprv_det_type", "imprv_det_type_cd", "main_area = 'T'")
    words = {
        "type": f"'{kind['imprv_type_cd']}'",
        "desc": f"'{kind['imprv_type_desc']}'",
        "main": ", ".join(f"'{row['imprv_det_type_cd']}'" for row in main),
    }
    before = settings(county, entity)
    county.pacs(change.format(**words))
    try:
        after = settings(county, entity)
        assert {name for name in before if before[name] != after[name]} == {setting}
    finally:
        county.pacs(
            (undo or "").format(**words)
            or "UPDATE dbo.pacs_system SET future_yr = 2027, appr_yr = 2026, num_bedrooms_code_attribute_id = "
            f"{before.get('bedrooms_attribute', 31)}"
        )
    assert settings(county, entity) == before


def test_what_an_entity_does_not_depend_on_is_not_asked_for(make: Maker) -> None:
    """Case C17: without the future layer nobody's row says the future year, so it makes nobody read again."""
    assert set(settings(make("value"), "value")) == {"appraisal_year"}
    assert set(settings(make("owner"), "owner")) == {"appraisal_year"}


def test_settings_read_only_what_a_county_may_rename() -> None:
    """Case C17: a county with names of its own can name every column that a setting reads."""
    assert load_profile("harris_pacs_9")["settings"]
    assert {"appr_yr", "future_yr"} <= profile_columns("harris_pacs_9")["pacs_system"]


def test_extra_columns_are_silent_for_a_confidential_owner(make: Maker) -> None:
    """Case C22: what the county's file carries beyond the canonical columns may name the person too: none of
    it leaves the source for a confidential owner, and what was published before is taken back, in tombstones
    as well.
    """
    county = make(
        "property",
        "owner",
        tables={"owner": {"extra": {"dba": "a.file_as_name", "interest": "o.type_of_int"}}},
    )
    county.sync()
    hidden = {str(row["acct_id"]) for row in county.rows_in("account", "acct_id", "confidential_flag = 'T'")}
    silent = [row for row in county.rows("owner").values() if row["party_key"] in hidden]
    assert silent
    assert {row["extra"] for row in silent} == {None}
    prop_id, former = county.plain(2, skip=12)
    account = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[0][
        "owner_id"
    ]
    name = county.live("owner", f"{prop_id}/{account}")["extra"]["dba"]
    assert name
    county.copy_row("owner", f"prop_id = {former} AND owner_tax_yr = 2026 AND sup_num = 0", owner_id=account)
    county.sync()
    county.pacs(
        f"DELETE FROM dbo.owner WHERE prop_id = {former} AND owner_tax_yr = 2026 AND owner_id = {account}"
    )
    county.sync()
    assert county.keyed("owner", deleted=True)[f"{former}/{account}"]["extra"]["dba"] == name
    county.pacs(f"UPDATE dbo.account SET confidential_flag = 'T' WHERE acct_id = {account}")
    assert county.sync()[1].clean
    assert county.live("owner", f"{prop_id}/{account}")["extra"] is None
    assert county.keyed("owner", deleted=True)[f"{former}/{account}"]["extra"] is None


def test_promoted_columns_are_silent_for_a_confidential_owner(make: Maker, pg_url: str) -> None:
    """Case C22, where the county's column has a column of its own: emptied in live rows and in tombstones, also when
    the county promotes it no longer.
    """
    extra = {"dba_name": "a.file_as_name"}
    county = make("property", "owner", tables={"owner": {"extra": extra, "promote": {"dba_name": "text"}}})
    promoted = {"owner": [promoted_column("dba_name", "text")]}
    with PostgresTarget.from_url(pg_url) as owner, owner.connection.cursor() as admin:
        owner.migrate()
        assert owner.promote(promoted) == ["promoted_owner_dba_name"]
        try:
            county.sync()
            hidden = {
                str(r["acct_id"]) for r in county.rows_in("account", "acct_id", "confidential_flag = 'T'")
            }
            said = {row["party_key"]: row["dba_name"] for row in county.rows("owner").values()}
            assert {said[party] for party in said.keys() & hidden} == {None}
            prop_id, former = county.plain(2, skip=24)
            account = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[0][
                "owner_id"
            ]
            name = county.live("owner", f"{prop_id}/{account}")["dba_name"]
            assert name
            county.copy_row(
                "owner", f"prop_id = {former} AND owner_tax_yr = 2026 AND sup_num = 0", owner_id=account
            )
            county.sync()
            county.pacs(
                f"DELETE FROM dbo.owner WHERE prop_id = {former} AND owner_tax_yr = 2026 AND owner_id = {account}"
            )
            county.sync()
            assert county.keyed("owner", deleted=True)[f"{former}/{account}"]["dba_name"] == name
            county.config = county.config.model_copy(update={"tables": {}})
            county.pacs(f"UPDATE dbo.account SET confidential_flag = 'T' WHERE acct_id = {account}")
            assert county.sync()[1].clean
            assert county.live("owner", f"{prop_id}/{account}")["dba_name"] is None
            assert county.keyed("owner", deleted=True)[f"{former}/{account}"]["dba_name"] is None
        finally:
            admin.execute("ALTER TABLE pacs.owner DROP COLUMN dba_name")
            admin.execute("DELETE FROM pacs_ops.promoted_column WHERE entity = 'owner'")
            admin.execute("DELETE FROM pacs_ops.schema_migration WHERE name = 'promoted_owner_dba_name'")


def test_an_option_that_lives_in_the_source_means_a_full_read(make: Maker) -> None:
    """Case C17: `future_yr` goes on by a year while the county carries the future layer: the values follow."""
    county = make("property", "value", options={"future_layer": True})
    county.sync()
    years = {row["tax_year"] for row in county.rows("value").values()}
    county.pacs("UPDATE dbo.pacs_system SET future_yr = 2028")
    try:
        outcome, certificate = county.sync()
        assert {part.entity: part.mode for part in outcome.entities}["value"] == "full"
        assert certificate.state in ("clean", "pending")
        assert max(years) == 2027
        # 2028 is beyond next year, so these rows are read as what they are now, and set aside.
        assert {rule for rules in county.quarantine("value").values() for rule in rules} == {"F3.30"}
        assert {key.rpartition("/")[2] for key in county.quarantine("value")} == {"2028"}
    finally:
        county.pacs("UPDATE dbo.pacs_system SET future_yr = 2027")


def test_a_retried_certificate_of_a_joined_entity_sees_the_damage(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case C14: a row that the run touched is damaged in the target; certify fails once and is tried again."""
    county = make("property")
    county.sync()
    (prop_id,) = county.plain(1, skip=20)
    county.pacs(f"UPDATE dbo.property_val SET legal_desc = 'LOT X' WHERE prop_id = {prop_id}")
    run_id = county.stage()
    county.publish(run_id)
    county.sql(
        f"UPDATE {county.partition('property')} SET city = 'Nowhere' WHERE _source_key = %s", str(prop_id)
    )

    def fails(*_: Any, **__: Any) -> Any:
        raise RetryableError("the target went away")

    with monkeypatch.context() as patched:
        patched.setattr(type(county.target.certifier), "issue", fails)
        with pytest.raises(RetryableError):
            county.certify(run_id)
    certificate = county.certify(run_id)
    assert certificate.state == "drift"
    assert certificate.entities[0].sample_keys == (f"differing:{prop_id}",)
    assert county.reconcile().clean
