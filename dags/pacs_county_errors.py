"""No DAG lives here.

When a county file is broken, this file fails, so that Airflow's import-error banner names the file and the
field.
"""

from airflow_provider_pacs.dag_builder import raise_broken_counties

raise_broken_counties()
