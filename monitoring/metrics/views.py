"""`/metrics`, for who may read it."""

from __future__ import annotations

import secrets

from django import db
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from monitoring import conf
from monitoring.metrics.exposition import exposition
from monitoring.metrics.readings import current_reading
from webhooks_project.lib import clock


@csrf_exempt  # it changes nothing, and who writes to it shall hear that it is only read
def metrics(request: HttpRequest) -> HttpResponse:
    """The hub's figures: 401 without the token, 404 where none is set and they are not public."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    if not conf.are_metrics_public():
        token = conf.metrics_token()
        if not token:
            return HttpResponse(status=404)
        if not _shows(request, token):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        reading = current_reading()
    except db.Error:
        return HttpResponse(status=503)
    accept = request.headers.get("Accept", "")
    body, content_type = exposition(reading, accept=accept, now=clock.now())
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _shows(request: HttpRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = secrets.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and same
