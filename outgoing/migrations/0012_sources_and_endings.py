from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outgoing', '0011_replay_lagging'),
    ]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='gave_up',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='event',
            name='source_id',
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
    ]
