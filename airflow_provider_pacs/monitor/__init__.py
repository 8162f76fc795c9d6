"""PACS Sync, the operations page inside Airflow: read-only.

Start reading at app.py; what runs in the browser is in static/.
"""
