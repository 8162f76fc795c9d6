"""A second opinion on the demo: counts rows at the source with pyodbc and at the target with SQL, and knows
nothing of the product's code.

    python tests/integration/verify_summary.py build/demo        while `make ui` runs: compares with
    summary.json too python tests/integration/verify_summary.py --sandbox FOLDER --target-url URL

Prints what it counted as JSON. Exit status 0: for every table the source's rows are the target's live rows
plus those in quarantine, and the summary says the same; 1: not so, with one line per difference on standard
error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

COUNTY_ID = "53005"
# entity: (table at the target, key at the target)
TABLES = {
    "property": ("pacs.property", "property_id"),
    "owner": ("pacs.owner", "owner_id"),
    "value": ("pacs.value_history", "value_id"),
    "structure": ("pacs.structure", "structure_id"),
}
# The layers of real and mobile homes in the three open years; `last` is a property's last one.
_OPEN = """(SELECT a.prop_id, a.owner_tax_yr, a.sup_num, MAX(a.owner_tax_yr) OVER (PARTITION BY a.prop_id) AS last FROM dbo.prop_supp_assoc AS a
JOIN dbo.property AS p ON p.prop_id = a.prop_id CROSS JOIN dbo.pacs_system AS s
WHERE p.prop_type_cd IN ('R', 'MH') AND a.owner_tax_yr > s.appr_yr - 3 AND a.owner_tax_yr <= s.appr_yr) AS l"""
# database: entity: what follows SELECT COUNT(*) FROM at the source
SOURCES = {
    "PACS": {
        "property": "dbo.Property",
        "owner": "dbo.PropertyOwner",
        "value": "dbo.PropertyValue",
        "structure": "dbo.Structure",
    },
    "pacs_oltp": {
        "property": f"{_OPEN} WHERE l.owner_tax_yr = l.last",
        "owner": f"{_OPEN} JOIN dbo.owner AS o ON o.prop_id = l.prop_id AND o.owner_tax_yr = l.owner_tax_yr AND "
        "o.sup_num = l.sup_num "
        "WHERE l.owner_tax_yr = l.last",
        "value": _OPEN,
        "structure": f"{_OPEN} JOIN dbo.imprv AS i ON i.prop_id = l.prop_id AND i.prop_val_yr = l.owner_tax_yr AND "
        "i.sup_num = l.sup_num "
        "WHERE l.owner_tax_yr = l.last AND i.sale_id = 0",
    },
}
WAITING = """SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
  SELECT FROM {table} AS t WHERE t.county_id = q.county_id AND t.{key}::text = q.source_key AND t._deleted_at IS NULL))
FROM pacs_ops.quarantine AS q WHERE q.county_id = %s AND q.entity = %s AND q.state = 'open'"""


def count_source(sandbox: Path) -> dict[str, int]:
    """Rows per entity at the source, through Microsoft's driver and with its certificate verified where it is
    a sandbox's.
    """
    endpoint = json.loads((sandbox / "endpoint.json").read_text("utf-8"))
    os.environ.update(endpoint["environment"])  # before the driver manager is first used
    import pyodbc

    connection = pyodbc.connect(
        f"DRIVER={{ODBC Driver 18 for SQL "
        f"Server}};SERVER=tcp:{endpoint['host']},{endpoint['port']};DATABASE={endpoint['database']};"
        f"UID={endpoint['reader']};PWD={{{endpoint['reader_password']}}};Encrypt={endpoint['options']['encrypt']};"
        f"TrustServerCertificate={endpoint['options']['trust_server_certificate']}"
    )
    try:
        return {
            entity: int(connection.execute(f"SELECT COUNT(*) FROM {source}").fetchval())
            for entity, source in SOURCES[endpoint["database"]].items()
        }
    finally:
        connection.close()


def count_target(url: str) -> dict[str, dict[str, int]]:
    """Live rows, open quarantine rows, and of these the ones without a live older version, per entity."""
    import psycopg

    counts = {}
    with psycopg.connect(url) as connection:
        for entity, (table, key) in TABLES.items():
            live = connection.execute(
                f"SELECT count(*) FROM {table} WHERE county_id = %s AND _deleted_at IS NULL", (COUNTY_ID,)
            ).fetchone()
            waiting = connection.execute(WAITING.format(table=table, key=key), (COUNTY_ID, entity)).fetchone()
            assert live is not None
            assert waiting is not None
            counts[entity] = {"live": live[0], "quarantined": waiting[0], "absent": waiting[1]}
    return counts


def compare_counts(source: dict[str, int], target: dict[str, dict[str, int]]) -> list[str]:
    """One line per entity whose source rows are not all accounted for."""
    return [
        f"{entity}: {rows} rows at the source, {target[entity]['live']} live + {target[entity]['absent']} "
        "in quarantine at the target"
        for entity, rows in source.items()
        if rows != target[entity]["live"] + target[entity]["absent"]
    ]


def compare_summary(
    summary: dict[str, Any], source: dict[str, int], target: dict[str, dict[str, int]]
) -> list[str]:
    """One line per figure of summary.json that the counts contradict."""
    wrong: list[str] = []

    def same(what: str, reported: object, counted: object) -> None:
        if reported != counted:
            wrong.append(f"{what}: summary.json says {reported}, counted {counted}")

    same("version", summary["version"], 2)
    same("ok", summary["ok"], True)
    same("runs", [run["run"] for run in summary["runs"]], ["full", "incremental", "reconcile"])
    same("airflow states", {run["airflow_state"] for run in summary["runs"]}, {"success"})
    written = dict.fromkeys(TABLES, 0)
    for run in summary["runs"]:
        for reported in run["entities"]:
            written[reported["entity"]] += reported["inserted"] - reported["deleted"]
    same(
        "rows inserted minus deleted",
        written,
        {entity: counted["live"] for entity, counted in target.items()},
    )
    last = {reported["entity"]: reported["certificate"] for reported in summary["runs"][-1]["entities"]}
    for entity, counted in target.items():
        certificate = last[entity]
        same(
            f"{entity} certificate",
            (certificate["covered"], certificate["state"], certificate["missing"]),
            ("all_rows", "clean", 0),
        )
        same(f"{entity} target_rows", certificate["target_rows"], counted["live"])
        same(
            f"{entity} quarantined and waiting rows",
            certificate["quarantined_rows"] + certificate["waiting_rows"],
            counted["quarantined"],
        )
        same(f"{entity} source_rows", certificate["source_rows"], source[entity])
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Count both sides independently.")
    parser.add_argument("demo", nargs="?", type=Path, help="folder of a demo that runs (make ui)")
    parser.add_argument("--sandbox", type=Path, help="folder of a sandbox that runs")
    parser.add_argument("--target-url", help="postgresql://...")
    arguments = parser.parse_args()
    sandbox, url = arguments.sandbox, arguments.target_url
    if arguments.demo:
        running = json.loads((arguments.demo / "running.json").read_text("utf-8"))
        sandbox, url = Path(running["sandbox"]), running["target_url"]
    if not sandbox or not url:
        parser.error("name a demo's folder, or --sandbox and --target-url")
    source, target = count_source(sandbox), count_target(url)
    wrong = compare_counts(source, target)
    if arguments.demo:
        wrong += compare_summary(
            json.loads((arguments.demo / "summary.json").read_text("utf-8")), source, target
        )
    print(json.dumps({entity: {"source": source[entity], **target[entity]} for entity in TABLES}))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
