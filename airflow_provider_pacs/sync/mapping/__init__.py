"""A batch of source columns becomes canonical columns and rejects."""

from airflow_provider_pacs.sync.mapping.batches import map_batch, refuse_misfits, to_csv, unreadable_keys

__all__ = ["map_batch", "refuse_misfits", "to_csv", "unreadable_keys"]
