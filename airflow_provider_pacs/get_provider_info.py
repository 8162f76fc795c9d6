"""Nothing comes in; what Airflow learns about this provider without importing any of it goes out."""

from __future__ import annotations

from typing import Any

_HOOK = "airflow_provider_pacs.hooks.pacs.PacsHook"


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _switch(label: str, description: str) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["boolean", "null"], "default": False},
    }


def _seconds(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["integer", "null"], "minimum": 0}}


_CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "encrypt": _text(
        "Encrypt",
        "yes: TLS. strict: TDS 8.0 (SQL Server 2022). no: only for a test.",
        enum=["yes", "no", "strict"],
        default="yes",
    ),
    "trust_server_certificate": _switch(
        "Trust the server's certificate",
        "Skips the check of the certificate. Better: give the certificate below.",
    ),
    "server_certificate": _text(
        "Server certificate", "Path of the certificate (PEM, DER or CER) that the server must present."
    ),
    "host_name_in_certificate": _text(
        "Host name in certificate", "When the certificate names another host than the connection."
    ),
    "odbc_driver": _text(
        "ODBC driver",
        "Name of an installed driver, or one that [pacs] odbc_drivers lists. Empty: Microsoft's driver 18.",
    ),
    "authentication": _text(
        "Authentication",
        "The driver's Authentication keyword, e.g. ActiveDirectoryServicePrincipal. Empty: login and "
        "password.",
    ),
    "application_intent": _text(
        "Application intent", "ReadOnly goes to a readable secondary.", enum=["ReadOnly", "ReadWrite"]
    ),
    "multi_subnet_failover": _switch("Multi-subnet failover", "For an availability group listener."),
    "isolation_level": _text(
        "Isolation level",
        "Empty: chosen by what the database allows.",
        enum=["READ COMMITTED", "SNAPSHOT", "REPEATABLE READ", "SERIALIZABLE"],
    ),
    "login_timeout": _seconds("Login time-out", "Seconds to wait for a connection."),
    "query_timeout": _seconds("Query time-out", "Seconds a statement may run; 0 for no limit."),
}


def get_provider_info() -> dict[str, Any]:
    """Give the provider's description in the form of Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "airflow-provider-pacs",
        "name": "PACS",
        "description": "Keeps a county's PACS (SQL Server) and a PostgreSQL platform database exactly in step, and "  # noqa: E501
        "proves it.",
        "versions": ["0.1.0"],
        "integrations": [{"integration-name": "PACS", "tags": ["software"]}],
        "hooks": [{"integration-name": "PACS", "python-modules": ["airflow_provider_pacs.hooks.pacs"]}],
        "operators": [
            {
                "integration-name": "PACS",
                "python-modules": [
                    f"airflow_provider_pacs.operators.{step}"
                    for step in (
                        *("preflight", "extract", "validate", "publish", "certify", "approvals"),
                        "realtime",
                    )
                ],
            }
        ],
        "sensors": [
            {"integration-name": "PACS", "python-modules": ["airflow_provider_pacs.sensors.connection"]}
        ],
        "triggers": [
            {
                "integration-name": "PACS",
                "python-modules": [
                    "airflow_provider_pacs.triggers.changes",
                    "airflow_provider_pacs.triggers.connection",
                ],
            }
        ],
        "asset-uris": [{"schemes": ["pacs"], "handler": None}],
        "connection-types": [
            {
                "connection-type": "pacs",
                "hook-class-name": _HOOK,
                "hook-name": "PACS (SQL Server)",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"schema": "Database"},
                    "placeholders": {
                        "host": "pacs-sql.county.example",
                        "port": "1433",
                        "schema": "pacs_oltp",
                        "login": "pacs_reader",
                    },
                },
                "conn-fields": _CONNECTION_FIELDS,
            }
        ],
        "config": {
            "pacs": {
                "description": "How county files become DAGs.",
                "options": {
                    "counties_path": {
                        "description": "Folder of the county files (*.yaml, *.yml). Empty: the folder `counties` in "  # noqa: E501
                        "the DAGs folder.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/counties",
                        "default": "",
                    },
                    "odbc_drivers": {
                        "description": "ODBC drivers beyond the installed ones that a connection may ask for: names or "  # noqa: E501
                        "paths of libraries, separated by commas.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/microsoft/msodbcsql18/lib64/libmsodbcsql-18.so",
                        "default": "",
                    },
                    "deadline_alerts": {
                        "description": "Whether a run that takes longer than the county's timeout_minutes is listed "  # noqa: E501
                        "under missed deadlines.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                },
            }
        },
    }
