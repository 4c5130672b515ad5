from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from django.db import migrations

BATCH = 2_000
ACCOUNT, EVENT_TYPE, FULL, SOURCE = 1, 2, 4, 5
HOUR = 2
# What was counted by source and by account alone is what the new rows by source, and of no type,
# begin with.
COPIED = {FULL: SOURCE, ACCOUNT: EVENT_TYPE}


def note_since_when(apps, schema_editor):
    """A hub that has counted before tells sources and types apart from the next day on, when no
    node counts as before: what was counted would else be counted again under another key."""
    Detail = apps.get_model("analytics", "Detail")
    has_counted = any(
        apps.get_model("analytics", name).objects.exists() for name in ("Rollup", "ReceiptRollup")
    )
    if has_counted and not Detail.objects.exists():
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        Detail.objects.create(since=today + timedelta(days=1))


def copy_rows(apps, schema_editor):
    """Doing it twice gives the same, so that it can be taken up again where it was ended."""
    ReceiptRollup = apps.get_model("analytics", "ReceiptRollup")
    rows = ReceiptRollup.objects.filter(scope__in=COPIED, grain__gte=HOUR).order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        last = batch[-1].pk
        for row in batch:
            row.scope = COPIED[row.scope]
            row.pk = id_of(row)
        ReceiptRollup.objects.bulk_create(batch, batch_size=500, ignore_conflicts=True)
        batch = list(rows.filter(pk__gt=last)[:BATCH])


def id_of(row):
    """As analytics/tallies.py makes it of a place without a type."""
    key = (row.account_id, row.source_id, row.verdict, row.cause)
    parts = (row.scope, row.grain, int(row.at.timestamp()), *key)
    return UUID(bytes=blake2b("\0".join(map(str, parts)).encode(), digest_size=16).digest())


class Migration(migrations.Migration):

    atomic = False  # each batch is committed

    dependencies = [
        ('analytics', '0007_sources_types_and_endings'),
    ]

    operations = [
        migrations.RunPython(note_since_when, migrations.RunPython.noop),
        migrations.RunPython(copy_rows, migrations.RunPython.noop),
    ]
