"""The section `realtime` of a county's file, and business hours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.config.hours import DAYS, BusinessHours

ZONE = "America/Los_Angeles"


def county(realtime: dict[str, Any], **sections: Any) -> CountyConfig:
    return CountyConfig.model_validate({"county": "benton_wa", "realtime": realtime, **sections})


def test_a_county_is_not_followed_unless_its_file_says_so() -> None:
    assert not county({}).realtime.enabled


@pytest.mark.parametrize(
    ("realtime", "sections", "problem"),
    [
        ({"poll_seconds": 0}, {}, "greater than or equal to 1"),
        ({"poll_seconds": 301}, {}, "less than or equal to 300"),
        ({"linger_seconds": 3601}, {}, "less than or equal to 3600"),
        ({"sweep_minutes": 4}, {}, "greater than or equal to 5"),
        ({"hours": "7-18"}, {}, "write 07:00-18:00"),
        ({"hours": "07:00-07:00"}, {}, "write 07:00-18:00"),
        ({"hours": "24:00-07:00"}, {}, "write 07:00-18:00"),
        ({"days": []}, {}, "at least 1"),
        ({"days": ["mon", "mon"]}, {}, "named more than once"),
        ({"days": ["monday"]}, {}, "'mon', 'tue'"),
        ({"enable": True}, {}, "Extra inputs"),
        ({"enabled": True}, {"sync": {"enable_cdc": False}}, "needs sync.enable_cdc"),
        ({"enabled": True, "linger_seconds": 1900}, {}, "half of sync.timeout_minutes"),
    ],
)
def test_what_it_may_not_say(realtime: dict[str, Any], sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        county(realtime, **sections)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(ZONE))  # type: ignore[misc,arg-type]


def test_hours_are_the_countys() -> None:
    hours = BusinessHours("07:00-18:00", ("mon", "tue", "wed", "thu", "fri"), ZONE)
    friday = at(2026, 1, 16, 17, 59)
    assert hours.seconds_until_open(friday) == 0
    assert hours.closes_at(friday) == at(2026, 1, 16, 18)
    assert hours.seconds_until_open(at(2026, 1, 16, 18)) == (6 + 2 * 24 + 7) * 3600
    assert hours.closes_at(at(2026, 1, 16, 18)) is None


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    hours = BusinessHours("22:00-05:00", ("fri",), ZONE)
    assert hours.seconds_until_open(at(2026, 1, 17, 4, 59)) == 0
    assert hours.seconds_until_open(at(2026, 1, 17, 5)) > 0
    assert hours.seconds_until_open(at(2026, 1, 16, 4)) == 18 * 3600


def test_the_whole_day_has_no_end() -> None:
    assert BusinessHours(None, DAYS, ZONE).closes_at(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert BusinessHours(None, DAYS, ZONE).seconds_until_open(datetime(2026, 1, 1, tzinfo=UTC)) == 0
    sunday = BusinessHours(None, ("sun",), ZONE)
    assert sunday.closes_at(at(2026, 1, 18, 12)) == at(2026, 1, 19)


def test_in_the_night_of_the_clock_change_a_day_is_an_hour_shorter() -> None:
    hours = BusinessHours("07:00-18:00", DAYS, ZONE)
    assert hours.seconds_until_open(at(2026, 3, 7, 18)) == 12 * 3600
