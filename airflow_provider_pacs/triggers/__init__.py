"""Triggers: what waits in Airflow's triggerer, for a change or for a connection."""
