"""`make demo`: a sandbox county through a real Airflow into PostgreSQL."""
