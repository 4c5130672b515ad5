"""The settings that this app reads."""

from __future__ import annotations

from django.conf import settings

from webhooks_project.lib.ssrf import Policy


def address_policy() -> Policy:
    """Which addresses and schemes an endpoint may have here."""
    return Policy(
        allowed_networks=settings.WEBHOOKS_ALLOWED_NETWORKS,
        schemes=settings.WEBHOOKS_SCHEMES,
        egress_proxy=settings.WEBHOOKS_EGRESS_PROXY,
    )
