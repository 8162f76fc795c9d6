"""`pacs ...`: the steps that Airflow runs, from a shell and without Airflow; one file per command.

Exit status: 0 the work was done, 1 the work failed or SIGTERM ended it, 2 usage or configuration, 130 Ctrl-C.
"""

from airflow_provider_pacs.cli.invocation import Invocation
from airflow_provider_pacs.cli.program import main, run

__all__ = ["Invocation", "main", "run"]
