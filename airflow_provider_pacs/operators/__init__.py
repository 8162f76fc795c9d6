"""Operators: one county's configuration and one step of its run come in; Airflow tasks go out."""
