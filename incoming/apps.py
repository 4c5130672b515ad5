from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class IncomingConfig(AppConfig):
    name = "incoming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from incoming import checks  # noqa: F401 - registers the system checks

        autodiscover_modules("webhook_handlers")
