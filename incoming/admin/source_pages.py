"""The pages before and after a new source is made."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from incoming.admin.samples import why_not
from incoming.admin.source_panels import facts_of
from incoming.admin.trials import SAMPLE_PAGE
from incoming.models import Source
from incoming.providers import PROVIDERS
from incoming.sources import public_url_of
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.values import page_of


def provider_choice_page(model_admin: HubAdmin, request: HttpRequest) -> HttpResponse:
    """Which provider a new source is to be of."""
    if request.method == "POST":
        return HttpResponseRedirect(request.path)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Who will call?",
        "opts": model_admin.opts,
        "providers": sorted(PROVIDERS.values(), key=lambda item: item.label.lower()),
    }
    return TemplateResponse(request, "admin/console/provider_choice.html", context)


def made_page(model_admin: HubAdmin, request: HttpRequest, source: Source) -> HttpResponse:
    """The URL, the secret where we made it, and what to do next. Once: see ShownOnce."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "A new source",
        "opts": model_admin.opts,
        "original": source,
        "url": public_url_of(source),
        "secret": getattr(request, "made_secret", ""),
        "facts": facts_of(PROVIDERS[source.provider]),
        "next_url": page_of("incoming.source", source.pk),
        "sample_url": "" if why_not(source) else reverse(SAMPLE_PAGE, args=[source.pk]),
    }
    return TemplateResponse(request, "admin/console/source_made.html", context)
