"""Answers about a county -> its commented file, checked before it is there. Never a secret: those live in connections."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_pacs.sync.config import CountyConfig, load_county, washington_fips
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.errors import ConfigError

_TEXT = """\
# {name}. Made by `pacs init`; every key is checked, and a misspelt one is an error, never ignored.
# No passwords here: they live in Airflow's connections. All settings with their defaults: dags/counties/benton_wa.yaml of the provider.

county: {county}{pad}# the file's name; DAGs are pacs_{county} and pacs_{county}_reconcile
fips: {fips}                         # state and county, 5 digits in quotes: the county's id in the platform
name: {name_text}
timezone: {timezone}       # IANA name: schedules, and the clock that stamps rows where sync.clock is local

source:
  connection: {connection}          # an Airflow connection of type pacs{place}
  profile: {profile}                 # which tables this kind of PACS has
  read_only: {read_only}                  # a login that could do more than read: warn says so, strict refuses to run
target:
  connection: {target}          # an Airflow connection of type postgres

sync:
  cron: {cron}               # minute hour day month weekday, in the county's time zone; null: by hand only
  reconcile_cron: {reconcile_cron}      # compare both sides in full; null: by hand only
  entities: [{entities}]
  enable_cdc: {enable_cdc}                   # the best change feed the source allows; false: compare everything in every run
"""
_TABLES = "\ntables:                               # what differs from the profile, and how a table's changes are found\n"
_NO_TABLES = """
# tables:                             # only where this county's names differ from the profile's: `pacs check` names what it misses
#   property:
#     table: Property
#     columns:
#       parcel_number: ParcelNumber   # our name: the county's name
"""
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
        ConfigError: the file is there already and `force` is not given, or an answer is not what its field takes: nothing is written then.
    """
    path = folder / f"{new.county}.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", remedy="edit it, or overwrite it with --force")
    text = text_of(new)
    with tempfile.TemporaryDirectory(prefix="pacs-init-") as scratch:
        draft = Path(scratch) / "county.yaml"
        draft.write_text(text, "utf-8")
        try:
            config = load_county(draft)
        except ConfigError as error:
            raise ConfigError(error.message.replace(f"{draft}: ", ""), remedy="correct these answers; nothing was written") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=".", suffix=".new", delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)  # never half a file under the county's name
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", remedy="name another folder with --counties") from error
    return path, config


def text_of(new: NewCounty) -> str:
    """The file's text; every answer is quoted, so that none can become more than a value."""
    text = _TEXT.format(
        county=_quoted(new.county),
        pad=" " * max(1, 28 - len(new.county)),
        fips=_quoted(new.fips),
        name=" ".join(new.name.split()),
        name_text=_quoted(new.name),
        timezone=_quoted(new.timezone),
        connection=_quoted(new.connection),
        place=f": {' '.join(new.place.split())}" if new.place else "",
        profile=_quoted(new.profile),
        read_only=_quoted(new.read_only),
        target=_quoted(new.target),
        cron=_quoted(new.cron),
        reconcile_cron=_quoted(new.reconcile_cron),
        entities=", ".join(_quoted(entity) for entity in new.entities or load_entities()),
        enable_cdc=json.dumps(new.enable_cdc),
    )
    if not new.modes:
        return text + _NO_TABLES
    return text + _TABLES + "".join(f"  {_quoted(entity)}:\n    mode: {_quoted(mode)}\n" for entity, mode in new.modes.items())


def _quoted(value: str | None) -> str:
    """YAML's double quotes are JSON's, for text without half surrogates."""
    return json.dumps(value)
