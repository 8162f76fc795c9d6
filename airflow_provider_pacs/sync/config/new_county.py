"""Answers about a county -> its commented file, checked before it is there.

Never a secret: those live in connections.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from airflow_provider_pacs.sync.config import CountyConfig, load_county, washington_fips
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.runtime.errors import ConfigError

_TABLES = (
    "\ntables:                               # what differs from the profile, and how a table's "
    "changes "
    "are found\n"
)
_NO_TABLES = """
# tables:                             # only where this county's names differ from the profile's: `pacs check` names what it misses
#   property:
#     table: Property
#     columns:
#       parcel_number: ParcelNumber   # our name: the county's name
"""  # noqa: E501
KNOWN_ZONES = {"wa": "America/Los_Angeles"}


@dataclass(frozen=True, slots=True)
class NewCounty:
    """What a county's file says. `cron` and `reconcile_cron` are None for "by hand only".

    Attributes:
        place: host:port/database of the PACS, for a comment; "" where nobody said.
        modes: entity -> how its changes are found, where that is not left to the source.
    """

    county: str
    name: str
    fips: str
    timezone: str
    connection: str
    target: str = "terrafusion"
    profile: str = "generic"
    read_only: str = "warn"
    cron: str | None = "0 2 * * *"
    reconcile_cron: str | None = "30 4 * * 0"
    enable_cdc: bool = True
    entities: tuple[str, ...] = ()
    modes: dict[str, str] = field(default_factory=dict)
    place: str = ""


def state_of(county: str) -> str:
    """The state's two letters at the end of a county's slug; "" where there are none."""
    place, _, state = county.rpartition("_")
    return state if place and len(state) == 2 and state.isalpha() else ""


def known_fips(county: str) -> str:
    """The FIPS code of a county that this package knows; "" otherwise."""
    return washington_fips().get(county, "")


def write_county(new: NewCounty, folder: Path, *, force: bool = False) -> tuple[Path, CountyConfig]:
    """Write `<folder>/<county>.yaml`, and read it back as everything else will.

    Raises:
        ConfigError: the file is there already and `force` is not given, or an answer is not what its field
            takes: nothing is written then.
    """
    path = folder / f"{new.county}.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", remedy="edit it, or overwrite it with --force")
    text = text_of(new)
    with tempfile.TemporaryDirectory(prefix="pacs-init-") as scratch:
        draft = Path(scratch) / f"{Path(new.county).name or 'county'}.yaml"
        draft.write_text(text, "utf-8")
        try:
            config = load_county(draft)
        except ConfigError as error:
            raise ConfigError(
                error.message.replace(f"{draft}: ", ""), remedy="correct these answers; nothing was written"
            ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=".", suffix=".new", delete=False
        ) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)  # never half a file under the county's name
    except OSError as error:
        raise ConfigError(
            f"{path} can't be written: {error.strerror}", remedy="name another folder with --counties"
        ) from error
    return path, config


def text_of(new: NewCounty) -> str:
    """The file's text; every answer is quoted, so that none can become more than a value."""
    entities = ", ".join(_quoted(entity) for entity in new.entities or load_entities())
    place = f": {' '.join(new.place.split())}" if new.place else ""
    lines = [
        f"# {' '.join(new.name.split())}. Made by `pacs init`; every key is checked, and a misspelt one is "
        "an error, never ignored.",
        "# No passwords here: they live in Airflow's connections. All settings with their defaults: "
        "dags/counties/benton_wa.yaml of the provider.",
        "",
        _line("county", new.county, "the file's name; the county's DAGs begin with pacs_ and this"),
        _line("fips", new.fips, "state and county, 5 digits in quotes: the county's id in the platform"),
        _line("name", new.name, "for people"),
        _line("timezone", new.timezone, "IANA name: of the schedule, and of the clock that stamps rows"),
        "",
        "source:",
        _line("  connection", new.connection, f"an Airflow connection of type pacs{place}"),
        _line("  profile", new.profile, "which tables this kind of PACS has"),
        _line(
            "  read_only",
            new.read_only,
            "a login that could do more than read: warn says so, strict refuses to run",
        ),
        "target:",
        _line("  connection", new.target, "an Airflow connection of type postgres"),
        "",
        "sync:",
        _line(
            "  cron", new.cron, "minute hour day month weekday, in the county's time zone; null: by hand only"
        ),
        _line("  reconcile_cron", new.reconcile_cron, "compare both sides in full; null: by hand only"),
        f"  entities: [{entities}]  # parents first",
        _line(
            "  enable_cdc",
            new.enable_cdc,
            "the best change feed the source allows; false: compare everything in every run",
        ),
    ]
    text = "\n".join([*lines, ""])
    if not new.modes:
        return text + _NO_TABLES
    return (
        text
        + _TABLES
        + "".join(f"  {_quoted(entity)}:\n    mode: {_quoted(mode)}\n" for entity, mode in new.modes.items())
    )


def _line(setting: str, value: str | bool | None, comment: str) -> str:
    return f"{f'{setting}: {_quoted(value)}':<37} # {comment}"


def _quoted(value: str | bool | None) -> str:
    """The value in YAML's double quotes, on one line; null, true and false as they are."""
    if not isinstance(value, str):
        return json.dumps(value)
    return yaml.safe_dump(value, default_style='"', width=10**9).strip()
