from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "webhooks_project"
    label = "hub"
    verbose_name = "Hub"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from webhooks_project import beats, checks, tracing  # noqa: F401 - registers the checks

        beats.connect()
        tracing.configure_by_environment()
