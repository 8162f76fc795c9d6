"""What a fresh reader broke, kept."""

from __future__ import annotations

from tests.integration.conftest import CountyMaker

SEQUENTIAL = "{:08x}-1111-4222-8333-444455556666"
"""NEWSEQUENTIALID counts the first four bytes up; the last are the machine's."""


def test_an_emptied_table_waits_for_a_person_in_a_window_too(make_county: CountyMaker) -> None:
    """Case G9: three rows are fewer than the delete guard's number, and all of them."""
    county = make_county()
    county.add("property", *range(3))
    county.sync()
    county.clock.step(hours=3)
    county.remove("property", *range(3))
    certificate = county.sync()[1]
    assert certificate.state == "pending"
    assert len(county.rows("property")) == 3


def test_sequential_guids_are_told_apart(make_county: CountyMaker) -> None:
    """Case C16: one row leaves and another comes with an old stamp; neither is in the window."""
    county = make_county()
    county.add("property", *range(3))
    for n in range(10):
        county.add("property", 100 + n, PropertyID=SEQUENTIAL.format(n))
    county.sync()
    county.clock.step(hours=20)
    county.pacs(f"DELETE FROM [dbo].[Property] WHERE [PropertyID] = '{SEQUENTIAL.format(0)}'")
    county.add("property", 777, PropertyID=SEQUENTIAL.format(55), at=county.stamp(hours=100))
    assert county.sync()[1].state == "clean"
    live = county.rows("property")
    assert SEQUENTIAL.format(0) not in live
    assert SEQUENTIAL.format(55) in live
