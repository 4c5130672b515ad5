"""A job's outcomes as a file."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from subscriptions.bulk.files import csv_row
from subscriptions.bulk.models import BulkJob


def written_results(job: BulkJob) -> Iterator[bytes]:
    """What became of each line, as CSV, piece by piece."""
    yield csv_row(("line", "subscription", "outcome", "changes", "problems"))
    for line in job.lines.order_by("number").iterator(chunk_size=500):
        yield csv_row(
            (
                line.number,
                line.subscription_id or "",
                line.outcome,
                orjson.dumps(line.changes, option=orjson.OPT_SORT_KEYS).decode()
                if line.changes
                else "",
                "; ".join(f"{item['path'][1:]}: {item['message']}" for item in line.problems),
            )
        )
