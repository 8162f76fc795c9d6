"""A county's name, or the path of its file -> its `CountyConfig`, as Airflow's configuration has it."""

from __future__ import annotations

from pathlib import Path

from airflow.configuration import conf

from airflow_provider_pacs.sync.config import CountyConfig, load_county
from airflow_provider_pacs.sync.config.folder import load_counties
from airflow_provider_pacs.sync.runtime.errors import ConfigError

_ENDINGS = (".yaml", ".yml")


def counties_folder() -> Path:
    """Where the county files are: `[pacs] counties_path`, or `counties` in the DAGs folder."""
    return Path(
        conf.get("pacs", "counties_path", fallback="")
        or Path(conf.get_mandatory_value("core", "dags_folder")) / "counties"
    )


def county_config(county: CountyConfig | str | Path) -> CountyConfig:
    """The county that a DAG's author means.

    Args:
        county: a config as it is; a name, whose file is in `counties_folder`; or the path of a county's
            file: a `Path`, or a text that ends in `.yaml` or `.yml` or holds a `/`.

    Raises:
        ConfigError: there is no such county or file, or the file is broken: its problems are listed.
    """
    if isinstance(county, CountyConfig):
        return county
    if isinstance(county, Path) or county.endswith(_ENDINGS) or "/" in county:
        return load_county(Path(county))
    return _county_named(county, counties_folder())


def _county_named(name: str, folder: Path) -> CountyConfig:
    """From the file that bears the name."""
    for file in (folder / f"{name}{ending}" for ending in _ENDINGS):
        if file.is_file() and (config := load_county(file)).county == name:
            return config
    known = ", ".join(sorted(load_counties(folder).good)) or "none"
    raise ConfigError(
        f"no county {name!r} in {folder} (there: {known})",
        remedy="correct the name, give the path of the county's file, or set [pacs] counties_path",
    )
