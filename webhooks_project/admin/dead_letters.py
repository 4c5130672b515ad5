"""The page of dead letters, those that failed alike together, with what is done to a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webhooks_project.admin.access import may_everywhere
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import Button, Variant, acting
from webhooks_project.admin.forms import TextInput
from webhooks_project.admin.panels import Table
from webhooks_project.admin.values import EMPTY, moment, short
from webhooks_project.dead_letters import MAX_LETTERS_AT_ONCE, MAX_REASON_LENGTH

SHOWN_GROUPS: Final = 50


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH,
        widget=TextInput,
        help_text="Why nobody is to take it up. It is kept, and shown to all who look at it.",
    )


def group_text(text: str) -> SafeString:
    """What the failures of a group have in common, as code."""
    return format_html('<code class="hub-code">{}</code>', short(text, 160) or EMPTY)


def _one_line(text: str) -> SafeString:
    return format_html('<span class="whitespace-nowrap">{}</span>', text)


class DeadLetterAdmin(HistoryAdmin):
    """Rows of which some are dead letters. The page of groups is over all accounts, and so for the
    platform's staff alone. `redo` is what is done to have one again: a button's
    title and its question about a group."""

    group_headers: ClassVar[tuple[str, ...]]
    redo: ClassVar[tuple[str, str]]
    redone: ClassVar[str]  # what is told of it, after the count

    def dead_groups(self) -> tuple[Sequence[Any], int]:
        """The largest groups, and how many there are in all."""
        raise NotImplementedError

    def group_cells(self, group: Any) -> list[Any]:
        """What is told of a group under `group_headers`."""
        raise NotImplementedError

    def redo_group(self, fingerprint: str) -> int:
        """Have a group again. Returns how many there were."""
        raise NotImplementedError

    def discard_group(self, fingerprint: str, reason: str) -> int:
        """Discard a group. Returns how many there were."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("dead-letters/", wrap(self.groups_view), name=self._url_name("dead_letters")),
            path(
                "dead-letters/<str:fingerprint>/<str:verb>/",
                wrap(self.group_view),
                name=self._url_name("dead_group"),
            ),
            *super().get_urls(),
        ]

    def groups_view(self, request: HttpRequest) -> HttpResponse:
        if not may_everywhere(request, self.model, "view"):
            raise PermissionDenied
        groups, count = self.dead_groups()
        is_pressed = may_everywhere(request, self.model, "change")
        rows = [
            [
                *self.group_cells(group),
                _one_line(moment(group.first_at)),
                _one_line(moment(group.last_at)),
                *([self._buttons(group.fingerprint)] if is_pressed else []),
            ]
            for group in groups
        ]
        headers = [*self.group_headers, "First", "Last", *([""] if is_pressed else [])]
        more = f"The {SHOWN_GROUPS} largest of {count:,} groups." if count > len(groups) else ""
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters",
            "opts": self.opts,
            "panel": Table("Dead letters", headers, rows, empty="There are none.", more=more),
        }
        return TemplateResponse(request, "admin/console/dead_letters.html", context)

    def group_view(self, request: HttpRequest, fingerprint: str, verb: str) -> HttpResponse:
        """Asks on GET, acts on POST."""
        if not may_everywhere(request, self.model, "change"):
            raise PermissionDenied
        described = self._described(verb)
        form = described.form(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            with acting(request):
                messages.success(request, self._act(fingerprint, **form.cleaned_data))
            return HttpResponseRedirect(self._url("dead_letters"))
        context = {
            **self.admin_site.each_context(request),
            "title": described.title,
            "opts": self.opts,
            "original": f"group {fingerprint[:8]}",
            "button": described,
            "form": form,
            "back_url": self._url("dead_letters"),
        }
        return TemplateResponse(request, "admin/console/confirm.html", context)

    def _described(self, verb: str) -> Button:
        title, question = self.redo
        found: dict[str, tuple[str, str, Variant, type[forms.Form]]] = {
            "redo": (title, question, "primary", forms.Form),
            "discard": (
                "Discard",
                "All of the group leave the list of dead letters for good. They stay to be seen, "
                "with the reason.",
                "danger",
                ReasonForm,
            ),
        }
        if verb not in found:
            raise Http404
        title, question, variant, form = found[verb]
        return Button(title, question, "", variant, lambda row: True, form)

    def _act(self, fingerprint: str, reason: str = "") -> str:
        if reason:
            return f"{self.discard_group(fingerprint, reason):,} are discarded."
        count = self.redo_group(fingerprint)
        left = f" There may be more: {MAX_LETTERS_AT_ONCE:,} are taken at once." * (
            count >= MAX_LETTERS_AT_ONCE
        )
        return f"{count:,} {self.redone}{left}"

    def _buttons(self, fingerprint: str) -> str:
        if not fingerprint:
            return ""
        links = [
            {"url": self._url("dead_group", fingerprint, "redo"), "title": self.redo[0]},
            {"url": self._url("dead_group", fingerprint, "discard"), "title": "Discard"},
        ]
        return render_to_string("admin/console/group_buttons.html", {"links": links})

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _url(self, page: str, *args: str) -> str:
        return reverse(f"admin:{self._url_name(page)}", args=args)
