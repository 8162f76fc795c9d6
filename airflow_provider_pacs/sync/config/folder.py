"""A folder of county files comes in; the good counties by name and one ConfigError per unusable file go out.

A broken file hides no other, whatever is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_provider_pacs.sync.config import CountyConfig, county_files, load_county
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign

_Claims = dict[str, list[tuple[Path, CountyConfig]]]


@dataclass(frozen=True, slots=True)
class Counties:
    """What a folder holds. A county or a FIPS code that two files claim is broken, and neither is used.

    Attributes:
        good: the usable counties.
        broken: each problem once, in the order of the files.
        reasons: why a county can't be used, by its file's name; a problem of two files is the reason of both.
    """

    good: dict[str, CountyConfig]
    broken: tuple[ConfigError, ...]
    reasons: dict[str, ConfigError]


def load_counties(folder: Path) -> Counties:
    """Load every county file of a folder.

    Raises:
        ConfigError: there is no such folder.
    """
    broken: list[ConfigError] = []
    reasons: dict[str, ConfigError] = {}
    claims: _Claims = {}
    for file in county_files(folder):
        try:
            config = load_county(file)
        except ConfigError as error:
            broken.append(reasons.setdefault(file.stem, error))
        except Exception as error:  # whatever it is, it is this file's alone
            broken.append(ConfigError(f"{file}: can't be loaded: {describe_foreign(error)}"))
            reasons.setdefault(file.stem, broken[-1])
        else:
            claims.setdefault(config.county, []).append((file, config))
    for county, claim in claims.items():
        if len(claim) > 1:
            broken.append(
                ConfigError(
                    f"{_files(claim)}: county: {county!r} is claimed by {len(claim)} files",
                    remedy="Keep one of them, or set `county`.",
                )
            )
            reasons[county] = broken[-1]
    for counties, refused in _shared_codes(claims):
        broken.append(refused)
        reasons |= dict.fromkeys(counties, refused)
    good = {county: claim[0][1] for county, claim in claims.items() if county not in reasons}
    return Counties(good=good, broken=tuple(broken), reasons=reasons)


def _shared_codes(claims: _Claims) -> list[tuple[list[str], ConfigError]]:
    """Counties whose FIPS code another file claims too: their rows and runs would be one county's."""
    codes: dict[str, list[str]] = {}
    for county, claim in claims.items():
        codes.setdefault(claim[0][1].fips, []).append(county)
    return [
        (
            counties,
            ConfigError(
                f"{_files([claims[county][0] for county in counties])}: fips: {fips!r} is claimed by "
                f"{len(counties)} counties; who may read the one would read the other",
                remedy="Correct `fips` in the file where it is wrong.",
            ),
        )
        for fips, counties in codes.items()
        if len(counties) > 1
    ]


def _files(claim: list[tuple[Path, CountyConfig]]) -> str:
    return ", ".join(str(file) for file, _ in claim)
