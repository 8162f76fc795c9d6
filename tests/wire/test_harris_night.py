"""A night in a county of PACS 9.0: what each thing that happens there leaves behind, as the vendor's software
leaves it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.counties.harris import county
from airflow_provider_pacs.sandbox.counties.harris.nightly_changes import LAYERS, SUPPLEMENT, Night, mutate
from airflow_provider_pacs.sandbox.counties.harris.tables import tables
from airflow_provider_pacs.sandbox.tsql.engine import START, SandboxEngine
from tests.wire.tsql_support import HARRIS_ADMIN, HARRIS_READER, query, query_with_columns, stored

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
KEPT = ("owner", "property_val", "prop_supp_assoc", "account", "situs", "imprv", "imprv_attr", "supplement")


def _snapshot(engine: SandboxEngine) -> dict[str, Rows]:
    result = {}
    for name in KEPT:
        table = tables()[name]
        places = [table.position(column) - 1 for column in table.primary_key]
        result[name] = {
            tuple(row[p] for p in places): row for row in stored(engine, f"SELECT * FROM {{{name}}}")
        }
    return result


@lru_cache(maxsize=1)
def _night() -> tuple[SandboxEngine, Night, dict[str, Rows], dict[str, Rows]]:
    engine = county.build(SandboxEngine(), "tiny")
    before = _snapshot(engine)
    return engine, mutate(engine, 1), before, _snapshot(engine)


def _changed(table: str, column: str) -> list[tuple[Any, Any]]:
    _, _, before, after = _night()
    place = tables()[table].position(column) - 1
    both = before[table].keys() & after[table].keys()
    pairs = [(before[table][key][place], after[table][key][place]) for key in sorted(both)]
    return [pair for pair in pairs if pair[0] != pair[1]]


def test_everything_happens_in_a_night_even_of_the_smallest_county() -> None:
    _, night, _, _ = _night()
    assert [name for name in Night.__dataclass_fields__ if getattr(night, name) < 1] == []


def test_the_counts_are_what_was_changed() -> None:
    _, night, before, after = _night()
    assert len(_changed("property_val", "market")) == night.values_changed
    assert len(_changed("owner", "pct_ownership")) == night.shares_changed
    assert len(_changed("account", "file_as_name")) == night.accounts_renamed
    assert [(new, old == "T") for old, new in _changed("account", "confidential_flag")] == [
        ("T", False)
    ] * night.accounts_hidden
    assert len(_changed("situs", "situs_num")) == night.situs_edited
    assert len(_changed("imprv_attr", "i_attr_unit")) == night.attributes_edited
    assert [new for _, new in _changed("imprv", "actual_year_built")] == [0] * night.years_zeroed
    gone = before["imprv"].keys() - after["imprv"].keys()
    assert len([key for key in gone if key[0] == 2026 and key[1] == 0]) >= 1
    inactive = _changed("property_val", "prop_inactive_dt")
    assert len([new for _, new in inactive if new is not None]) == night.ended
    assert len([new for _, new in inactive if new is None]) == night.recovered


def test_a_change_of_owner_is_a_delete_and_an_insert() -> None:
    """Story 6: and no row of the property tells of it."""
    engine, night, before, after = _night()
    gone, come = (
        left.keys() - right.keys()
        for left, right in ((before["owner"], after["owner"]), (after["owner"], before["owner"]))
    )
    now = [{key[:3] for key in keys if key[0] == 2026} for keys in (gone, come)]
    assert len(now[0] & now[1]) == night.owners_changed
    deeds = (
        "SELECT b.buyer_id FROM {buyer_assoc} b JOIN {chg_of_owner} d USING (chg_of_owner_id) WHERE "
        "deed_dt "
        ">= ?"
    )
    bought = stored(engine, deeds.replace("?", f"TIMESTAMP '{START}'"))
    assert {buyer for (buyer,) in bought} == {key[3] for key in come if key[:3] in now[0]}
    assert len(bought) == night.deeds


def test_a_supplement_is_the_whole_layer_again_with_its_old_dates_and_is_current_at_once() -> None:
    """Story 7: a watermark does not see the new rows, and nobody has accepted them."""
    engine, night, before, after = _night()
    moved = [(int(key[0]), key[2]) for key in after["prop_supp_assoc"] if key[1] == SUPPLEMENT]
    assert len(moved) == night.supplements_added
    assert {year for year, _ in moved} == {2025, 2026}
    for name, year in LAYERS.items():
        count = (
            f"SELECT prop_id, count(*) FROM {{{name}}} WHERE ({year}, prop_id) IN {(*moved,)} AND "
            "sup_num = "
            "%s GROUP BY 1 ORDER BY 1"
        )
        extra = " AND sale_id = 0" if "sale_id" in {c.name for c in tables()[name].columns} else ""
        count = count.replace(" GROUP", f"{extra} GROUP")
        assert stored(engine, count % SUPPLEMENT) == stored(engine, count % 0), name
    for year, prop in moved:
        old, new = before["property_val"][(year, 0, prop)], after["property_val"][(year, SUPPLEMENT, prop)]
        table = tables()["property_val"]
        differ = {c.name for c, a, b in zip(table.columns, old, new, strict=True) if a != b}
        assert differ == {"sup_num", "prev_sup_num", "sup_action", "tsRowVersion"}
        assert after["property_val"][(year, 0, prop)] == old
    status = (
        "SELECT g.sup_accept_dt FROM {supplement} s JOIN {sup_group} g USING (sup_group_id) WHERE sup_num = 7"
    )
    assert stored(engine, status) == [(None,), (None,)]


def test_a_deleted_supplement_leaves_no_trace_and_the_older_one_is_current_again() -> None:
    _, night, before, after = _night()
    gone = [key for key in before["prop_supp_assoc"] if key[1] > 0 and key not in after["prop_supp_assoc"]]
    assert len(gone) == night.supplements_deleted
    for year, sup, prop in gone:
        assert (year, sup, prop) not in after["property_val"]
        left = max(key[1] for key in after["property_val"] if key[0] == year and key[2] == prop)
        assert (year, left, prop) in after["prop_supp_assoc"]


def test_a_second_night_changes_other_things_and_the_county_stays_sound() -> None:
    engine = county.build(SandboxEngine(), "tiny")
    first, second = mutate(engine, 1), mutate(engine, 2)
    assert second.supplements_added >= 1
    assert first.deeds + second.deeds == 4
    for table in tables().values():
        key = ", ".join(table.primary_key)
        assert not stored(engine, f"SELECT {key} FROM {{{table.name}}} GROUP BY ALL HAVING count(*) > 1"), (
            table.name
        )
    assert not stored(engine, "SELECT 1 FROM {prop_supp_assoc} a ANTI JOIN {property_val} v ON v.prop_id = a.prop_id AND "
                              "v.prop_val_yr = a.owner_tax_yr AND v.sup_num = a.sup_num")  # fmt: skip
    assert not stored(
        engine, "SELECT prop_id FROM {prop_supp_assoc} GROUP BY prop_id, owner_tax_yr HAVING count(*) > 1"
    )


def test_the_night_is_told_over_the_wire_by_an_administrator_and_moves_the_clock_and_the_rowversions() -> (
    None
):
    engine = county.build(SandboxEngine(), "tiny")
    session = engine.login(*HARRIS_ADMIN)
    bound = query(session, "SELECT MIN_ACTIVE_ROWVERSION()")[0][0]
    columns, ((values, *rest),) = query_with_columns(session, "EXEC sandbox.mutate @seed = 3")
    assert [c.name for c in columns] == list(Night.__dataclass_fields__)
    assert values == 6
    assert all(rest)
    hours = (query(session, "SELECT SYSDATETIME()")[0][0]["t"] - START).total_seconds() / 3600
    assert 8 <= hours < 9
    newer = f"SELECT COUNT(*) FROM property_val WHERE tsRowVersion >= 0x{bound.hex()}"
    assert query(session, newer)[0][0] >= values
    assert query(session, newer + " AND tsRowVersion >= MIN_ACTIVE_ROWVERSION()") == [(0,)]
    with pytest.raises(Exception, match="229"):
        query(engine.login(*HARRIS_READER), "EXEC sandbox.mutate @seed = 3")
