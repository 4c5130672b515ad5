"""All of the migrations that it replaces in one, for a database made anew: it takes a sixth of their time.

A database that has some of them goes on with the others one by one, which also move its rows.
"""

import django.db.models.deletion
import webhooks_project.fields
import webhooks_project.lib.clock
import webhooks_project.lib.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [('subscriptions', '0001_initial'), ('subscriptions', '0002_catalogue_and_limits'), ('subscriptions', '0003_is_limited'), ('subscriptions', '0004_lifecycle'), ('subscriptions', '0005_bulk_job'), ('subscriptions', '0006_health'), ('subscriptions', '0007_breaker'), ('subscriptions', '0008_retry_max_age'), ('subscriptions', '0009_variables'), ('subscriptions', '0010_health_checks')]

    initial = True

    # Where the tables that these refer to are made: the other apps can go back to any later step.
    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='EventType',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=128)),
                ('description', models.TextField(blank=True)),
                ('schema_mode', models.CharField(choices=[('off', 'Off'), ('warn', 'Warn'), ('reject', 'Reject'), ('quarantine', 'Quarantine')], default='reject', help_text='What happens to an event that does not fit its schema.', max_length=16)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='event_types', to='accounts.account')),
                ('archived_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('deprecated_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('group', models.CharField(blank=True, help_text='A heading of the catalogue.', max_length=64)),
                ('is_public', models.BooleanField(default=True, help_text='Whether the catalogue page shows it.')),
                ('owner', models.CharField(blank=True, help_text='The team or person who answers for it.', max_length=200)),
                ('successor', models.ForeignKey(blank=True, help_text='The type to use in place of a deprecated one.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='predecessors', to='subscriptions.eventtype')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('account', 'name'), name='event_type_unique_name')],
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('url', models.CharField(max_length=2048)),
                ('description', models.TextField(blank=True)),
                ('status', models.CharField(choices=[('draft', 'Draft'), ('verifying', 'Verifying'), ('active', 'Active'), ('paused', 'Paused'), ('disabled', 'Disabled'), ('expired', 'Expired'), ('archived', 'Archived')], default='active', max_length=16)),
                ('status_reason', models.CharField(blank=True, max_length=200)),
                ('timeout_seconds', models.PositiveSmallIntegerField(default=15, help_text='The deadline of one attempt, everything included: 1 to 60 seconds.')),
                ('max_in_flight', models.PositiveSmallIntegerField(blank=True, help_text="How many attempts are under way at once, over all workers; empty for the hub's own share.", null=True)),
                ('paused_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('disabled_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to='accounts.account')),
                ('authentication', webhooks_project.fields.EncryptedTextField(blank=True, default='', editable=False)),
                ('batch_seconds', models.PositiveSmallIntegerField(default=0, help_text='How long a batch waits to be full.')),
                ('batch_size', models.PositiveSmallIntegerField(default=1, help_text='Events in one POST at most; 1 for a POST each.')),
                ('ca_certificates', models.TextField(blank=True)),
                ('certificate_expires_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('challenge', models.CharField(blank=True, editable=False, max_length=64)),
                ('channels', models.JSONField(blank=True, default=list, help_text='Only events of one of these channels; none for all.')),
                ('checks_health', models.BooleanField(default=True, help_text='Whether the hub may look now and then whether the endpoint is there.')),
                ('client_certificate', models.TextField(blank=True)),
                ('client_key', webhooks_project.fields.EncryptedTextField(blank=True, default='', editable=False)),
                ('custom_headers', webhooks_project.fields.EncryptedTextField(blank=True, default='', editable=False)),
                ('delivery_window', models.JSONField(blank=True, help_text='When to deliver: days, from, until, time_zone.', null=True)),
                ('encryption_key', models.TextField(blank=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('expiry_noticed_days', models.PositiveSmallIntegerField(editable=False, null=True)),
                ('failing_noticed_percent', models.PositiveSmallIntegerField(editable=False, null=True)),
                ('failing_since', models.DateTimeField(blank=True, editable=False, null=True)),
                ('filter', models.JSONField(blank=True, help_text='Which events, by their content.', null=True)),
                ('labels', models.JSONField(blank=True, default=dict, help_text='Text by name, to find and change many at once.')),
                ('metadata', models.JSONField(blank=True, default=dict, help_text='Your own facts: text by name.')),
                ('order_key', models.CharField(blank=True, help_text='A path such as data.customer.id: one order for each value; empty for one in all.', max_length=256)),
                ('ordering', models.CharField(choices=[('none', 'None'), ('strict', 'Strict')], default='none', max_length=8)),
                ('payload_form', models.CharField(choices=[('standard', 'Standard Webhooks envelope'), ('cloudevents_structured', 'CloudEvents 1.0, structured'), ('cloudevents_binary', 'CloudEvents 1.0, binary'), ('raw', 'the data alone'), ('thin', 'id and type only')], default='standard', max_length=24)),
                ('rate_limit', models.PositiveIntegerField(blank=True, help_text='Attempts in each period at most; empty for no limit.', null=True)),
                ('rate_period', models.CharField(choices=[('second', 'Second'), ('minute', 'Minute'), ('hour', 'Hour')], default='second', max_length=8)),
                ('retry_policy', models.CharField(choices=[('standard', 'Standard'), ('quick', 'Quick'), ('patient', 'Patient'), ('none', 'None'), ('custom', 'Custom')], default='standard', max_length=16)),
                ('retry_schedule', models.JSONField(blank=True, default=list, help_text='Of a custom policy: seconds to each next attempt, or an object that says how they grow.')),
                ('retry_statuses', models.CharField(blank=True, help_text='Status codes that are retried, such as 500-599,429,!501; empty for all.', max_length=200)),
                ('schema_versions', models.JSONField(blank=True, default=dict, help_text='Event types with the major version to stay with; the latest of all others.')),
                ('setup', models.JSONField(default=list, editable=False)),
                ('signature_template', models.JSONField(blank=True, help_text='Another convention of signing; none for the standard.', null=True)),
                ('transformation', models.TextField(blank=True, help_text='JSONata over the event; what it gives is sent as the data.')),
                ('is_limited', models.BooleanField(default=False, editable=False)),
                ('failing_noticed_at', models.DateTimeField(editable=False, null=True)),
                ('last_failed_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('setup_due_at', models.DateTimeField(editable=False, null=True)),
                ('health_check_due_at', models.DateTimeField(default=webhooks_project.lib.clock.now, editable=False)),
                ('health_checked_at', models.DateTimeField(editable=False, null=True)),
                ('health_problem', models.CharField(blank=True, editable=False, max_length=200)),
                ('breaker', models.CharField(choices=[('closed', 'Closed'), ('open', 'Open'), ('half_open', 'Half Open')], default='closed', editable=False, max_length=16)),
                ('breaker_changed_at', models.DateTimeField(editable=False, null=True)),
                ('retry_max_age_seconds', models.PositiveIntegerField(blank=True, help_text='No attempt is made later than this after the delivery was asked for; empty for no limit.', null=True)),
                ('variables', models.JSONField(blank=True, default=dict, help_text='Text by name, as $variables.name in the transformation.')),
                ('health_check_failures', models.PositiveIntegerField(default=0, editable=False)),
                ('health_check_kind', models.CharField(choices=[('head', 'HEAD: any whole answer counts'), ('tls', 'connection and TLS only: nothing is sent'), ('probe', 'signed test delivery: a 2xx counts')], default='head', help_text='How it looks: a HEAD, the connection with its TLS alone, or a signed test delivery.', max_length=8)),
                ('health_check_minutes', models.PositiveSmallIntegerField(default=15, help_text='How often it looks: every so many minutes, from 1 to 1,440.')),
                ('health_check_result', models.JSONField(default=dict, editable=False)),
            ],
            options={
                'db_table': 'webhooks.subscriptions',
                'ordering': ['-created_at'],
                'indexes': [models.Index(condition=models.Q(('expires_at__isnull', False)), fields=['expires_at'], name='subscription_expiring'), models.Index(condition=models.Q(('failing_since__isnull', False)), fields=['failing_since'], name='subscription_failing'), models.Index(condition=models.Q(('is_limited', True)), fields=['id'], name='subscription_limited'), models.Index(condition=models.Q(('setup_due_at__isnull', False)), fields=['setup_due_at'], name='subscription_setup_due'), models.Index(condition=models.Q(('checks_health', True), ('status', 'active')), fields=['health_check_due_at'], name='subscription_health_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('timeout_seconds__gte', 1), ('timeout_seconds__lte', 60)), name='subscription_timeout_1_to_60'), models.CheckConstraint(condition=models.Q(('max_in_flight__gte', 1)), name='subscription_max_in_flight_positive'), models.CheckConstraint(condition=models.Q(('rate_limit__gte', 1)), name='subscription_rate_limit_positive'), models.CheckConstraint(condition=models.Q(('batch_size__gte', 1)), name='subscription_batch_size_positive'), models.CheckConstraint(condition=models.Q(('retry_max_age_seconds__gte', 1)), name='subscription_retry_max_age_positive')],
            },
        ),
        migrations.CreateModel(
            name='BulkJob',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('action', models.CharField(choices=[('import', 'Import'), ('pause', 'Pause'), ('resume', 'Resume'), ('disable', 'Disable'), ('archive', 'Archive'), ('rotate', 'Rotate'), ('move', 'Move')], max_length=16)),
                ('status', models.CharField(choices=[('planned', 'Planned'), ('running', 'Running'), ('finished', 'Finished'), ('cancelled', 'Cancelled'), ('failed', 'Failed')], default='running', max_length=16)),
                ('is_dry_run', models.BooleanField(default=False)),
                ('is_all_or_nothing', models.BooleanField(default=False)),
                ('selection', models.JSONField(blank=True, default=dict)),
                ('settings', models.JSONField(blank=True, default=dict)),
                ('line_count', models.PositiveIntegerField(default=0)),
                ('created_count', models.PositiveIntegerField(default=0)),
                ('changed_count', models.PositiveIntegerField(default=0)),
                ('unchanged_count', models.PositiveIntegerField(default=0)),
                ('refused_count', models.PositiveIntegerField(default=0)),
                ('error', models.TextField(blank=True)),
                ('actor', models.JSONField(default=dict, editable=False)),
                ('lease_token', models.UUIDField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('secrets_until', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField()),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(fields=['account', '-created_at'], name='bulk_job_by_account'), models.Index(condition=models.Q(('status', 'running')), fields=['created_at'], name='bulk_job_running'), models.Index(condition=models.Q(('secrets_until__isnull', False)), fields=['secrets_until'], name='bulk_job_secrets'), models.Index(fields=['finished_at'], name='bulk_job_by_end')],
            },
        ),
        migrations.CreateModel(
            name='EventSchema',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField()),
                ('schema', models.JSONField()),
                ('examples', models.JSONField(blank=True, default=list)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('event_type', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schemas', to='subscriptions.eventtype')),
                ('downgrade', models.TextField(blank=True)),
                ('major', models.PositiveIntegerField(default=1)),
                ('minor', models.PositiveIntegerField(default=0)),
            ],
            options={
                'ordering': ['-version'],
                'constraints': [models.UniqueConstraint(fields=('event_type', 'version'), name='event_schema_unique_version'), models.UniqueConstraint(fields=('event_type', 'major', 'minor'), name='event_schema_unique_number')],
            },
        ),
        migrations.CreateModel(
            name='SubscribedType',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('pattern', models.CharField(max_length=128)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('subscription', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='patterns', to='subscriptions.subscription')),
            ],
            options={
                'indexes': [models.Index(fields=['account', 'pattern'], name='subscribed_type_lookup')],
                'constraints': [models.UniqueConstraint(fields=('subscription', 'pattern'), name='subscribed_type_unique')],
            },
        ),
        migrations.CreateModel(
            name='SigningSecret',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('secret', webhooks_project.fields.EncryptedTextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('subscription', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='subscriptions.subscription')),
                ('kind', models.CharField(choices=[('hmac', 'Hmac'), ('ed25519', 'Ed25519')], default='hmac', max_length=8)),
                ('public_key', models.CharField(blank=True, editable=False, max_length=64)),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='BulkLine',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('document', models.JSONField(default=dict)),
                ('unreadable', models.JSONField(default=list)),
                ('outcome', models.CharField(choices=[('pending', 'Pending'), ('created', 'Created'), ('changed', 'Changed'), ('unchanged', 'Unchanged'), ('refused', 'Refused')], default='pending', max_length=16)),
                ('changes', models.JSONField(default=dict)),
                ('problems', models.JSONField(default=list)),
                ('secret', webhooks_project.fields.EncryptedTextField(blank=True, default='', editable=False)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='subscriptions.bulkjob')),
                ('subscription', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='subscriptions.subscription')),
            ],
            options={
                'ordering': ['number'],
                'indexes': [models.Index(fields=['job', 'outcome', 'number'], name='bulk_line_by_outcome')],
                'constraints': [models.UniqueConstraint(fields=('job', 'number'), name='bulk_line_unique_number')],
            },
        ),
    ]
