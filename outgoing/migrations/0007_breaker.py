import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outgoing', '0006_parked'),
        ('subscriptions', '0007_breaker'),
    ]

    operations = [
        migrations.CreateModel(
            name='Breaker',
            fields=[
                ('subscription', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='subscriptions.subscription')),
                ('figures', models.JSONField(default=dict, editable=False)),
                ('counted_since', models.DateTimeField(editable=False, null=True)),
                ('last_failed_at', models.DateTimeField(editable=False)),
            ],
            options={
                'indexes': [models.Index(fields=['last_failed_at'], name='breaker_failed')],
            },
        ),
    ]
