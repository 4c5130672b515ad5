"""Statements that Django's ORM does not write, or writes too slowly to be run many times a second.

For SQLite and PostgreSQL alike.
"""

from webhooks_project.lib.sql.due import claim_due, is_due
from webhooks_project.lib.sql.insert import (
    insert_instance,
    insert_instances,
    insert_new,
    insert_new_with,
    insert_rows,
)
from webhooks_project.lib.sql.rows import Condition, instance_of
from webhooks_project.lib.sql.select import select_by_key
from webhooks_project.lib.sql.statistics import analyze_unknown
from webhooks_project.lib.sql.update import update_by_key, update_returning, wait_for_writers

__all__ = [
    "Condition", "analyze_unknown", "claim_due", "insert_instance", "insert_instances",
    "insert_new", "insert_new_with", "insert_rows", "instance_of", "is_due", "select_by_key",
    "update_by_key", "update_returning", "wait_for_writers",
]  # fmt: skip
