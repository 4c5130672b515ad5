"""All of the migrations that it replaces in one, for a database made anew: it takes a sixth of their time.

A database that has some of them goes on with the others one by one, which also move its rows.
"""

import django.contrib.auth.models
import django.contrib.auth.validators
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import webhooks_project.accounts.models
import webhooks_project.lib.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [('accounts', '0001_initial'), ('accounts', '0002_retention'), ('accounts', '0003_catalogue_and_limits'), ('accounts', '0004_dead_letter_days'), ('accounts', '0005_event_retention'), ('accounts', '0006_time_zones'), ('accounts', '0007_generation')]

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('slug', models.SlugField(max_length=80, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('receipt_body_days', models.PositiveSmallIntegerField(blank=True, help_text='Days that the bodies and headers of receipts are kept; empty for as long as the receipts.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('receipt_days', models.PositiveSmallIntegerField(blank=True, help_text='Days that receipts are kept; empty for ever.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('asks_for_ownership', models.BooleanField(default=False, help_text='Whether an endpoint must echo a challenge before its subscription is active.')),
                ('has_public_catalogue', models.BooleanField(default=False, help_text='Whether anybody may read the catalogue of event types.')),
                ('unknown_event_types', models.CharField(choices=[('allow', 'Allow'), ('warn', 'Warn'), ('reject', 'Reject')], default='allow', help_text='What happens to an event whose type is not in the catalogue.', max_length=8)),
                ('dead_letter_days', models.PositiveSmallIntegerField(blank=True, help_text='Days that dead letters wait for someone to take them up; empty for ever.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('event_body_days', models.PositiveSmallIntegerField(blank=True, help_text='Days that the data of events and the answers to them are kept; empty for as long as the events.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('event_days', models.PositiveSmallIntegerField(blank=True, help_text='Days that events are kept, with their deliveries; empty for ever.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('time_zone', models.CharField(blank=True, help_text='In which its figures are shown, such as Europe/Berlin; empty for UTC.', max_length=64, validators=[webhooks_project.accounts.models.validate_time_zone])),
            ],
            options={
                'db_table': '_accounts',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
                ('time_zone', models.CharField(blank=True, help_text="In which figures are shown to them; empty for the account's.", max_length=64, validators=[webhooks_project.accounts.models.validate_time_zone])),
            ],
            options={
                'db_table': '_users',
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('prefix', models.CharField(editable=False, max_length=16, unique=True)),
                ('secret_sha256', models.BinaryField(max_length=32)),
                ('scopes', models.JSONField(default=list, help_text='Roles: viewer, developer, operator, admin.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='accounts.account')),
            ],
            options={
                'verbose_name': 'API key',
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=webhooks_project.lib.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('viewer', 'Viewer'), ('developer', 'Developer'), ('operator', 'Operator'), ('admin', 'Admin')], default='viewer', max_length=16)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='accounts.account')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('account', 'user'), name='membership_unique_per_account')],
            },
        ),
        migrations.CreateModel(
            name='Generation',
            fields=[
                ('account', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='accounts.account')),
                ('value', models.UUIDField()),
            ],
        ),
        migrations.AddField(
            model_name='Account',
            name='members',
            field=models.ManyToManyField(related_name='accounts', through='accounts.Membership', to=settings.AUTH_USER_MODEL),
        ),
    ]
