"""A county of Benton's size in PACS 9.0's tables, in a process of its own: its figures, and that its memory
is bounded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEGABYTES = 1_600
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a minute to make it, and 300 MB of disk

SERVED = """
import json, resource, sys
from pathlib import Path
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.counties.harris.county import build
from airflow_provider_pacs.sandbox.model import ResultSet

session = build(SandboxEngine(Path(sys.argv[1])), "benton").login("sa", "Sandbox!Admin1", "pacs_oltp", "host", "tests")

def read(sql):
    return [sum(batch.num_rows for batch in item.batches) for item in session.execute(sql) if isinstance(item, ResultSet)][0]

rows = {
    "property": read("SELECT * FROM property"),
    "property_val": read("SELECT * FROM property_val"),
    "owner": read("SELECT * FROM owner ORDER BY owner_tax_yr, sup_num, prop_id, owner_id"),
    "imprv": read("SELECT prop_id FROM imprv WHERE prop_val_yr = 2026 AND sup_num = 0 AND sale_id = 0"),
    "imprv_detail": read("SELECT * FROM imprv_detail WHERE prop_val_yr = 2026 AND sup_num = 0 AND sale_id = 0"),
    "land_detail": read("SELECT prop_id FROM land_detail WHERE prop_val_yr = 2026 AND sup_num = 0 AND sale_id = 0"),
    "area": read("SELECT i.imprv_id, d.area FROM imprv i OUTER APPLY (SELECT SUM(x.imprv_det_area) AS area FROM imprv_detail x WHERE "
                 "x.prop_val_yr = i.prop_val_yr AND x.sup_num = i.sup_num AND x.sale_id = i.sale_id AND x.prop_id = i.prop_id AND "
                 "x.imprv_id = i.imprv_id) d WHERE i.sale_id = 0 ORDER BY i.prop_val_yr, i.sup_num, i.prop_id, i.imprv_id"),
}
print(json.dumps(rows | {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def test_a_county_of_benton_s_size_is_read_whole_within_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVED, str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.pop("megabytes") < MEGABYTES
    published = {
        "property": 95_500,
        "property_val": 286_000,
        "owner": 273_000,
        "imprv": 104_000,
        "imprv_detail": 330_000,
        "land_detail": 88_000,
    }
    assert {name: abs(result[name] / rows - 1) < 0.03 for name, rows in published.items()} == dict.fromkeys(
        published, True
    )
    assert result["area"] > 3 * 100_000
