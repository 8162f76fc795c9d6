"""A served PACS in a process of its own, and a worker beside it that is never disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from airflow_provider_pacs.sandbox.site import Endpoint
from tests.fault.processes import ROOT, Run, until

COUNTIES = {"benton_wa": "53005", "franklin_wa": "53021"}
SIZE = "properties=1500,owners=2000,values=11500,structures=1500"
"""More values than one batch of the reader holds: a read that stops behind the first batch stops inside COPY.
"""
IN_COPY = 10_500
"""Rows of PropertyValue after which its COPY is under way."""


class Sandbox:
    """A served PACS, and the worker that speaks for whoever is not disturbed."""

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.counties = folder / "counties"
        self.counties.mkdir()
        model = (ROOT / "dags/counties/benton_wa.yaml").read_text("utf-8")
        for county, fips in COUNTIES.items():
            text = (
                model.replace("benton_wa", county)
                .replace('"53005"', f'"{fips}"')
                .replace("Benton County", county)
            )
            (self.counties / f"{county}.yaml").write_text(text, "utf-8")
        serving = [
            "airflow_provider_pacs.cli",
            "sandbox",
            "serve",
            "--size",
            size,
            "--dir",
            str(folder / "sandbox"),
        ]
        self._serving = Run(serving, os.environ | {"PYTHONPATH": str(ROOT)}, folder)
        file = folder / "sandbox" / "endpoint.json"
        until("the sandbox serves", file.exists, alive=self._serving, seconds=240)
        endpoint = Endpoint.read(folder / "sandbox")
        place = {
            "HOST": endpoint.host,
            "PORT": endpoint.port,
            "NAME": endpoint.database,
            "USER": endpoint.reader,
            "PASSWORD": endpoint.reader_password,
        }
        self.environment = (
            os.environ
            | endpoint.environment
            | {"PYTHONPATH": str(ROOT), "AIRFLOW__PACS__COUNTIES_PATH": str(self.counties)}
        )
        self.environment |= {
            f"PACS_DB_{name}_{county.upper()}_SOURCE": str(value)
            for name, value in place.items()
            for county in COUNTIES
        }
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.worker", str(folder / "sandbox")],
            cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **asked: Any) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        print(json.dumps(asked), file=self._worker.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._worker.stdout.readline())
        return answer

    def pacs(self, *argv: str) -> str:
        """An undisturbed `pacs` command, which must succeed."""
        answer = self.ask(argv=list(argv))
        assert answer["status"] == 0, answer
        return str(answer["out"])

    def sql(self, statement: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask(sql=statement)["rows"]
        return rows

    def fault(self, rule: str) -> None:
        self.sql(f"EXEC sandbox.fault N'{rule}'")

    def clear_faults(self) -> None:
        self.sql("EXEC sandbox.clear_faults")

    def readers(self) -> int:
        """Connections that the county's reader has open at the source."""
        return int(
            self.sql("SELECT COUNT(*) AS n FROM sys.dm_exec_sessions WHERE login_name = 'pacs_reader'")[0][
                "n"
            ]
        )

    def stop(self) -> None:
        for process in (self._worker, self._serving.process):
            process.terminate()
            process.wait(60)
        for pipe in (self._worker.stdin, self._worker.stdout):
            if pipe is not None:
                pipe.close()
