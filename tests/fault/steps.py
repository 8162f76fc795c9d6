"""One step of a run in a process of its own, as in Airflow: `python -m tests.fault.steps FOLDER COUNTY
prepare|validate|publish|certify [RUN_ID]`.

`prepare` is plan, extract and validate of every entity. The answer is one line of JSON; an error is one
line, exit status 1.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.config.folder import load_counties
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.target.postgres import PostgresTarget


def prepare(config: CountyConfig, target: PostgresTarget) -> dict[str, Any]:
    address = SourceAddress.from_environment(config.county, os.environ)
    assert address is not None
    with SqlServerReader(address) as source:
        plan = steps.plan(config, source, target, steps.RunRequest("sync", "steps"))
        for entity in plan.entities:
            steps.extract(config, source, target, run_id=plan.run_id, entity=entity.entity, attempt=1)
            steps.validate(config, target, run_id=plan.run_id, entity=entity.entity)
    return {"run_id": plan.run_id}


def certify(config: CountyConfig, target: PostgresTarget, run_id: str) -> dict[str, Any]:
    address = SourceAddress.from_environment(config.county, os.environ)
    assert address is not None
    with SqlServerReader(address) as source:
        return steps.certify(config, source, target, run_id=run_id).as_dict()


def step(folder: Path, county: str, name: str, *rest: str) -> dict[str, Any]:
    config = load_counties(folder).good[county]
    with PostgresTarget.from_url(os.environ["PACS_TARGET_URL"]) as target:
        if name == "prepare":
            return prepare(config, target)
        if name == "publish":
            return steps.publish(config, target, run_id=rest[0]).as_dict()
        if name == "validate":
            return {
                "entities": [
                    steps.validate(config, target, run_id=rest[0], entity=entity).entity
                    for entity in config.sync.entities
                ]
            }
        return certify(config, target, rest[0])


if __name__ == "__main__":
    try:
        print(json.dumps(step(Path(sys.argv[1]), *sys.argv[2:]), default=str))
    except PacsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
