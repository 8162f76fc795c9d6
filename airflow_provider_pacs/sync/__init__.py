"""The sync engine: a county's PACS in, a published and reconciled PostgreSQL out. Imports no Airflow.

Start reading at `run.py`.
"""
