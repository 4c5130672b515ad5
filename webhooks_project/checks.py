"""Wrong combinations of settings, found before they hurt."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from webhooks_project import tracing
from webhooks_project.lib.ssrf import parse_networks

LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])


@register(Tags.security)
def check_settings(**_: Any) -> list[CheckMessage]:
    """`webhooks.E001` and following, `webhooks.W001` and following; see docs/operating.md."""
    found: list[CheckMessage] = []
    if settings.PRODUCTION and not settings.PUBLIC_URL:
        found.append(
            Error(
                "PUBLIC_URL is not set.",
                hint="Signatures over the URL are checked against it; set the address by which "
                "third parties reach the hub.",
                id="webhooks.E001",
            )
        )
    if settings.PRODUCTION and any(
        network.version == loopback.version and network.overlaps(loopback)
        for network in settings.WEBHOOKS_ALLOWED_NETWORKS
        for loopback in LOOPBACK
    ):
        found.append(
            Error(
                "WEBHOOKS_ALLOWED_NETWORKS lets deliveries reach this machine itself.",
                hint="Take loopback out of it.",
                id="webhooks.E002",
            )
        )
    if not settings.REDIS_URL and settings.WEB_PROCESSES > 1:
        found.append(
            Warning(
                f"Rate limits are counted in each of {settings.WEB_PROCESSES} web processes by "
                "itself.",
                hint="The limits are divided by WEB_PROCESSES, which is exact only while calls "
                "spread evenly. Set REDIS_URL for one shared count.",
                id="webhooks.W001",
            )
        )
    if not any(settings.QM_WEBHOOKS.values()):
        found.append(
            Warning(
                "Every QM_WEBHOOKS_… flag is off on this node.",
                hint="Something else has to run the clusters.",
                id="webhooks.W002",
            )
        )
    if not settings.HAS_MAIL:
        found.append(
            Warning(
                "EMAIL_URL is not set.",
                hint="Notifications go to a mail server on this machine, port 25; set the one "
                "that takes them, as in smtp+tls://user:password@mail.example.com:587.",
                id="webhooks.W003",
            )
        )
    if tracing.is_asked_for() and not tracing.is_installed():
        found.append(
            Warning(
                "OTEL_… variables ask for traces, and what makes them is not installed.",
                hint="Install the extra: pip install 'webhooks-hub[otel]'.",
                id="webhooks.W004",
            )
        )
    if settings.PRODUCTION and settings.WEBHOOKS_METRICS_PUBLIC:
        found.append(
            Warning(
                "/metrics is open to whoever reaches the hub.",
                hint="Set WEBHOOKS_METRICS_TOKEN instead of WEBHOOKS_METRICS_PUBLIC, unless a "
                "proxy keeps strangers from it.",
                id="webhooks.W005",
            )
        )
    return found
