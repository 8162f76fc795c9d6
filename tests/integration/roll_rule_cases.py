"""Rows that each rule of the roll's entities must find, and rows that it must not: for test_quality_rules.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from quality_stage import key

Case = tuple[dict[str, Any], set[str]]

ROLL_GOOD: dict[str, dict[str, Any]] = {
    "land": {"property_id": key("staged"), "acres": 0.25, "square_feet": 10890, "market_value": 50_000},
    "exemption": {
        "property_id": key("staged"),
        "exemption_code": "EX",
        "exemption_type": "Exempt",
        "exemption_percent": 100,
        "effective_date": datetime(2020, 1, 1),
    },
    "tax_area": {"property_id": key("staged"), "tax_area_number": "1101"},
    "sale": {"sale_price": 300_000, "parcels": 1},
    "sale_property": {"property_id": key("staged"), "deed_key": "300001"},
    "code": {"code": "RES", "description": "Residential"},
}


def roll_cases(orphans: list[Case]) -> dict[str, list[Case]]:
    """The cases by entity; a child's are also `orphans`."""

    def keyed(name: str) -> list[Case]:
        return [({name: None}, {"F1.1"}), *[({name: key("twice")}, {"F1.1-unique"})] * 2]

    return {
        "land": [
            *keyed("land_id"),
            *orphans,
            ({"market_value": 0}, {"F4.42"}),
            ({"market_value": -1}, {"F3.23-market"}),
            ({"market_value": None}, set()),
            ({"acres": -0.0001}, {"F4.43-acres"}),
            ({"acres": 0}, set()),
            ({"square_feet": -1}, {"F4.43-feet"}),
            ({"square_feet": None}, set()),
        ],
        "exemption": [
            *keyed("exemption_id"),
            *orphans,
            *[({"exemption_code": code}, {"F6.49-code"}) for code in (None, "", "-")],
            ({"exemption_type": None}, {"F6.49-type"}),
            *[({"exemption_percent": share}, {"F6.49-percent"}) for share in (-0.01, 100.01)],
            *[({"exemption_percent": share}, set()) for share in (0, 60, None)],
            ({"termination_date": datetime(2019, 12, 31)}, {"F6.49-dates"}),
            ({"termination_date": datetime(2020, 1, 1)}, set()),
        ],
        "tax_area": [
            *keyed("tax_area_id"),
            *orphans,
            *[({"tax_area_number": number}, {"D2-number"}) for number in (None, "")],
        ],
        "sale": [
            *keyed("sale_id"),
            ({"sale_price": -1}, {"F5.45", "F5.45-low"}),
            *[({"sale_price": price}, {"F5.45-low"}) for price in (0, 1, 100)],
            *[({"sale_price": price}, set()) for price in (101, None)],
            *[({"parcels": count}, {"F5.47"}) for count in (0, 2, 40)],
            ({"parcels": None}, set()),
        ],
        "sale_property": [
            *keyed("sale_property_id"),
            *orphans,
            *[({"deed_key": deed}, {"F5.47-deed"}) for deed in (None, "")],
        ],
        "code": [
            *keyed("code_id"),
            *[({"code": code}, {"D3-code"}) for code in (None, "", " ")],
            *[({"description": text}, {"D3-description"}) for text in (None, "")],
        ],
    }
