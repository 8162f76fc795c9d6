"""A process that stays: lines of JSON in (a `pacs` command, or SQL for the sandbox's administrator), a line
of JSON out.

It spares the undisturbed runs of these tests the start of an interpreter each. The runs that are disturbed
are processes of their own.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sandbox.commands import call
from airflow_provider_pacs.sandbox.site import Endpoint


def answer(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    if "sql" in asked:
        return {"status": 0, "rows": call(Endpoint.read(folder), asked["sql"])}
    out, failed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(failed):
        status = main(asked["argv"])
    return {"status": status, "out": out.getvalue(), "err": failed.getvalue()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(Path(sys.argv[1]), json.loads(line)), default=str), flush=True)
