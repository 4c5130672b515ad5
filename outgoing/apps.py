from django.apps import AppConfig


class OutgoingConfig(AppConfig):
    name = "outgoing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from outgoing import operational

        operational.connect()
