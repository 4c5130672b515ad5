from django.db import migrations
from django.db.models import F, Q


BATCH = 2_000  # receipts that are written, and locked, together


def keep_refusals(apps, schema_editor):
    """Of those that stand refused: the cause is that of the arrival, save where it was dropped from
    quarantine, which had taken its id as what is accepted does.

    Doing it twice gives the same, so that it can be taken up again where it was ended.
    """
    Receipt = apps.get_model("incoming", "Receipt")
    dropped = Q(cause="schema_mismatch", dedup_slot__isnull=False)
    rows = Receipt.objects.filter(status="refused", refusal="").exclude(dropped).order_by("pk")
    batch = list(rows.values_list("pk", flat=True)[:BATCH])
    while batch:
        # What was replayed meanwhile is refused no more, and is left out.
        rows.filter(pk__gte=batch[0], pk__lte=batch[-1]).order_by().update(refusal=F("cause"))
        batch = list(rows.filter(pk__gt=batch[-1]).values_list("pk", flat=True)[:BATCH])


class Migration(migrations.Migration):

    atomic = False  # each batch is committed, and its receipts are free again

    dependencies = [
        ('incoming', '0010_verdict_kept'),
    ]

    operations = [
        migrations.RunPython(keep_refusals, migrations.RunPython.noop),
    ]
