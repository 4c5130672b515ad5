from django.db import migrations, models


# Of a constant, so that neither database writes a row for it; AddField would have SQLite copy the
# table, with every body, for a column that cannot be null. The default stays: nodes that still run
# the code of before insert receipts without it.
ADD_REFUSAL = """ALTER TABLE "webhooks.incoming" ADD COLUMN "refusal" varchar(64) DEFAULT '' NOT NULL"""
DROP_REFUSAL = 'ALTER TABLE "webhooks.incoming" DROP COLUMN "refusal"'


class Migration(migrations.Migration):

    dependencies = [
        ('incoming', '0009_run_due_by_source'),
    ]

    operations = [
        # Not a positive one: its check would be tried on every row while nobody can receive.
        migrations.AddField(
            model_name='receipt',
            name='pruned_bytes',
            field=models.BigIntegerField(null=True),
        ),
        migrations.RunSQL(
            [ADD_REFUSAL],
            [DROP_REFUSAL],
            state_operations=[
                migrations.AddField(
                    model_name='receipt',
                    name='refusal',
                    field=models.CharField(blank=True, db_default='', default='', max_length=64),
                ),
            ],
        ),
    ]
