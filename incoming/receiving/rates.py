"""How many calls are taken in a minute, of an address and of a source."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from incoming.providers import Cause, Refused

log = structlog.get_logger(__name__)


def over_rate(request: HttpRequest, group: str, value: str, per_minute: int) -> Refused | None:
    """Count the call; refused where the minute has had its number."""
    # A cache of each process's own sees only that process's share of the calls.
    own_cache = not settings.REDIS_URL
    limit = max(1, per_minute // settings.WEB_PROCESSES) if own_cache else per_minute
    try:
        usage = get_usage(
            request, group=group, key=lambda *_: value, rate=(limit, 60), increment=True
        )
    except Exception as error:
        # With the cache down webhooks are still received; its client's errors are of no one family.
        log.warning("the rate was not counted", error=str(error)[:200])
        return None
    if usage is None or not usage["should_limit"]:
        return None
    request.retry_after = max(1, usage["time_left"])  # type: ignore[attr-defined]
    return Refused(Cause.RATE_LIMITED)
