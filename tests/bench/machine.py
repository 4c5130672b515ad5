"""What the figures were measured on; without it they say nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pycurl
from django.conf import settings
from django.db import connection


def describe(*, sink: str) -> dict[str, Any]:
    """The machine, the versions that matter, and how busy it was before anything was measured."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": [round(part, 2) for part in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "django": version("django"),
        "granian": version("granian"),
        "requests": version("requests"),
        "curl": pycurl.version_info()[1],
        "tls": pycurl.version_info()[5],
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgres_version(),
        "redis": bool(settings.REDIS_URL),
        "sink": sink,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _postgres_version() -> str | None:
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])
