"""Buttons on a row's page. Each asks first and acts on POST, by the service that the API calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, Literal

from django import forms
from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse

from webhooks_project.admin.access import may_everywhere
from webhooks_project.admin.values import page_of
from webhooks_project.lib.actor import Actor, agent_of, current_actor, session_mark
from webhooks_project.lib.client_address import client_address
from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    from webhooks_project.admin.base import HubAdmin

    ActionVariant: Any
else:
    from unfold.enums import ActionVariant

Variant = Literal["default", "primary", "success", "warning", "danger"]


@dataclass(frozen=True)
class ShownOnce:
    """A secret just made. It goes into the answer to the POST and nowhere else: a message would
    lie in a cookie or in the session's row until the next page."""

    title: str
    secret: str = field(repr=False)
    hint: str = ""


@dataclass(frozen=True)
class Button:
    """What a button is; the method that carries it says what it does."""

    title: str
    question: str
    icon: str
    variant: Variant
    is_possible: Callable[[Any], bool]
    form: type[forms.Form]


ATTRIBUTE: Final = "console_button"
Press = Callable[..., "str | ShownOnce"]


def button(
    title: str,
    *,
    question: str,
    icon: str,
    variant: Variant = "default",
    is_possible: Callable[[Any], bool] = lambda row: True,
    form: type[forms.Form] = forms.Form,
) -> Callable[[Press], Callable[..., HttpResponse]]:
    """Make a method a button: `method(self, row, **form_fields)` calls one service and returns what
    to tell the operator, or a ShownOnce.

    It is named in `actions_detail`. It is shown where `is_possible(row)` holds, to users who may
    change such rows. GET asks the question, POST acts; a DomainError becomes a message.
    """
    described = Button(title, question, icon, variant, is_possible, form)

    def make(method: Press) -> Callable[..., HttpResponse]:
        @wraps(method)
        def view(model_admin: HubAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
            return _answer(described, method, model_admin, request, object_id)

        return _drawn(view, described)

    return make


def opens_page(
    title: str, *, icon: str, variant: Variant = "default", is_possible: Callable[[Any], bool]
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Make a method `method(self, request, row)` a button that opens a page of its own.

    It is shown as a `button` is, to the same users; GET and POST come to the method.
    """
    described = Button(title, "", icon, variant, is_possible, forms.Form)

    def make(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(method)
        def view(model_admin: HubAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
            found = _row(model_admin, request, object_id, method.__name__)
            if isinstance(found, HttpResponse):
                return found
            act = partial(method, model_admin, request, found)
            return _unless_gone(act, model_admin, request, object_id)

        return _drawn(view, described)

    return make


def opens_list_page(
    title: str, *, icon: str
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Make a method `method(self, request)` a button above a list that opens a page of its own.

    It is named in `actions_list`, and is for users who may change such rows.
    """
    described = Button(title, "", icon, "default", lambda row: True, forms.Form)

    def make(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(method)
        def view(model_admin: HubAdmin, request: HttpRequest) -> HttpResponse:
            if request.method not in ("GET", "HEAD", "POST"):
                return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
            if not model_admin.may(request, method.__name__):
                raise PermissionDenied
            return method(model_admin, request)

        view.allowed_permissions = ["change"]  # type: ignore[attr-defined]
        return _drawn(view, described)

    return make


def _drawn(view: Callable[..., HttpResponse], described: Button) -> Callable[..., HttpResponse]:
    """The view with what unfold reads to draw a link to it."""
    for name, value in {
        "short_description": described.title,
        "url_path": view.__name__.replace("_", "-"),
        "icon": described.icon,
        "variant": ActionVariant(described.variant),
        "attrs": {},
        ATTRIBUTE: described,
    }.items():
        setattr(view, name, value)
    return view


def may_see(request: HttpRequest, model: str) -> bool:
    """Whether the user may look at the rows of `app.model` of every account."""
    return may_everywhere(request, apps.get_model(model), "view")


@contextmanager
def acting(request: HttpRequest) -> Iterator[None]:
    """Name the request's user as the actor for the audit chain."""
    user = request.user
    address = client_address(
        remote_address=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted_proxies=settings.TRUSTED_PROXIES,
    )
    session = session_mark(getattr(request, "session", None))
    token = current_actor.set(
        Actor("user", str(user.pk), user.get_username(), address, session, agent_of(request.META))
    )
    try:
        yield
    finally:
        current_actor.reset(token)


def show_once(
    request: HttpRequest, model_admin: ModelAdmin[Any], row: Any, shown: ShownOnce
) -> HttpResponse:
    """The page with the secret. `never_cache` of the console keeps it out of every cache."""
    context = {
        **page_context(request, model_admin, row, shown.title),
        "shown": shown,
        "next_url": page_of(row._meta.label_lower, row.pk),
    }
    return TemplateResponse(request, "admin/console/shown_once.html", context)


def _answer(
    described: Button, method: Press, model_admin: HubAdmin, request: HttpRequest, object_id: str
) -> HttpResponse:
    row = _row(model_admin, request, object_id, method.__name__)
    if isinstance(row, HttpResponse):
        return row
    form = described.form(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        act = partial(_press, method, model_admin, request, row, form.cleaned_data)
        return _unless_gone(act, model_admin, request, object_id)
    context = {
        **page_context(request, model_admin, row, described.title),
        "button": described,
        "form": form,
        "back_url": page_of(row._meta.label_lower, row.pk),
    }
    return TemplateResponse(request, "admin/console/confirm.html", context)


def _row(model_admin: HubAdmin, request: HttpRequest, object_id: str, verb: str) -> Any:
    """The row that a button is of, or the answer to who may not press it."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if not model_admin.may(request, verb):
        raise PermissionDenied
    row = model_admin.get_object(request, unquote(object_id))
    if row is None:
        return model_admin.row_missing(request, object_id)
    if not model_admin.may(request, verb, row):
        raise PermissionDenied
    return row


def _unless_gone(
    act: Callable[[], HttpResponse], model_admin: HubAdmin, request: HttpRequest, object_id: str
) -> HttpResponse:
    """What `act` answers; that the row is missing where somebody else deleted it meanwhile."""
    try:
        return act()
    except ObjectDoesNotExist:
        if model_admin.get_object(request, unquote(object_id)) is not None:
            raise  # it is another that is missing, which is a fault of ours
        return model_admin.row_missing(request, object_id)


def _press(
    method: Press,
    model_admin: HubAdmin,
    request: HttpRequest,
    row: Any,
    fields: Mapping[str, Any],
) -> HttpResponse:
    try:
        with acting(request):
            outcome = method(model_admin, row, **fields)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        if isinstance(outcome, ShownOnce):
            return show_once(request, model_admin, row, outcome)
        messages.success(request, outcome)
    return HttpResponseRedirect(page_of(row._meta.label_lower, row.pk))


def page_context(
    request: HttpRequest, model_admin: ModelAdmin[Any], row: Any, title: str
) -> dict[str, Any]:
    """What every page about a row needs."""
    return {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "original": row,
    }
