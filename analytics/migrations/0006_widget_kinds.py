from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0005_report_runs_by_whole_period'),
    ]

    operations = [
        migrations.AlterField(
            model_name='widget',
            name='kind',
            field=models.CharField(choices=[('line', 'Line'), ('bar', 'Bars'), ('stacked', 'Stacked bars'), ('heat_map', 'Heat map of hours'), ('table', 'Table'), ('number', 'Number'), ('dead_letters', 'Dead letters that wait'), ('forecast', 'Forecast of volume'), ('objectives', 'Objectives, and where each stands'), ('unused', 'Event types and subscriptions without use'), ('health', 'Health of endpoints or sources')], max_length=16),
        ),
    ]
