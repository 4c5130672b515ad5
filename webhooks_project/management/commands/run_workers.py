from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webhooks_project.supervisor import Supervisor, cluster_services


class Command(BaseCommand):
    help = "Run and watch the clusters of the families whose QM_WEBHOOKS_… flag is on."

    def handle(self, *args: Any, **options: Any) -> None:
        services = cluster_services()
        if not services:
            raise CommandError("every QM_WEBHOOKS_… flag is off: there is nothing to run")
        supervisor = Supervisor(services)
        supervisor.install_signal_handlers()
        supervisor.start()
        try:
            supervisor.watch()
        finally:
            supervisor.stop()
        self.stdout.write(f"{len(services)} clusters stopped")
