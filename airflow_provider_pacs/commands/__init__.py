"""The commands of `pacs` that are more than a step of a run: one file each, with its flags beside its
work.
"""
