"""What Airflow learns about the provider: valid by its own schema, and cheap."""

from __future__ import annotations

import importlib.resources
import json
import subprocess
import sys

import jsonschema

from airflow_provider_pacs.get_provider_info import get_provider_info

EXTRAS = {
    "encrypt",
    "trust_server_certificate",
    "server_certificate",
    "host_name_in_certificate",
    "odbc_driver",
    "authentication",
    "application_intent",
    "multi_subnet_failover",
    "isolation_level",
    "login_timeout",
    "query_timeout",
}


def test_it_is_valid_by_airflows_schema() -> None:
    schema = json.loads(
        importlib.resources.files("airflow").joinpath("provider_info.schema.json").read_text("utf-8")
    )
    jsonschema.validate(get_provider_info(), schema)


def test_the_connection_form_has_every_extra_and_requires_none() -> None:
    (connection,) = get_provider_info()["connection-types"]
    assert connection["connection-type"] == "pacs"
    assert connection["hook-class-name"] == "airflow_provider_pacs.hooks.pacs.PacsHook"
    assert set(connection["conn-fields"]) == EXTRAS
    for field in connection["conn-fields"].values():
        assert "null" in field["schema"]["type"]


def test_asking_for_it_imports_nothing_else() -> None:
    code = (
        "import sys; import airflow_provider_pacs.get_provider_info as p; p.get_provider_info();"
        "assert not {'airflow', 'pydantic', 'yaml', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
