"""A folder of county files comes in; the good counties by name and one ConfigError per unusable file go out.

A broken file hides no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_provider_pacs.sync.config import CountyConfig, county_files, load_county
from airflow_provider_pacs.sync.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Counties:
    """What a folder holds. `broken` is in the order of the files; a county that two files claim is broken,
    and neither is used.
    """

    good: dict[str, CountyConfig]
    broken: tuple[ConfigError, ...]


def load_counties(folder: Path) -> Counties:
    """Load every county file of a folder.

    Raises:
        ConfigError: there is no such folder.
    """
    broken: list[ConfigError] = []
    claims: dict[str, list[tuple[Path, CountyConfig]]] = {}
    for file in county_files(folder):
        try:
            config = load_county(file)
        except ConfigError as error:
            broken.append(error)
        else:
            claims.setdefault(config.county, []).append((file, config))
    for county, claim in claims.items():
        if len(claim) > 1:
            files = ", ".join(str(file) for file, _ in claim)
            broken.append(
                ConfigError(
                    f"{files}: county: {county!r} is claimed by {len(claim)} files",
                    remedy="Keep one of them, or set `county`.",
                )
            )
    return Counties(
        good={county: claim[0][1] for county, claim in claims.items() if len(claim) == 1},
        broken=tuple(broken),
    )
