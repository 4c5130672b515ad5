from django.db import migrations, models


def mark_uncounted(apps, schema_editor):
    """What was not routed yet is not in its source's counts."""
    apps.get_model('incoming', 'Receipt').objects.filter(routed_at=None, round=0).exclude(
        status__in=('refused', 'duplicate', 'handshake')
    ).update(is_counted=False)


class Migration(migrations.Migration):

    dependencies = [
        ('incoming', '0003_list_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='receipt',
            name='is_counted',
            field=models.BooleanField(default=True),
        ),
        migrations.RunPython(mark_uncounted, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            model_name='receipt',
            name='is_counted',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='source',
            name='accepted_count',
            field=models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that were taken; one counts once its first processing has ended, well or not, and a quarantined one that is dropped from then on.'),
        ),
        migrations.AlterField(
            model_name='source',
            name='duplicate_count',
            field=models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that repeated one that was taken.'),
        ),
        migrations.AlterField(
            model_name='source',
            name='refused_count',
            field=models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that were refused on arrival.'),
        ),
    ]
