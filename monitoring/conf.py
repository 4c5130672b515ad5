"""The settings of monitoring."""

from __future__ import annotations

from django.conf import settings


def metrics_token() -> str:
    """What a scraper has to show; empty where none is set."""
    return str(settings.WEBHOOKS_METRICS_TOKEN)


def are_metrics_public() -> bool:
    """Whether anybody who reaches the hub may read its metrics."""
    return bool(settings.WEBHOOKS_METRICS_PUBLIC)


def metrics_accounts() -> int:
    """How many accounts have series of their own; those beyond are `other`. 0 for none."""
    return int(settings.WEBHOOKS_METRICS_ACCOUNTS)


def platform_account() -> str:
    """The slug of the platform's own account; empty where none is named."""
    return str(settings.WEBHOOKS_PLATFORM_ACCOUNT)


def watch_seconds() -> float:
    """How long the short task may take: a little less than the queue lets a task run."""
    return float(settings.Q_CLUSTER["timeout"]) - 15.0


def ready_age_seconds(family: str) -> float:
    """By how much work of the family may be overdue while a node that serves it is ready."""
    ages: dict[str, float] = settings.WEBHOOKS_READY_AGE_SECONDS
    return float(ages[family])


def ready_silent_seconds(family: str) -> float:
    """How long the family may give no sign of life while a node that serves it is ready."""
    seconds: dict[str, float] = settings.WEBHOOKS_READY_SILENT_SECONDS
    return float(seconds[family])
