from django.db import migrations, models
from django.db.models import F, Q


def keep_refusals(apps, schema_editor):
    """Of those that stand refused: the cause is that of the arrival, save where it was dropped from
    quarantine, which had taken its id as what is accepted does."""
    receipt = apps.get_model("incoming", "Receipt")
    dropped = Q(cause="schema_mismatch", dedup_slot__isnull=False)
    receipt.objects.filter(status="refused").exclude(dropped).update(refusal=F("cause"))


class Migration(migrations.Migration):

    dependencies = [
        ('incoming', '0009_run_due_by_source'),
    ]

    operations = [
        migrations.AddField(
            model_name='receipt',
            name='pruned_bytes',
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='receipt',
            name='refusal',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.RunPython(keep_refusals, migrations.RunPython.noop),
    ]
