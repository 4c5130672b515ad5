from __future__ import annotations

import logging
import os
import socket
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from incoming import demo
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.running import wait_until_ready
from webhooks_project.supervisor import Supervisor, cluster_services, web_service


class Command(BaseCommand):
    help = "Run the web server and the clusters together, with a demo account and its webhooks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--bare", action="store_true", help="No demo, nothing printed.")
        parser.add_argument("--once", action="store_true", help="Stop after the demo.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(
                    f"{host}:{port} is taken ({error.strerror}); choose another with --port, or "
                    "PORT=… for make run"
                ) from error
        current_actor.set(Actor("command", label="run_hub"))
        call_command("migrate", interactive=False, verbosity=0)
        self.console = Console()
        url = f"http://{host}:{port}"
        if not options["bare"]:
            os.environ.setdefault("LOG_FILE", str(settings.VAR_DIR / "hub.log"))
            logging.getLogger("webhooks_project").setLevel(logging.WARNING)
        if "PUBLIC_URL" not in os.environ:
            # The address that deliveries to the demo's receiver, and the server's own links, go by.
            settings.PUBLIC_URL = os.environ["PUBLIC_URL"] = url
        services = [web_service(host=host, port=port), *cluster_services()]
        supervisor = Supervisor(services)
        supervisor.install_signal_handlers()
        shown = None if options["bare"] else demo.seed()
        self.failed = False
        supervisor.start()
        if shown is not None:
            thread = threading.Thread(
                target=self._show, args=(shown, url, supervisor, options["once"]), daemon=True
            )
            thread.start()
        try:
            supervisor.watch()
        finally:
            supervisor.stop()
        if self.failed:
            raise CommandError("the demo failed")

    def _show(self, shown: demo.Demo, url: str, supervisor: Supervisor, once: bool) -> None:
        try:
            wait_until_ready(url)
            journeys = demo.follow(shown, demo.send(shown))
            self._print_journeys(journeys)
            delivered = sum(item.verified_by_receiver for item in journeys)
            self.failed = delivered < len(journeys)
            if not once:
                self._print_addresses(shown, url)
        except Exception as error:
            self.failed = True
            self.console.print(f"The demo failed: {error}", style="red", markup=False)
        finally:
            if once:
                supervisor.request_stop()

    def _print_journeys(self, journeys: list[demo.Journey]) -> None:
        table = Table(title="Webhooks in, events out")
        for name in ("from", "event", "webhook-id", "delivery", "answer", "ms", "verified"):
            table.add_column(name)
        for item in journeys:
            table.add_row(
                item.provider,
                item.type,
                item.event_id,
                item.delivery_status,
                str(item.status_code or ""),
                "" if item.milliseconds is None else f"{item.milliseconds:.0f}",
                "yes" if item.verified_by_receiver else "no",
            )
        self.console.print(table)
        delivered = sum(item.verified_by_receiver for item in journeys)
        self.console.print(
            f"{len(journeys)} webhooks received, {sum(bool(item.event_id) for item in journeys)} "
            f"events, {delivered} delivered and verified by the receiver"
        )

    def _print_addresses(self, shown: demo.Demo, url: str) -> None:
        lines = [
            f"console   {url}/admin/",
            f"API docs  {url}/api/docs/",
            f"GitHub    {url}{shown.github.path}",
            f"Stripe    {url}{shown.stripe.path}",
            f"logs      {os.environ['LOG_FILE']}",
        ]
        if shown.password:
            lines.append(f"user      {demo.ADMIN_NAME}, password {shown.password} (shown once)")
        if shown.api_key:
            lines.append(f"API key   {shown.api_key} (shown once)")
        lines.append(f"data      {settings.VAR_DIR}")
        lines.append("ctrl-C stops everything")
        for line in lines:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
