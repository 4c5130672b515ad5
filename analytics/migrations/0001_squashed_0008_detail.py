"""All of the migrations that it replaces in one, for a database made anew: it takes a sixth of their time.

A database that has some of them goes on with the others one by one, which also move its rows.
"""

import django.core.validators
import django.db.models.deletion
import webhooks_project.lib.clock
import webhooks_project.lib.ids
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models
from importlib import import_module

# In a database made anew there is nothing to mark; where this app alone was taken back, there is.
mark_all = import_module('analytics.migrations.0002_rollups').mark_all


class Migration(migrations.Migration):

    replaces = [('analytics', '0001_initial'), ('analytics', '0002_rollups'), ('analytics', '0003_objectives'), ('analytics', '0004_dashboards_and_reports'), ('analytics', '0005_report_runs_by_whole_period'), ('analytics', '0006_widget_kinds'), ('analytics', '0007_sources_types_and_endings'), ('analytics', '0008_detail')]

    initial = True

    # Where the tables that these refer to are made: the other apps can go back to any later step.
    dependencies = [
        ('accounts', '0001_initial'),
        ('hub', '0002_uncounted'),
        ('incoming', '0001_initial'),
        ('outgoing', '0001_initial'),
        ('subscriptions', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Horizon',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('grain', models.PositiveSmallIntegerField(choices=[(1, 'Minute'), (2, 'Hour'), (3, 'Day'), (4, 'Month')])),
                ('is_wide', models.BooleanField()),
                ('since', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('grain', 'is_wide'), name='horizon_unique_grain')],
            },
        ),
        migrations.CreateModel(
            name='ReceiptRollup',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('scope', models.PositiveSmallIntegerField(choices=[(0, 'Hub'), (1, 'Account'), (2, 'Event Type'), (3, 'Subscription'), (4, 'Full'), (5, 'Source')])),
                ('grain', models.PositiveSmallIntegerField(choices=[(1, 'Minute'), (2, 'Hour'), (3, 'Day'), (4, 'Month')])),
                ('at', models.DateTimeField()),
                ('verdict', models.CharField(choices=[('accepted', 'Accepted'), ('refused', 'Refused'), ('duplicate', 'Duplicate'), ('handshake', 'Handshake')], max_length=16)),
                ('cause', models.CharField(blank=True, max_length=64)),
                ('receipts', models.PositiveBigIntegerField(default=0)),
                ('receipt_bytes', models.PositiveBigIntegerField(default=0)),
                ('account', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('source', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source')),
                ('event_type', models.CharField(blank=True, db_default='', default='', max_length=255)),
            ],
            options={
                'ordering': ['-at'],
                'indexes': [models.Index(fields=['scope', 'grain', 'at'], name='receipt_rollup_by_time'), models.Index(fields=['account', 'scope', 'grain', 'at'], name='receipt_rollup_by_account'), models.Index(condition=models.Q(('source__isnull', False)), fields=['source', 'scope', 'grain', 'at'], name='receipt_rollup_by_source')],
            },
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('scope', models.PositiveSmallIntegerField(choices=[(0, 'Hub'), (1, 'Account'), (2, 'Event Type'), (3, 'Subscription'), (4, 'Full'), (5, 'Source')])),
                ('grain', models.PositiveSmallIntegerField(choices=[(1, 'Minute'), (2, 'Hour'), (3, 'Day'), (4, 'Month')])),
                ('at', models.DateTimeField()),
                ('event_type', models.CharField(blank=True, max_length=128)),
                ('cause', models.CharField(blank=True, max_length=32)),
                ('status_class', models.CharField(blank=True, max_length=5)),
                ('attempts', models.PositiveBigIntegerField(default=0)),
                ('first_attempts', models.PositiveBigIntegerField(default=0)),
                ('retries', models.PositiveBigIntegerField(default=0)),
                ('request_bytes', models.PositiveBigIntegerField(default=0)),
                ('response_bytes', models.PositiveBigIntegerField(default=0)),
                ('total_us_sum', models.PositiveBigIntegerField(default=0)),
                ('total_us_max', models.PositiveBigIntegerField(default=0)),
                ('queue_wait', models.BinaryField(default=b'')),
                ('response', models.BinaryField(default=b'')),
                ('total', models.BinaryField(default=b'')),
                ('account', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('subscription', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='subscriptions.subscription')),
                ('exhausted', models.PositiveBigIntegerField(db_default=0, default=0)),
                ('source', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='incoming.source')),
            ],
            options={
                'db_table': 'webhooks.analytics',
                'ordering': ['-at'],
                'indexes': [models.Index(fields=['scope', 'grain', 'at'], name='rollup_by_time'), models.Index(fields=['account', 'scope', 'grain', 'at'], name='rollup_by_account'), models.Index(condition=models.Q(('subscription__isnull', False)), fields=['subscription', 'scope', 'grain', 'at'], name='rollup_by_subscription'), models.Index(condition=models.Q(('source__isnull', False)), fields=['source', 'scope', 'grain', 'at'], name='rollup_by_source')],
            },
        ),
        migrations.CreateModel(
            name='Objective',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('counts', models.CharField(choices=[('attempts', 'Attempts'), ('first_attempts', 'First Attempts'), ('deliveries', 'Deliveries')], default='attempts', help_text='What is to succeed: each attempt, the first of each delivery, or each delivery in the end.', max_length=16)),
                ('target_percent', models.DecimalField(decimal_places=3, default=Decimal('99'), help_text='The share that is to succeed, 50 to 99.999.', max_digits=6, validators=[django.core.validators.MinValueValidator(Decimal('50')), django.core.validators.MaxValueValidator(Decimal('99.999'))])),
                ('window_days', models.PositiveSmallIntegerField(default=30, help_text='Over how many days, up to now.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(366)])),
                ('created_at', models.DateTimeField(default=webhooks_project.lib.clock.now, editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('subscription', models.ForeignKey(blank=True, db_index=False, help_text='Empty for all deliveries of the account.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='subscriptions.subscription')),
            ],
            options={
                'ordering': ['created_at'],
                'indexes': [models.Index(fields=['account', 'created_at'], name='objective_by_account')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('subscription__isnull', False)), fields=('subscription',), name='objective_unique_for_subscription'), models.UniqueConstraint(condition=models.Q(('subscription__isnull', True)), fields=('account',), name='objective_unique_for_account')],
            },
        ),
        migrations.CreateModel(
            name='Dashboard',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('description', models.CharField(blank=True, help_text='What it is for, shown below its name.', max_length=500)),
                ('is_shared', models.BooleanField(default=True, help_text='Otherwise only its owner sees it.', verbose_name='Shared with the account')),
                ('created_at', models.DateTimeField(editable=False)),
                ('changed_at', models.DateTimeField(editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('owner', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
                'indexes': [models.Index(fields=['account', 'name'], name='dashboard_by_account')],
            },
        ),
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
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('source', 'type'), name='receipt_type_unique')],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('subject', models.CharField(blank=True, max_length=32)),
                ('period', models.CharField(choices=[('daily', 'Daily'), ('weekly', 'Weekly, on Mondays'), ('monthly', 'Monthly, on the first')], default='weekly', max_length=8)),
                ('formats', models.JSONField(default=list)),
                ('recipients', models.JSONField(blank=True, default=list)),
                ('time_zone', models.CharField(default='UTC', max_length=64)),
                ('hour', models.PositiveSmallIntegerField(default=8, help_text='Of the day on which it is sent, in its time zone.', validators=[django.core.validators.MaxValueValidator(23)])),
                ('enabled', models.BooleanField(default=True, help_text='Otherwise it is made on demand alone.', verbose_name='Sent on schedule')),
                ('next_run_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('dashboard', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='analytics.dashboard')),
                ('owner', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
                'indexes': [models.Index(fields=['account', 'name'], name='report_by_account'), models.Index(condition=models.Q(('next_run_at__isnull', False)), fields=['next_run_at'], name='report_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('dashboard', None), ('subject__gt', '')), models.Q(('dashboard__isnull', False), ('subject', '')), _connector='OR'), name='report_of_one_thing')],
            },
        ),
        migrations.CreateModel(
            name='Widget',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('line', 'Line'), ('bar', 'Bars'), ('stacked', 'Stacked bars'), ('heat_map', 'Heat map of hours'), ('table', 'Table'), ('number', 'Number'), ('dead_letters', 'Dead letters that wait'), ('forecast', 'Forecast of volume'), ('objectives', 'Objectives, and where each stands'), ('unused', 'Event types and subscriptions without use'), ('health', 'Health of endpoints or sources')], max_length=16)),
                ('measures', models.JSONField(blank=True, default=list)),
                ('dimensions', models.JSONField(blank=True, default=list)),
                ('granularity', models.CharField(blank=True, max_length=16)),
                ('filters', models.JSONField(blank=True, default=dict)),
                ('order_by', models.CharField(blank=True, max_length=32)),
                ('limit', models.PositiveSmallIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(500)])),
                ('compare', models.BooleanField(default=False)),
                ('width', models.PositiveSmallIntegerField(default=2, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(4)])),
                ('height', models.PositiveSmallIntegerField(default=2, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3)])),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('dashboard', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='widgets', to='analytics.dashboard')),
            ],
            options={
                'ordering': ['position', 'id'],
                'indexes': [models.Index(fields=['dashboard', 'position'], name='widget_by_dashboard')],
            },
        ),
        migrations.CreateModel(
            name='ReportRun',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('trigger', models.CharField(choices=[('schedule', 'Schedule'), ('demand', 'Demand')], max_length=8)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('running', 'Running'), ('finished', 'Finished'), ('failed', 'Failed')], default='pending', max_length=8)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('is_sent', models.BooleanField(default=True)),
                ('requested_by', models.CharField(blank=True, max_length=200)),
                ('attempt_count', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('created_at', models.DateTimeField()),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('report', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='analytics.report')),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(fields=['account', '-created_at'], name='report_run_by_account'), models.Index(fields=['report', '-created_at'], name='report_run_by_report'), models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='report_run_due')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('trigger', 'schedule')), fields=('report', 'since', 'until'), name='report_run_once_a_period')],
            },
        ),
        migrations.CreateModel(
            name='ReportFile',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('format', models.CharField(choices=[('html', 'HTML e-mail'), ('csv', 'CSV'), ('xlsx', 'Excel'), ('pdf', 'PDF')], max_length=4)),
                ('name', models.CharField(max_length=200)),
                ('content', models.BinaryField()),
                ('size_bytes', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField()),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='files', to='analytics.reportrun')),
            ],
            options={
                'ordering': ['format'],
                'indexes': [models.Index(fields=['created_at'], name='report_file_by_time')],
                'constraints': [models.UniqueConstraint(fields=('run', 'format'), name='report_file_unique_format')],
            },
        ),
        migrations.RunPython(mark_all, migrations.RunPython.noop),
    ]
