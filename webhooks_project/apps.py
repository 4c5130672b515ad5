import gc
from typing import Final

from django.apps import AppConfig

# Python looks for cycles after 700 new objects, over and over, and a claim makes thousands: that
# took a fifth of a pump's time. Few of our objects are parts of cycles.
GARBAGE_THRESHOLDS: Final = (50_000, 20, 10)


class HubConfig(AppConfig):
    name = "webhooks_project"
    label = "hub"
    verbose_name = "Hub"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from webhooks_project import beats, checks, tracing  # noqa: F401 - registers the checks

        gc.set_threshold(*GARBAGE_THRESHOLDS)
        beats.connect()
        tracing.configure_by_environment()
