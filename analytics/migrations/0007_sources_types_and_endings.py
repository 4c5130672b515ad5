import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_time_zones'),
        ('analytics', '0006_widget_kinds'),
        ('incoming', '0011_refusals_kept'),
        ('subscriptions', '0010_health_checks'),
    ]

    operations = [
        migrations.CreateModel(
            name='Detail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ReceiptType',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('type', models.CharField(max_length=255)),
            ],
        ),
        migrations.AddField(
            model_name='receiptrollup',
            name='event_type',
            field=models.CharField(blank=True, db_default='', default='', max_length=255),
        ),
        migrations.AddField(
            model_name='rollup',
            name='exhausted',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='rollup',
            name='source',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='incoming.source'),
        ),
        migrations.AlterField(
            model_name='objective',
            name='counts',
            field=models.CharField(choices=[('attempts', 'Attempts'), ('first_attempts', 'First Attempts'), ('deliveries', 'Deliveries')], default='attempts', help_text='What is to succeed: each attempt, the first of each delivery, or each delivery in the end.', max_length=16),
        ),
        migrations.AlterField(
            model_name='receiptrollup',
            name='scope',
            field=models.PositiveSmallIntegerField(choices=[(0, 'Hub'), (1, 'Account'), (2, 'Event Type'), (3, 'Subscription'), (4, 'Full'), (5, 'Source')]),
        ),
        migrations.AlterField(
            model_name='rollup',
            name='scope',
            field=models.PositiveSmallIntegerField(choices=[(0, 'Hub'), (1, 'Account'), (2, 'Event Type'), (3, 'Subscription'), (4, 'Full'), (5, 'Source')]),
        ),
        migrations.AddIndex(
            model_name='rollup',
            index=models.Index(condition=models.Q(('source__isnull', False)), fields=['source', 'scope', 'grain', 'at'], name='rollup_by_source'),
        ),
        migrations.AddField(
            model_name='receipttype',
            name='source',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source'),
        ),
        migrations.AddConstraint(
            model_name='receipttype',
            constraint=models.UniqueConstraint(fields=('source', 'type'), name='receipt_type_unique'),
        ),
    ]
