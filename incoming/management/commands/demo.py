from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from webhooks_project.running import free_port


class Command(BaseCommand):
    help = "Run the main job through on a scratch database and say what went where."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Stop after it was shown.")

    def handle(self, *args: Any, **options: Any) -> None:
        port = free_port()
        # The scratch hub's own address, for this process and those that it starts.
        settings.PUBLIC_URL = os.environ["PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        call_command("run_hub", port=port, once=options["once"])
