"""One pair of DAGs per county file in `[pacs] counties_path` (by default `counties` in the DAGs folder).

Airflow reads this file.
"""

from airflow_provider_pacs.dag_builder import build_county_dags

globals().update(build_county_dags())
