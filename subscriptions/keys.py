"""The public keys of a subscription, for whoever verifies its Ed25519 signatures. No login."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

import orjson
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from subscriptions.models import SigningSecret, Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.jwks import key_set

CACHE_SECONDS: Final = 300  # so late may a receiver learn of a new key; the old one signs meanwhile


def keys_url(subscription_id: UUID) -> str:
    """Where the subscription's key set is, for everybody."""
    path = reverse("subscription-keys", args=[subscription_id])
    return f"{settings.PUBLIC_URL}{path}"


@require_safe
def key_set_of(request: HttpRequest, subscription_id: UUID) -> HttpResponseBase:
    """The JSON Web Key Set of the keys that sign now: old ones stay until their end."""
    if not Subscription.objects.filter(pk=subscription_id).exists():
        raise Http404
    secrets = SigningSecret.objects.filter(
        subscription_id=subscription_id, kind=SigningSecret.Kind.ED25519
    )
    keys = secrets.valid(clock.now()).values_list("public_key", flat=True)
    body = orjson.dumps(key_set(keys))
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={CACHE_SECONDS}", "ETag": etag}
    response = HttpResponse(body, content_type="application/jwk-set+json", headers=headers)
    return get_conditional_response(request, etag=etag, response=response) or response
