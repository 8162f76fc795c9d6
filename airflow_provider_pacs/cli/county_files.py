"""Where the county files are, by the command line, the environment or Airflow's configuration file.

Airflow itself is not imported: a shell need not have it. Its file and its variables are read as Airflow reads
them.
"""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigFileError
from pathlib import Path

USUAL_FOLDERS = ("dags/counties", "counties")
PATH_VARIABLE = "AIRFLOW__PACS__COUNTIES_PATH"


def county_folder(named: Path | None) -> Path | None:
    """The folder of the county files; None where nobody named one and no usual folder is there.

    Args:
        named: what `--counties` says.
    """
    if named is not None:
        return named
    if (stated := stated_folder()) is not None:
        return stated
    default = airflow_default_folder()
    usual = [*map(Path, USUAL_FOLDERS), *([default] if default else [])]
    return next((folder for folder in usual if folder.is_dir()), None)


def folder_to_write(named: Path | None) -> Path:
    """Where `pacs init` writes: as `county_folder`; in Airflow's home where its DAGs are, else `counties`."""
    folder = county_folder(named)
    if folder is not None:
        return folder
    default = airflow_default_folder()
    if default is not None and Path.cwd() == airflow_home().resolve():
        return default
    return Path("counties")


def folder_of_airflow() -> Path | None:
    """Where Airflow looks for county files; None where this shell can't know."""
    return stated_folder() or airflow_default_folder()


def stated_folder() -> Path | None:
    """`[pacs] counties_path` of Airflow's configuration; None where it is not set."""
    value = os.environ.get(PATH_VARIABLE) or _configured("pacs", "counties_path")
    return _expanded(value) if value else None


def airflow_default_folder() -> Path | None:
    """`counties` in Airflow's DAGs folder; None where nothing says where that is."""
    value = os.environ.get("AIRFLOW__CORE__DAGS_FOLDER") or _configured("core", "dags_folder")
    return _expanded(value) / "counties" if value else None


def airflow_home() -> Path:
    """Airflow's home: AIRFLOW_HOME, or `~/airflow`."""
    return _expanded(os.environ.get("AIRFLOW_HOME") or "~/airflow")


def _configured(section: str, option: str) -> str | None:
    """A setting of airflow.cfg; None where the file, the section or the option is not there."""
    file = _expanded(os.environ.get("AIRFLOW_CONFIG") or str(airflow_home() / "airflow.cfg"))
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, "utf-8")
    except (ConfigFileError, OSError, UnicodeDecodeError):
        return None  # Airflow itself will say what is wrong with its file; here it only names no folder
    return parser.get(section, option, fallback="").strip() or None


def _expanded(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
