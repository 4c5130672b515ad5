"""All of the migrations that it replaces in one, for a database made anew: it takes a sixth of their time.

A database that has some of them goes on with the others one by one, which also move its rows.
"""

import django.core.validators
import django.db.models.deletion
import incoming.models.sources
import incoming.tokens
import webhooks_project.fields
import webhooks_project.lib.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [('incoming', '0001_initial'), ('incoming', '0002_processing'), ('incoming', '0003_list_indexes'), ('incoming', '0004_counts'), ('incoming', '0005_replay_of_one'), ('incoming', '0006_dead_letters'), ('incoming', '0007_refusal_minutes'), ('incoming', '0008_refusals_by_hour'), ('incoming', '0009_run_due_by_source'), ('incoming', '0010_verdict_kept'), ('incoming', '0011_refusals_kept')]

    initial = True

    # Where the tables that these refer to are made: the other apps can go back to any later step.
    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Source',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('provider', models.CharField(choices=incoming.models.sources.provider_choices, max_length=64)),
                ('token', models.CharField(default=incoming.tokens.new_token, editable=False, max_length=64, unique=True)),
                ('options', models.JSONField(blank=True, default=dict, help_text='What this provider needs to know, by name.')),
                ('public_url', models.CharField(blank=True, help_text="The URL as the provider calls it, where that is not the hub's own.", max_length=2048)),
                ('tolerance_seconds', models.PositiveIntegerField(blank=True, help_text="How old a signed timestamp may be; empty for the provider's own rule.", null=True)),
                ('allowed_networks', models.JSONField(blank=True, default=list, help_text='Networks that may call, in CIDR form; empty for all.')),
                ('max_body_bytes', models.PositiveIntegerField(default=5242880, help_text='Of a body, and of what a compressed one expands to.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(26214400)])),
                ('rate_per_minute', models.PositiveIntegerField(default=6000, help_text='Calls of the whole source.', validators=[django.core.validators.MinValueValidator(1)])),
                ('rate_per_minute_per_address', models.PositiveIntegerField(default=6000, help_text='Calls from one address.', validators=[django.core.validators.MinValueValidator(1)])),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('last_received_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sources', to='accounts.account')),
                ('accepted_count', models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that were taken; one counts once its first processing has ended, well or not, and a quarantined one that is dropped from then on.')),
                ('answer_body', models.TextField(blank=True, help_text='Body of that answer.', max_length=16384)),
                ('answer_headers', models.JSONField(blank=True, default=dict, help_text='Headers of that answer, by name.')),
                ('answer_status', models.PositiveSmallIntegerField(blank=True, help_text="Of the answer to a call that is taken; empty for the provider's own answer.", null=True, validators=[django.core.validators.MinValueValidator(200), django.core.validators.MaxValueValidator(299)])),
                ('content_types', models.JSONField(blank=True, default=list, help_text='Media types that are taken, such as application/json; empty for all known.')),
                ('dedup_fields', models.JSONField(blank=True, default=list, help_text="Places whose values make two calls the same, such as json:order.id or header:x-id; empty for the provider's own id.")),
                ('dedup_window_seconds', models.PositiveIntegerField(default=86400, help_text='How long a call is known by those fields.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(2592000)])),
                ('duplicate_count', models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that repeated one that was taken.')),
                ('last_error', models.CharField(blank=True, editable=False, max_length=500)),
                ('last_error_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('last_verified_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('methods', models.JSONField(blank=True, default=list, help_text="Methods that are taken; empty for the provider's own.")),
                ('previous_token', models.CharField(blank=True, editable=False, max_length=64, null=True, unique=True)),
                ('previous_token_expires_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('refused_count', models.PositiveBigIntegerField(default=0, editable=False, help_text='Calls that were refused on arrival.')),
                ('schema', models.JSONField(blank=True, help_text='JSON Schema that payloads should fit.', null=True)),
                ('schema_mode', models.CharField(choices=[('off', 'Off'), ('warn', 'Warn'), ('reject', 'Reject'), ('quarantine', 'Quarantine')], default='off', help_text='What happens to a payload that does not fit.', max_length=16)),
                ('state', models.JSONField(blank=True, default=dict, editable=False)),
                ('transformation', models.TextField(blank=True, help_text='JSONata over the payload; what it gives is what the routes see.', max_length=65536)),
            ],
            options={
                'db_table': 'integrations',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Route',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('type_pattern', models.CharField(default='*', help_text="The provider's event types it takes: a name, a name ending in *, or *.", max_length=128)),
                ('event_type', models.CharField(blank=True, default='{provider}.{type}', help_text="publish: the event's type; {provider}, {type}, {header:…} and {json:…} are filled in.", max_length=200)),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='routes', to='incoming.source')),
                ('action', models.CharField(choices=[('publish', 'Publish'), ('handle', 'Handle'), ('update', 'Update'), ('notify', 'Notify')], default='publish', max_length=16)),
                ('condition', models.JSONField(blank=True, default=dict, help_text='A filter over type, data, headers, query and method; empty for every receipt.')),
                ('expression', models.TextField(blank=True, help_text="JSONata. publish: the event's type, in place of the field above. update: an object that is merged into the integration's state.", max_length=16384)),
                ('handler', models.CharField(blank=True, help_text="handle: the handler's name.", max_length=255)),
                ('is_last', models.BooleanField(default=False, help_text='Routes after this one do not see what it takes.')),
                ('message', models.TextField(blank=True, help_text='notify: what they are told; {provider}, {type}, {header:…} and {json:…} are filled in.', max_length=2000)),
                ('recipients', models.JSONField(blank=True, default=list, help_text='notify: e-mail addresses, and roles of the account such as operator.')),
            ],
            options={
                'ordering': ['position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='SourceSecret',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('secret', webhooks_project.fields.EncryptedTextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='incoming.source')),
                ('is_showable', models.BooleanField(default=False, editable=False)),
                ('option', models.CharField(blank=True, max_length=64)),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='RefusalCount',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField()),
                ('cause', models.CharField(choices=[('method_not_allowed', 'Method Not Allowed'), ('unsupported_media_type', 'Unsupported Media Type'), ('payload_too_large', 'Payload Too Large'), ('address_not_allowed', 'Address Not Allowed'), ('rate_limited', 'Rate Limited'), ('source_disabled', 'Source Disabled'), ('source_misconfigured', 'Source Misconfigured'), ('secret_missing', 'Secret Missing'), ('key_unavailable', 'Key Unavailable'), ('signature_missing', 'Signature Missing'), ('signature_malformed', 'Signature Malformed'), ('signature_mismatch', 'Signature Mismatch'), ('timestamp_missing', 'Timestamp Missing'), ('timestamp_malformed', 'Timestamp Malformed'), ('timestamp_too_old', 'Timestamp Too Old'), ('timestamp_in_future', 'Timestamp In Future'), ('credentials_mismatch', 'Credentials Mismatch'), ('payload_unparsable', 'Payload Unparsable'), ('schema_mismatch', 'Schema Mismatch'), ('handshake_refused', 'Handshake Refused')], max_length=32)),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='refusals', to='incoming.source')),
            ],
            options={
                'ordering': ['-hour', '-count'],
                'indexes': [models.Index(fields=['account', '-hour'], name='refusal_by_account'), models.Index(fields=['hour'], name='refusal_by_hour')],
                'constraints': [models.UniqueConstraint(fields=('source', 'hour', 'cause'), name='refusal_unique_hour_and_cause')],
            },
        ),
        migrations.CreateModel(
            name='ReceiptReplay',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('type_pattern', models.CharField(blank=True, max_length=255)),
                ('statuses', models.JSONField(blank=True, default=list)),
                ('cause', models.CharField(blank=True, max_length=64)),
                ('status', models.CharField(choices=[('planned', 'Planned'), ('running', 'Running'), ('finished', 'Finished'), ('cancelled', 'Cancelled'), ('failed', 'Failed')], default='planned', max_length=16)),
                ('planned_count', models.PositiveIntegerField(default=0)),
                ('replayed_count', models.PositiveIntegerField(default=0)),
                ('plan', models.JSONField(blank=True, default=dict)),
                ('cursor_at', models.DateTimeField(blank=True, null=True)),
                ('cursor_id', models.UUIDField(blank=True, null=True)),
                ('error', models.TextField(blank=True)),
                ('requested_by', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('source', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source')),
                ('receipt_id', models.UUIDField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(condition=models.Q(('status', 'running')), fields=['created_at'], name='receipt_replay_running')],
            },
        ),
        migrations.CreateModel(
            name='RefusalMinute',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('minute', models.DateTimeField()),
                ('cause', models.CharField(choices=[('method_not_allowed', 'Method Not Allowed'), ('unsupported_media_type', 'Unsupported Media Type'), ('payload_too_large', 'Payload Too Large'), ('address_not_allowed', 'Address Not Allowed'), ('rate_limited', 'Rate Limited'), ('source_disabled', 'Source Disabled'), ('source_misconfigured', 'Source Misconfigured'), ('secret_missing', 'Secret Missing'), ('key_unavailable', 'Key Unavailable'), ('signature_missing', 'Signature Missing'), ('signature_malformed', 'Signature Malformed'), ('signature_mismatch', 'Signature Mismatch'), ('timestamp_missing', 'Timestamp Missing'), ('timestamp_malformed', 'Timestamp Malformed'), ('timestamp_too_old', 'Timestamp Too Old'), ('timestamp_in_future', 'Timestamp In Future'), ('credentials_mismatch', 'Credentials Mismatch'), ('payload_unparsable', 'Payload Unparsable'), ('schema_mismatch', 'Schema Mismatch'), ('handshake_refused', 'Handshake Refused')], max_length=32)),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source')),
            ],
            options={
                'indexes': [models.Index(fields=['minute'], name='refusal_by_minute'), models.Index(fields=['account', 'minute'], name='refusal_minute_by_account')],
                'constraints': [models.UniqueConstraint(fields=('source', 'minute', 'cause'), name='refusal_unique_minute_and_cause')],
            },
        ),
        migrations.CreateModel(
            name='Receipt',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('accepted', 'Accepted'), ('processing', 'Processing'), ('processed', 'Processed'), ('failed', 'Failed'), ('dead', 'Dead'), ('refused', 'Refused'), ('duplicate', 'Duplicate'), ('handshake', 'Handshake')], max_length=16)),
                ('cause', models.CharField(blank=True, max_length=64)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('external_id', models.CharField(blank=True, max_length=255)),
                ('type', models.CharField(blank=True, max_length=255)),
                ('method', models.CharField(max_length=16)),
                ('query', models.TextField(blank=True)),
                ('headers', models.BinaryField()),
                ('body', models.BinaryField()),
                ('body_sha256', models.BinaryField(max_length=32)),
                ('remote_address', models.CharField(max_length=45)),
                ('request_id', models.CharField(max_length=64)),
                ('received_at', models.DateTimeField()),
                ('secret_id', models.CharField(blank=True, max_length=64)),
                ('signed_at', models.DateTimeField(null=True)),
                ('attempt_count', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('lease_token', models.UUIDField(null=True)),
                ('leased_until', models.DateTimeField(null=True)),
                ('processed_at', models.DateTimeField(null=True)),
                ('event_count', models.PositiveSmallIntegerField(default=0)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='receipts', to='incoming.source')),
                ('action_count', models.PositiveSmallIntegerField(default=0)),
                ('body_pruned_at', models.DateTimeField(null=True)),
                ('dedup_slot', models.BigIntegerField(null=True)),
                ('is_verified', models.BooleanField(default=False)),
                ('quarantined_at', models.DateTimeField(null=True)),
                ('round', models.PositiveSmallIntegerField(default=0)),
                ('routed_at', models.DateTimeField(null=True)),
                ('same_body_as', models.UUIDField(null=True)),
                ('schema_errors', models.JSONField(default=list)),
                ('replay', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='receipts', to='incoming.receiptreplay')),
                ('is_counted', models.BooleanField(default=False)),
                ('dead_at', models.DateTimeField(null=True)),
                ('discard_reason', models.CharField(blank=True, max_length=200)),
                ('fingerprint', models.CharField(blank=True, max_length=32)),
                ('pruned_bytes', models.BigIntegerField(null=True)),
                ('refusal', models.CharField(blank=True, db_default='', default='', max_length=64)),
            ],
            options={
                'db_table': 'webhooks.incoming',
                'ordering': ['-received_at'],
                'indexes': [models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='receipt_due'), models.Index(condition=models.Q(('leased_until__isnull', False)), fields=['leased_until'], name='receipt_leased'), models.Index(fields=['source', 'status', '-received_at'], name='receipt_by_source'), models.Index(fields=['account', '-received_at'], name='receipt_by_account'), models.Index(fields=['-received_at'], name='receipt_by_time'), models.Index(fields=['body_sha256'], name='receipt_by_body'), models.Index(condition=models.Q(('action_count', 0), ('status', 'processed')), fields=['account', '-received_at'], name='receipt_unmatched'), models.Index(condition=models.Q(('quarantined_at__isnull', False)), fields=['account', '-received_at'], name='receipt_quarantined'), models.Index(condition=models.Q(('same_body_as__isnull', False)), fields=['account', '-received_at'], name='receipt_same_body'), models.Index(condition=models.Q(('replay__isnull', False)), fields=['replay', '-received_at'], name='receipt_by_replay'), models.Index(condition=models.Q(('status', 'dead')), fields=['account', '-dead_at'], name='receipt_dead'), models.Index(condition=models.Q(('discard_reason', ''), ('status', 'dead')), fields=['account', 'fingerprint', 'dead_at'], name='receipt_dead_alike')],
                'constraints': [models.UniqueConstraint(fields=('external_id', 'source', 'dedup_slot'), name='receipt_unique_per_source')],
            },
        ),
        migrations.CreateModel(
            name='HandlerRun',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('handler', models.CharField(max_length=255)),
                ('round', models.PositiveSmallIntegerField(default=0)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('dead', 'Dead')], default='pending', max_length=16)),
                ('attempt_count', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('lease_token', models.UUIDField(null=True)),
                ('leased_until', models.DateTimeField(null=True)),
                ('worker', models.CharField(blank=True, max_length=100)),
                ('started_at', models.DateTimeField(null=True)),
                ('duration_ms', models.PositiveIntegerField(null=True)),
                ('cause', models.CharField(blank=True, max_length=64)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('receipt', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='incoming.receipt')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='incoming.source')),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='run_due'), models.Index(condition=models.Q(('leased_until__isnull', False)), fields=['leased_until'], name='run_leased'), models.Index(fields=['account', 'status', '-created_at'], name='run_by_account'), models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['handler', 'next_attempt_at'], name='run_due_by_handler'), models.Index(fields=['handler', 'status', '-created_at'], name='run_by_handler'), models.Index(fields=['status', '-created_at'], name='run_by_status'), models.Index(fields=['-created_at'], name='run_by_time'), models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['source', 'next_attempt_at'], name='run_due_by_source')],
                'constraints': [models.UniqueConstraint(fields=('receipt', 'round', 'handler'), name='run_unique_per_handler')],
            },
        ),
    ]
