"""Sensors: tasks that wait for a county's source."""
